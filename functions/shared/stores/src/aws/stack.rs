//! A deployed stack: the outputs and parameters of the template.

use std::collections::HashMap;

use greenlight_core::explain::{Explain, Explanation};
use thiserror::Error;

use super::describe;

/// A deployed stack.
#[derive(Clone, Debug)]
pub struct Stack {
    name: String,
    outputs: HashMap<String, String>,
    parameters: HashMap<String, String>,
}

/// Why a stack cannot be read.
#[derive(Clone, Debug, Error, Explain, PartialEq, Eq)]
#[explain("stack")]
pub enum StackError {
    /// CloudFormation returned an error.
    #[error("the stack `{stack}` cannot be described in {region}, profile {profile}: {cause}")]
    NotDescribed {
        stack: String,
        /// The region that was asked.
        region: String,
        /// The profile of the credentials, `default` if none was named.
        profile: String,
        /// The error.
        cause: Box<Explanation>,
    },
    /// CloudFormation returned no stack.
    #[error("there is no stack `{0}`")]
    Absent(String),
    /// The template has no such output.
    #[error("the stack `{stack}` has no output {output}: is it a greenlight stack?")]
    NoOutput { stack: String, output: &'static str },
}

impl Stack {
    /// Reads the stack of that name.
    ///
    /// # Errors
    /// [`StackError::NotDescribed`] when it does not exist, or the permission is missing.
    pub async fn find(
        config: &aws_types::SdkConfig,
        name: &str,
        profile: Option<&str>,
    ) -> Result<Self, StackError> {
        let not_described = |cause: Explanation| StackError::NotDescribed {
            stack: name.to_owned(),
            region: config.region().map_or_else(|| "no region".to_owned(), ToString::to_string),
            profile: profile.unwrap_or("default").to_owned(),
            cause: Box::new(cause),
        };
        let answer = aws_sdk_cloudformation::Client::new(config)
            .describe_stacks()
            .stack_name(name)
            .send()
            .await
            .map_err(|error| not_described(describe("cloudformation:DescribeStacks", &error)))?;
        let stack = answer.stacks.unwrap_or_default().pop();
        let stack = stack.ok_or_else(|| StackError::Absent(name.to_owned()))?;
        let outputs = stack.outputs.unwrap_or_default().into_iter();
        let outputs =
            outputs.filter_map(|output| Some((output.output_key?, output.output_value?))).collect();
        let parameters = stack.parameters.unwrap_or_default().into_iter();
        let parameters = parameters
            .filter_map(|parameter| Some((parameter.parameter_key?, parameter.parameter_value?)));
        Ok(Self { name: name.to_owned(), outputs, parameters: parameters.collect() })
    }

    /// Returns the name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns an output of the template.
    ///
    /// # Errors
    /// [`StackError::NoOutput`] when it has none of that name.
    pub fn output(&self, output: &'static str) -> Result<&str, StackError> {
        let found = self.outputs.get(output).map(String::as_str);
        found.ok_or_else(|| StackError::NoOutput { stack: self.name.clone(), output })
    }

    /// Returns the deployed parameters of the template.
    #[must_use]
    pub const fn parameters(&self) -> &HashMap<String, String> {
        &self.parameters
    }
}
