//! Connector files: the HTTP API of one kind of target.

#![warn(missing_docs)]

use std::collections::BTreeMap;

use greenlight_core::ledger::EffectKind;
use serde::Deserialize;

use super::limits::Limits;
use super::outcome::Rule;
use crate::connector::{Param, Protocol};

/// A connector for one kind of target.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Connector {
    /// `http`, which is the default.
    #[serde(default)]
    pub protocol: Protocol,
    /// The product, for people.
    #[serde(default)]
    pub title: String,
    /// Behaviour not yet verified against a real system, one sentence each.
    #[serde(default)]
    pub unverified: Vec<String>,
    /// How this product writes subjects, by kind. Default: in their canonical form.
    #[serde(default)]
    pub formats: BTreeMap<String, toml::Table>,
    /// Parameters that a target sets in `[targets.NAME.params]`: name and default; a parameter
    /// without a default is required.
    #[serde(default)]
    pub params: BTreeMap<String, Param>,
    /// Fields that a flow may leave out; templates then see `none`.
    #[serde(default)]
    pub optional: Vec<String>,
    /// Authentication. Default: none.
    #[serde(default)]
    pub auth: Auth,
    /// The limits of a target.
    #[serde(default)]
    pub limits: Limits,
    /// The operations by name.
    pub operations: BTreeMap<String, Operation>,
}

/// How a connector authenticates.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Auth {
    /// Headers of every request.
    pub headers: BTreeMap<String, String>,
    /// Query parameters of every request.
    pub query: BTreeMap<String, String>,
    /// Members of every JSON body.
    pub json: BTreeMap<String, String>,
    /// HTTP digest (RFC 7616).
    pub digest: Option<DigestKeys>,
    /// Whether the login's cookies are sent with every request.
    pub cookies: bool,
    /// The login request; the templates above may use the values that it captures.
    pub login: Option<Step>,
    /// How long the session is valid, in seconds: a template over the login's answer. Default:
    /// until the target rejects it.
    pub expires_in: Option<String>,
    /// The statuses that mean that the session is not valid. Default: 401.
    pub unauthorized_status: Vec<u16>,
    /// A condition over an answer with the same meaning, for errors inside a 200.
    pub unauthorized_when: Option<String>,
}

impl Default for Auth {
    fn default() -> Self {
        Self {
            headers: BTreeMap::new(),
            query: BTreeMap::new(),
            json: BTreeMap::new(),
            digest: None,
            cookies: false,
            login: None,
            expires_in: None,
            unauthorized_status: vec![401],
            unauthorized_when: None,
        }
    }
}

/// The keys of the HTTP digest credentials in the secret.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DigestKeys {
    /// Key of the user name.
    pub username: String,
    /// Key of the password.
    pub password: String,
}

/// What is done for one effect.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Operation {
    /// What the operation does: whether it gives access, takes it away, or changes a record.
    pub effect: EffectKind,
    /// Of a granting operation: the operation that takes away what it gives.
    pub revoked_by: Option<String>,
    /// Of a granting operation: the operation that reads whether the target shows the subject. It
    /// is performed after the last step, and the grant is done when it says so.
    pub check: Option<String>,
    /// Of a revoking operation: what became of a session that was under way, `ended` or
    /// `may_last`: a template over the parameters and what the steps captured. Default: there are
    /// no sessions.
    pub session: Option<String>,
    /// The requests in order; at least one.
    pub steps: Vec<Step>,
}

/// One request, as templates, and the meaning of its answers.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// For error messages.
    #[serde(default)]
    pub name: String,
    /// A condition; the step is skipped when it is false.
    pub when: Option<String>,
    /// Initial values, for steps that repeat.
    #[serde(default)]
    pub vars: BTreeMap<String, toml::Value>,
    /// `GET`, `POST`, `PUT`, `PATCH` or `DELETE`.
    pub method: Method,
    /// Path segments after the target's `url`; a value cannot add another segment.
    #[serde(default)]
    pub path: Vec<String>,
    /// Query parameters.
    #[serde(default)]
    pub query: BTreeMap<String, String>,
    /// Headers, besides those for the body and of `auth`.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// A JSON body whose strings are templates; a string that is a single `{{ expression }}` keeps
    /// the expression's type.
    pub json: Option<toml::Value>,
    /// A form body (`application/x-www-form-urlencoded`).
    pub form: Option<BTreeMap<String, String>>,
    /// An XML body: one element, as a tree.
    pub xml: Option<toml::Value>,
    /// The type of a successful answer's body. Default: that of the `Accept` header, else that of
    /// the request's body, else JSON or XML.
    pub answer: Option<AnswerType>,
    /// Values for later steps: templates over `answer`, `status` and `headers`.
    #[serde(default)]
    pub capture: BTreeMap<String, String>,
    /// The meaning of answers; the first match wins.
    #[serde(default)]
    pub outcomes: Vec<Rule>,
}

/// The type of an answer's body.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AnswerType {
    /// JSON.
    Json,
    /// XML.
    Xml,
    /// Any text except a web page.
    Text,
}

/// An HTTP method.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
#[allow(missing_docs, reason = "the names are those of the methods")]
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

impl Step {
    /// Returns all templates of the request.
    pub(super) fn templates(&self) -> Vec<&str> {
        let mut templates: Vec<&str> = self.path.iter().map(String::as_str).collect();
        let maps = [Some(&self.query), Some(&self.headers), self.form.as_ref()];
        templates.extend(maps.into_iter().flatten().flat_map(BTreeMap::values).map(String::as_str));
        for tree in [&self.json, &self.xml].into_iter().flatten() {
            strings(tree, &mut templates);
        }
        templates
    }
}

/// Collects all strings in a tree.
pub(super) fn strings<'a>(value: &'a toml::Value, into: &mut Vec<&'a str>) {
    match value {
        toml::Value::String(text) => into.push(text),
        toml::Value::Array(items) => items.iter().for_each(|item| strings(item, into)),
        toml::Value::Table(table) => table.values().for_each(|item| strings(item, into)),
        _ => {}
    }
}
