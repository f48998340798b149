//! The kinds of office systems, and the sources of `flows.toml`.

use std::collections::BTreeMap;
#[cfg(feature = "client")]
use std::sync::Arc;

use greenlight_core::ValidationErrors;
use greenlight_core::explain::Explain;
use greenlight_core::flow::{SourceConfig, SourceConfigs};
use greenlight_core::secret::{Credentials, Secret, SecretError};
use greenlight_core::webhook::Webhooks;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use thiserror::Error;

use crate::KINDS;
#[cfg(feature = "client")]
use crate::client_kind::About;
use crate::kind::{SettingsProblem, SettingsWarning, SourceKind};
#[cfg(feature = "client")]
use crate::source::{SourcePorts, Sources};

/// Reads the settings of a kind.
type Parse = fn(Map<String, Value>) -> Result<Box<dyn SourceKind>, SettingsProblem>;

/// A kind of office system, as the table of kinds has it.
#[derive(Clone, Copy)]
pub(crate) struct Kind {
    parse: Parse,
    #[cfg(feature = "client")]
    about: fn() -> About,
}

/// The entry of the kind `K`.
pub(crate) const fn kind<K: SourceKind + DeserializeOwned + 'static>() -> Kind {
    Kind {
        parse: parse::<K>,
        #[cfg(feature = "client")]
        about: K::about,
    }
}

/// The kinds, by name.
#[cfg(feature = "client")]
pub fn kinds() -> impl Iterator<Item = (&'static str, About)> {
    KINDS.iter().map(|(name, kind)| (*name, (kind.about)()))
}

fn parse<K: SourceKind + DeserializeOwned + 'static>(
    settings: Map<String, Value>,
) -> Result<Box<dyn SourceKind>, SettingsProblem> {
    let kind: K = serde_json::from_value(Value::Object(settings))
        .map_err(|error| SettingsProblem::Invalid { problem: error.to_string() })?;
    match kind.problem() {
        None => Ok(Box::new(kind)),
        Some(problem) => Err(problem),
    }
}

/// A source in `flows.toml` that cannot be used.
#[derive(Clone, Debug, Error, Explain, PartialEq, Eq)]
#[explain("source")]
pub enum SourceError {
    /// There is no such kind.
    #[error("source `{source_name}`: there is no kind `{kind}`; known: {known}")]
    UnknownKind { source_name: String, kind: String, known: String },
    /// Its settings are invalid.
    #[error("source `{source_name}`: {problem}")]
    Settings { source_name: String, problem: SettingsProblem },
}

impl SourceError {
    /// The source.
    #[must_use]
    pub fn source_name(&self) -> &str {
        let (Self::UnknownKind { source_name, .. } | Self::Settings { source_name, .. }) = self;
        source_name
    }
}

/// The sources of `flows.toml`, validated.
#[derive(Debug)]
pub struct Registry {
    kinds: BTreeMap<String, Box<dyn SourceKind>>,
    default: Option<String>,
}

impl Registry {
    /// Validates the sources.
    ///
    /// # Errors
    /// Every [`SourceError`].
    pub fn new(configs: &SourceConfigs) -> Result<Self, ValidationErrors<SourceError>> {
        let (mut kinds, mut errors) = (BTreeMap::new(), Vec::new());
        for (name, config) in &configs.0 {
            match kind_of(name, config) {
                Ok(kind) => drop(kinds.insert(name.clone(), kind)),
                Err(error) => errors.push(error),
            }
        }
        let default = configs.default_source().map(str::to_owned);
        ValidationErrors::into_result(errors).map(|()| Self { kinds, default })
    }

