//! A connector file: how to speak to one kind of target.

use std::collections::BTreeMap;

use greenlight_core::flow::{Action, Flow, Kind};
use greenlight_core::mac::Spelling;
use serde::Deserialize;

use super::ConnectorError;
use super::auth::Auth;
use super::outcome::Rule;
use super::template::{Templates, undeclared};

/// The variables that every template may use, whatever the flow's fields are.
const ALWAYS_THERE: [&str; 6] =
    ["mac", "approval_code", "instance_code", "event_id", "applicant", "serial_number"];

/// How to speak to one kind of target.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Connector {
    /// How addresses are spelled. Default: lower case, colons.
    #[serde(default)]
    pub mac: Spelling,
    /// How we say who we are. Default: not at all.
    #[serde(default)]
    pub auth: Auth,
    /// What can be done.
    pub operations: BTreeMap<String, Operation>,
}

/// One request, as templates, and what its answers mean.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Operation {
    /// `GET`, `POST`, `PUT`, `PATCH` or `DELETE`.
    pub method: Method,
    /// Segments after the target's `url`; each is one segment whatever its values hold.
    #[serde(default)]
    pub path: Vec<String>,
    /// Query parameters.
    #[serde(default)]
    pub query: BTreeMap<String, String>,
    /// Headers, besides those of the body and of `auth`.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// A JSON body whose strings are templates; one that is a single `{{ expression }}` keeps its type.
    pub json: Option<toml::Value>,
    /// What the answers mean; the first match wins.
    #[serde(default)]
    pub outcomes: Vec<Rule>,
}

/// An HTTP method.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
#[allow(missing_docs, reason = "they are what they are called")]
pub enum Method {
    Get,
    Post,
    Put,
    Patch,
    Delete,
}

impl From<Method> for http::Method {
    fn from(method: Method) -> Self {
        match method {
            Method::Get => Self::GET,
            Method::Post => Self::POST,
            Method::Put => Self::PUT,
            Method::Patch => Self::PATCH,
            Method::Delete => Self::DELETE,
        }
    }
}

impl Connector {
    /// Reads a connector file and compiles its templates.
    ///
    /// # Errors
    /// [`ConnectorError`] with the line, or the template that does not compile.
    pub fn parse(name: &str, text: &str) -> Result<Self, ConnectorError> {
        let connector: Self = toml::from_str(text).map_err(|error| ConnectorError::Toml {
            connector: name.to_owned(),
            problem: error.to_string(),
        })?;
        for (operation_name, operation) in &connector.operations {
            for template in operation.templates() {
                undeclared(template).map_err(|problem| ConnectorError::Template {
                    connector: name.to_owned(),
                    operation: operation_name.clone(),
                    template: template.to_owned(),
                    problem: problem.to_string(),
                })?;
            }
        }
        Ok(connector)
    }

    /// Whether `action` of `flow` names an operation of this connector and gives it what it needs.
    pub(super) fn check(&self, flow: &Flow, action: &Action) -> Result<(), ConnectorError> {
        let Some(operation) = self.operations.get(&action.operation) else {
            let known: Vec<_> = self.operations.keys().map(String::as_str).collect();
            return Err(ConnectorError::UnknownOperation {
                flow: flow.name.clone(),
                target: action.target.clone(),
                operation: action.operation.clone(),
                known: known.join(", "),
            });
        };
        let is_given = |variable: &str| {
            let field = flow.fields.get(variable);
            ALWAYS_THERE.contains(&variable) || field.is_some_and(|rule| rule.kind == Kind::Text)
        };
        let needed = operation.templates().into_iter().flat_map(|template| {
            undeclared(template).unwrap_or_default() // Compiled before.
        });
        match needed.into_iter().find(|variable| !is_given(variable)) {
            None => Ok(()),
            Some(variable) => Err(ConnectorError::MissingVariable {
                flow: flow.name.clone(),
                target: action.target.clone(),
                operation: action.operation.clone(),
                variable,
            }),
        }
    }
}

impl Operation {
    fn templates(&self) -> Templates<'_> {
        let mut templates: Templates<'_> = self.path.iter().map(String::as_str).collect();
        templates.extend(self.query.values().map(String::as_str));
        templates.extend(self.headers.values().map(String::as_str));
        if let Some(json) = &self.json {
            strings(json, &mut templates);
        }
        templates
    }
}

/// All strings in a tree.
fn strings<'a>(value: &'a toml::Value, into: &mut Templates<'a>) {
    match value {
        toml::Value::String(text) => into.push(text),
        toml::Value::Array(items) => items.iter().for_each(|item| strings(item, into)),
        toml::Value::Table(table) => table.values().for_each(|item| strings(item, into)),
        _ => {}
    }
}
