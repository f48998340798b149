//! `greenlight subscribe` and `greenlight sources list`, and the sources of the operator's
//! commands.

use std::sync::Arc;

use greenlight_core::explain::{Explain, Explanation};
use greenlight_core::ports::{Call, ReadTarget};
use greenlight_core::secret::{FixedSecret, Secret, SecretError};
use greenlight_core::{Class, Failure};
use greenlight_render::format::{OutputFormat, padded};
use greenlight_render::language::Language;
use greenlight_render::text;
use greenlight_runtime::{HttpSources, StartError};
use greenlight_sources::client_kind::About;
use greenlight_sources::registry::{Registry, kinds};
use greenlight_sources::source::Admin;
use serde_json::{Value, json};
use thiserror::Error;

use crate::secrets::Secrets;

/// The call of a source failed.
#[derive(Debug, Error, Explain)]
#[explain("subscribe")]
pub enum SubscribeError {
    /// The secret cannot be read, or is incomplete.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// There is no such source.
    #[error(transparent)]
    Source(#[from] NoSuchSource),
    /// The client cannot be built.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The office system has no API for it.
    #[error(
        "events of the source `{source_name}` are not subscribed to through an API: set the \
         webhook URL where the office system sends them from"
    )]
    NoApi { source_name: String },
    /// The office system did not answer, or rejected the request.
    #[error("{0}")]
    Refused(Explanation),
}

impl From<Failure> for SubscribeError {
    fn from(failure: Failure) -> Self {
        Self::Refused(failure.reason().cause.clone())
    }
}

/// A source that flows.toml does not have.
#[derive(Clone, Debug, Error, Explain, PartialEq, Eq)]
#[explain("no_such_source")]
pub enum NoSuchSource {
    #[error("there is no source `{name}`; there is: {known}")]
    Unknown { name: String, known: String },
    #[error("no source has `default = true`: name one with --source; there is: {known}")]
    NoDefault { known: String },
}

impl NoSuchSource {
    /// The error for a source that `registry` lacks.
    #[must_use]
    pub fn new(name: Option<&str>, registry: &Registry) -> Self {
        let known = registry.iter().map(|(name, _)| name).collect::<Vec<_>>().join(", ");
        match name {
            Some(name) => Self::Unknown { name: name.to_owned(), known },
            None => Self::NoDefault { known },
        }
    }
}

/// The sources of `registry`, with the credentials in `secret`.
///
/// # Errors
/// [`StartError`] when the machine has no trust anchors.
pub fn clients(registry: &Registry, secret: Secret) -> Result<HttpSources, StartError> {
    HttpSources::new(registry, FixedSecret(Arc::new(secret)), NoTargets)
}

/// Set-up and checks read no approvals.
#[derive(Clone, Copy, Debug)]
struct NoTargets;

/// A read that no command here makes.
#[derive(Clone, Copy, Debug, Error, Explain)]
#[explain("no_targets")]
#[error("this command reads no approvals")]
struct NotRead;

impl ReadTarget for NoTargets {
    async fn read(&self, _: &Call<'_>) -> Result<Value, Failure> {
        Err(Failure::give_up(Class::NotConfigured, NotRead))
    }
}

/// Subscribes to the events of an approval: without it the office system may send none. `false` if
/// that was done before.
///
/// # Errors
/// [`SubscribeError`] if the secret cannot be read, or the office system rejects the request.
pub async fn subscribe(
    registry: &Registry,
    source: Option<&str>,
    secrets: &Secrets,
    definition_id: &str,
) -> Result<bool, SubscribeError> {
    let (name, _) = registry.find(source).ok_or_else(|| NoSuchSource::new(source, registry))?;
    let sources = clients(registry, secrets.read().await?)?;
    let no_api = || SubscribeError::NoApi { source_name: name.to_owned() };
    let definitions = sources.0.find(name)?.admin().and_then(Admin::definitions);
    Ok(definitions.ok_or_else(no_api)?.subscribe(definition_id).await?)
}

/// Renders the result of [`subscribe`].
#[must_use]
pub fn render_subscribed(definition_id: &str, is_new: bool, format: OutputFormat) -> String {
    match (format, is_new) {
        (OutputFormat::Json, _) => {
            format!("{}\n", json!({"definition_id": definition_id, "subscribed": true}))
        }
        (OutputFormat::Text(language), true) => {
            text!(language, "subscribed to {definition_id}\n", "已订阅审批 {definition_id}\n")
        }
        (OutputFormat::Text(language), false) => text!(
            language,
            "subscribed to {definition_id} before\n",
            "此前已订阅审批 {definition_id}\n"
        ),
    }
}

/// The width of the names; a longer name moves its title.
const NAME_WIDTH: usize = 12;

/// Renders the kinds of sources.
#[must_use]
pub fn render_kinds(language: Language) -> String {
    let indented = |line: &str| padded("", NAME_WIDTH) + line + "\n";
    let entry = |(name, about): (&str, About)| {
        let arrivals = about.arrivals.iter().map(|arrival| language.explain(&arrival.explain()));
        let arrivals = arrivals.collect::<Vec<_>>().join(language.pick("; ", "；"));
        let checked = language.explain(&about.checked_with);
        padded(name, NAME_WIDTH)
            + &language.explain(&about.title)
            + "\n"
            + &indented(&arrivals)
            + &indented(&text!(language, "checked with: {checked}", "核对依据：{checked}"))
    };
    kinds().map(entry).collect()
}
