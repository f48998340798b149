//! A connector file: how to speak to one kind of target.

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use greenlight_core::mac::Spelling;
use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::limits::Limits;
use super::outcome::Rule;
use crate::connector::{Param, Protocol};

/// How to speak to one kind of target.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Connector {
    /// `http`, which need not be said.
    #[serde(default)]
    pub protocol: Protocol,
    /// The product, for people.
    #[serde(default)]
    pub title: String,
    /// What was not yet verified against a real one, a sentence each.
    #[serde(default)]
    pub unverified: Vec<String>,
    /// How addresses are spelled. Default: lower case, colons.
    #[serde(default)]
    pub mac: Spelling,
    /// What a target says of itself in `[targets.NAME.params]`: name and default; one without a
    /// default is required.
    #[serde(default)]
    pub params: BTreeMap<String, Param>,
    /// Fields that a flow may give and need not: `none` in templates when it does not.
    #[serde(default)]
    pub optional: Vec<String>,
    /// How we say who we are. Default: not at all.
    #[serde(default)]
    pub auth: Auth,
    /// The limits of a target.
    #[serde(default)]
    pub limits: Limits,
    /// What can be done: `add`, `remove`, `find`.
    pub operations: BTreeMap<String, Operation>,
}

/// How a connector says who we are.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Auth {
    /// Headers of every request.
    pub headers: BTreeMap<String, String>,
    /// Query parameters of every request.
    pub query: BTreeMap<String, String>,
    /// Members of every JSON body.
    pub json: BTreeMap<String, String>,
    /// HTTP digest (RFC 7616): the target's challenge is answered.
    pub digest: Option<DigestKeys>,
    /// Whether cookies of the login go with every request.
    pub cookies: bool,
    /// A request that is made first; what it `capture`s is there for the templates above.
    pub login: Option<Step>,
    /// For how many seconds a login is good: a template over its answer. Default: until it is
    /// refused.
    pub expires_in: Option<String>,
    /// The statuses that say that a login is no longer good. Default: 401.
    pub unauthorized_status: Vec<u16>,
    /// A condition over an answer that says so too, for errors inside a 200.
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

/// Where the credentials of HTTP digest stand in the secret.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DigestKeys {
    /// Key of the user's name.
    pub username: String,
    /// Key of the password.
    pub password: String,
}

/// Steps, in order: one table, or a list of them.
#[derive(Clone, Debug)]
pub struct Operation {
    /// At least one.
    pub steps: Vec<Step>,
}

/// One request, as templates, and what its answers mean.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// For error messages.
    #[serde(default)]
    pub name: String,
    /// A condition; the step is left out when it does not hold.
    pub when: Option<String>,
    /// Values to begin with, for steps that are done again.
    #[serde(default)]
    pub vars: BTreeMap<String, toml::Value>,
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
    /// A JSON body whose strings are templates; one that is a single `{{ expression }}` keeps its
    /// type.
    pub json: Option<toml::Value>,
    /// A form body (`application/x-www-form-urlencoded`).
    pub form: Option<BTreeMap<String, String>>,
    /// An XML body: one element, as a tree.
    pub xml: Option<toml::Value>,
    /// The type of a successful answer's body. Default: that of the `Accept` header, or that of the
    /// request's own body; JSON or XML where neither says.
    pub answer: Option<AnswerType>,
    /// Values for what follows, templates over `answer`, `status` and `headers`.
    #[serde(default)]
    pub capture: BTreeMap<String, String>,
    /// What the answers mean; the first match wins.
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
    /// Any text but a web page.
    Text,
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

impl Step {
    /// All templates of its request.
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

/// All strings in a tree.
pub(super) fn strings<'a>(value: &'a toml::Value, into: &mut Vec<&'a str>) {
    match value {
        toml::Value::String(text) => into.push(text),
        toml::Value::Array(items) => items.iter().for_each(|item| strings(item, into)),
        toml::Value::Table(table) => table.values().for_each(|item| strings(item, into)),
        _ => {}
    }
}

/// One value or a list of them. By hand, as an untagged enum would forget the line of a mistake.
struct OneOrMany<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for OneOrMany<T> {
    type Value = Vec<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a step, or a list of steps")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Vec<T>, A::Error> {
        T::deserialize(MapAccessDeserializer::new(map)).map(|one| vec![one])
    }

    fn visit_seq<A: SeqAccess<'de>>(self, sequence: A) -> Result<Vec<T>, A::Error> {
        Vec::deserialize(SeqAccessDeserializer::new(sequence))
    }
}

impl<'de> Deserialize<'de> for Operation {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let steps = deserializer.deserialize_any(OneOrMany(PhantomData))?;
        Ok(Self { steps })
    }
}