    /// The names of the sources, with their kinds.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &dyn SourceKind)> {
        self.kinds.iter().map(|(name, kind)| (name.as_str(), &**kind))
    }

    /// The kind of `source`, or of the default source.
    #[must_use]
    pub fn find(&self, source: Option<&str>) -> Option<(&str, &dyn SourceKind)> {
        let name = source.or(self.default.as_deref())?;
        let (name, kind) = self.kinds.get_key_value(name)?;
        Some((name.as_str(), &**kind))
    }

    /// The webhook halves of all sources.
    #[must_use]
    pub fn webhooks(&self) -> Webhooks {
        let webhooks = self.kinds.iter().map(|(name, kind)| (name.clone(), kind.webhook(name)));
        Webhooks::new(webhooks.collect(), self.default.clone())
    }

    /// The halves of all sources that call the office systems.
    #[cfg(feature = "client")]
    #[must_use]
    pub fn clients(&self, ports: &SourcePorts) -> Sources {
        let clients = self.iter();
        let clients =
            clients.map(|(name, kind)| (name.to_owned(), kind.client(name, ports.clone())));
        Sources(Arc::new(clients.collect()))
    }

    /// The required entries of the secret: source and key.
    pub fn credentials(&self) -> impl Iterator<Item = (&str, &'static str)> {
        self.kinds.iter().flat_map(|(name, kind)| {
            kind.credentials().iter().map(|credential| (name.as_str(), *credential))
        })
    }

    /// Checks that `secret` has the credentials of every source, and that each is its own: nothing
    /// else keeps a request for one source from being accepted for another.
    ///
    /// # Errors
    /// [`SecretError`] names what is missing, cannot be used or is there twice.
    pub fn check_credentials(&self, secret: &Secret) -> Result<(), SecretError> {
        let none = Credentials::default();
        let is_missing = |(source, name): &(&str, &'static str)| {
            secret.source(source).unwrap_or(&none).get(name).is_none()
        };
        let missing = self.credentials().filter(is_missing);
        let missing: Vec<_> =
            missing.map(|(source, name)| format!("sources.{source}.{name}")).collect();
        if !missing.is_empty() {
            return Err(SecretError::Missing(missing.join("`, `")));
        }
        let mut known = BTreeMap::new();
        for (source, name) in self.credentials() {
            let kind = self.kinds.get(source);
            let is_identity = kind.is_some_and(|kind| kind.identities().contains(&name));
            let (path, credentials) =
                (format!("sources.{source}.{name}"), secret.source(source).unwrap_or(&none));
            for value in credentials.all(name) {
                let usable = kind.map(|kind| kind.check_usable(name, value));
                if let Some(Err(usable)) = usable {
                    return Err(SecretError::Unusable { path, usable: usable.explain() });
                }
                if is_identity {
                    continue;
                }
                match known.insert(value, (source, path.clone())) {
                    Some((other, first)) if other != source => {
                        return Err(SecretError::Shared { first, second: path });
                    }
                    _ => {}
                }
            }
        }
        Ok(())
    }

    /// Logs what is weak in the settings, and the credentials that `secret` lacks: the other
    /// sources work without them, and it may be set while a host runs.
    pub fn log_problems(&self, secret: &Secret) {
        for (source, warning) in self.warnings() {
            tracing::warn!(source, "{warning}");
        }
        if let Err(error) = self.check_credentials(secret) {
            tracing::error!("{error}");
        }
    }

    /// Logs the sources whose events no function can receive.
    pub fn log_connections(&self) {
        for (source, _) in self.iter().filter(|(_, kind)| kind.needs_connection()) {
            tracing::error!(
                source,
                "the events of this source come over a connection, which only `greenlight serve` \
                 holds: nothing arrives here"
            );
        }
    }

    /// The weak setting of each source that has one.
    pub fn warnings(&self) -> impl Iterator<Item = (&str, SettingsWarning)> {
        self.iter().filter_map(|(name, kind)| Some((name, kind.warning()?)))
    }
}

fn kind_of(name: &str, config: &SourceConfig) -> Result<Box<dyn SourceKind>, SourceError> {
    let source_name = || name.to_owned();
    let Some((_, kind)) = KINDS.iter().find(|(kind, _)| *kind == config.kind) else {
        let known: Vec<_> = KINDS.iter().map(|(kind, _)| *kind).collect();
        let (kind, known) = (config.kind.clone(), known.join(", "));
        return Err(SourceError::UnknownKind { source_name: source_name(), kind, known });
    };
    (kind.parse)(config.settings.clone())
        .map_err(|problem| SourceError::Settings { source_name: source_name(), problem })
}
