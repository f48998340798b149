//! A deployed stack: what the template put out, and how its queues stand.

use std::collections::HashMap;
use std::time::{Duration, SystemTime};

use aws_sdk_cloudwatch::types::{Dimension, Statistic};
use aws_sdk_sqs::types::QueueAttributeName;
use aws_smithy_types::DateTime;
use greenlight_core::ports::QueueError;
use thiserror::Error;

use super::{describe, is_denied};

/// CloudWatch's figures are some minutes late.
const AGE_WITHIN: Duration = Duration::from_mins(15);

/// A deployed stack.
#[derive(Clone, Debug)]
pub struct Stack {
    name: String,
    outputs: HashMap<String, String>,
    parameters: HashMap<String, String>,
    sqs: aws_sdk_sqs::Client,
    cloudwatch: aws_sdk_cloudwatch::Client,
}

/// The stack cannot be found or looked into.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum StackError {
    /// CloudFormation says no.
    #[error("the stack `{stack}` cannot be described in {region}, profile {profile}: {cause}")]
    NotTold {
        /// The stack.
        stack: String,
        /// The region that was asked.
        region: String,
        /// The profile whose credentials were used, `default` if none was named.
        profile: String,
        /// What it said.
        cause: String,
    },
    /// It has no such output.
    #[error("the stack `{stack}` puts no {output} out: is it one of greenlight's?")]
    NoOutput {
        /// The stack.
        stack: String,
        /// The output.
        output: &'static str,
    },
}

/// How a queue stands; SQS says "approximate" of all of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QueueCounts {
    /// Messages that wait.
    pub waiting: u64,
    /// Messages that were given out, or are hidden until they are tried again.
    pub in_flight: u64,
}

impl Stack {
    /// The stack of that name.
    ///
    /// # Errors
    /// [`StackError::NotTold`] when there is none, or it may not be looked at.
    pub async fn find(
        config: &aws_types::SdkConfig,
        name: &str,
        profile: Option<&str>,
    ) -> Result<Self, StackError> {
        let not_told = |cause: String| StackError::NotTold {
            stack: name.to_owned(),
            region: config.region().map_or_else(|| "no region".to_owned(), ToString::to_string),
            profile: profile.unwrap_or("default").to_owned(),
            cause,
        };
        let answer = aws_sdk_cloudformation::Client::new(config)
            .describe_stacks()
            .stack_name(name)
            .send()
            .await
            .map_err(|error| not_told(describe("cloudformation:DescribeStacks", &error)))?;
        let stack = answer.stacks.unwrap_or_default().pop();
        let stack = stack.ok_or_else(|| not_told("there is none".to_owned()))?;
        let outputs = stack.outputs.unwrap_or_default().into_iter();
        let outputs =
            outputs.filter_map(|output| Some((output.output_key?, output.output_value?))).collect();
        let parameters = stack.parameters.unwrap_or_default().into_iter();
        let parameters = parameters
            .filter_map(|parameter| Some((parameter.parameter_key?, parameter.parameter_value?)));
        Ok(Self {
            name: name.to_owned(),
            outputs,
            parameters: parameters.collect(),
            sqs: aws_sdk_sqs::Client::new(config),
            cloudwatch: aws_sdk_cloudwatch::Client::new(config),
        })
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// An output of the template.
    ///
    /// # Errors
    /// [`StackError::NoOutput`] when it has none of that name.
    pub fn output(&self, output: &'static str) -> Result<&str, StackError> {
        let found = self.outputs.get(output).map(String::as_str);
        found.ok_or_else(|| StackError::NoOutput { stack: self.name.clone(), output })
    }

    /// A parameter of the template, as it was deployed.
    #[must_use]
    pub fn parameter(&self, parameter: &str) -> Option<&str> {
        self.parameters.get(parameter).map(String::as_str)
    }

    /// How the queue at `url` stands.
    ///
    /// # Errors
    /// [`QueueError`] when SQS says no.
    pub async fn counts(&self, url: &str) -> Result<QueueCounts, QueueError> {
        use QueueAttributeName::{
            ApproximateNumberOfMessages as Visible, ApproximateNumberOfMessagesDelayed as Delayed,
            ApproximateNumberOfMessagesNotVisible as Hidden,
        };
        let call = self.sqs.get_queue_attributes().queue_url(url);
        let call = call.set_attribute_names(Some(vec![Visible, Hidden, Delayed]));
        let answer = call
            .send()
            .await
            .map_err(|error| QueueError(describe("sqs:GetQueueAttributes", &error)))?;
        let attributes = answer.attributes.unwrap_or_default();
        let count = |name| attributes.get(&name).and_then(|n| n.parse::<u64>().ok()).unwrap_or(0);
        Ok(QueueCounts { waiting: count(Visible) + count(Delayed), in_flight: count(Hidden) })
    }

    /// How long the oldest message of the queue at `url` is in it, by CloudWatch, which is minutes behind.
    /// `None` when it has no figure, or does not answer.
    ///
    /// # Errors
    /// [`QueueError`] when these credentials may not ask.
    pub async fn oldest(&self, url: &str) -> Result<Option<Duration>, QueueError> {
        let name = url.rsplit('/').next().unwrap_or(url);
        let queue = Dimension::builder().name("QueueName").value(name).build();
        let now = SystemTime::now();
        let answer = self
            .cloudwatch
            .get_metric_statistics()
            .namespace("AWS/SQS")
            .metric_name("ApproximateAgeOfOldestMessage")
            .dimensions(queue)
            .start_time(DateTime::from(now - AGE_WITHIN))
            .end_time(DateTime::from(now))
            .period(60)
            .statistics(Statistic::Maximum)
            .send()
            .await;
        let points = match answer {
            Ok(answer) => answer.datapoints.unwrap_or_default(),
            Err(error) if is_denied(&error) => {
                return Err(QueueError(describe("cloudwatch:GetMetricStatistics", &error)));
            }
            Err(_) => return Ok(None),
        };
        let newest = points.into_iter().max_by_key(|point| point.timestamp.map(|at| at.secs()));
        let seconds = newest.and_then(|newest| newest.maximum);
        Ok(seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()))
    }
}
