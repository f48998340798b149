//! The available connectors: the built-in ones, and those of a folder.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use greenlight_core::VALID_UNTIL;
use greenlight_core::flow::{self, Action, Flow};
use greenlight_core::ledger::EffectKind;
use greenlight_core::subject::{self, MAC, SubjectKind};
use serde::Deserialize;
use sha2::{Digest, Sha256};

use crate::connector::{ConnectorError, Protocol, always_there, read};
use crate::filters::hex;
use crate::http::Connector;
use crate::sql::{SqlConnector, secret_keys};

/// File name without `.toml`, and text.
const BUILT_IN: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/connectors.rs"));

/// The files by name, without `.toml`.
#[derive(Clone, Debug)]
pub struct Connectors(BTreeMap<Cow<'static, str>, Cow<'static, str>>);

/// A connector for either protocol.
#[derive(Clone, Debug)]
pub enum AnyConnector {
    /// For systems with an HTTP API.
    Http(Box<Connector>),
    /// For databases.
    Sql(SqlConnector),
}

impl Connectors {
    /// The built-in connectors of `infra/connectors`.
    #[must_use]
    pub fn built_in() -> Self {
        let files = BUILT_IN.iter();
        Self(files.map(|(name, text)| (Cow::from(*name), Cow::from(*text))).collect())
    }

    /// Adds the files of `folder`, if there is one; they override built-in files of the same name.
    ///
    /// # Errors
    /// [`ConnectorError::Unreadable`] when the folder or one of its files cannot be read.
    pub fn built_in_and(folder: Option<&Path>) -> Result<Self, ConnectorError> {
        let mut connectors = Self::built_in();
        let Some(folder) = folder else { return Ok(connectors) };
        let unreadable = |path: &Path, cause| {
            let path = path.display().to_string();
            ConnectorError::Unreadable { path, cause }
        };
        let entries = fs::read_dir(folder).map_err(|cause| unreadable(folder, cause))?;
        for entry in entries {
            let path = entry.map_err(|cause| unreadable(folder, cause))?.path();
            if path.extension().is_none_or(|extension| extension != "toml") {
                continue;
            }
            let text = fs::read_to_string(&path).map_err(|cause| unreadable(&path, cause))?;
            let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            connectors.0.insert(name.into(), text.into());
        }
        Ok(connectors)
    }

    /// Returns names and texts, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, text)| (name.as_ref(), text.as_ref()))
    }

    /// Returns the SHA-256 of all connectors, in hexadecimal.
    #[must_use]
    pub fn digest(&self) -> String {
        let mut digest = Sha256::new();
        // The length prefixes keep different files from hashing alike.
        for text in self.iter().flat_map(|(name, text)| [name, text]) {
            digest.update((text.len() as u64).to_be_bytes());
            digest.update(text);
        }
        hex(&digest.finalize())
    }

    /// Returns the connector that `target` names.
    pub(crate) fn of_target(
        &self,
        name: &str,
        target: &flow::Target,
    ) -> Result<AnyConnector, ConnectorError> {
        let text = self.0.get(target.connector.as_str());
        let text = text.ok_or_else(|| ConnectorError::UnknownConnector {
            target: name.to_owned(),
            connector: target.connector.clone(),
            known: self.iter().map(|(name, _)| name).collect::<Vec<_>>().join(", "),
        })?;
        AnyConnector::parse(&target.connector, text)
    }
}

impl AnyConnector {
    /// Parses a connector file and checks its templates or statements.
    ///
    /// # Errors
    /// [`ConnectorError`] with the line or the part of the file.
    pub fn parse(name: &str, text: &str) -> Result<Self, ConnectorError> {
        #[derive(Deserialize)]
        struct Head {
            #[serde(default)]
            protocol: Protocol,
        }
        let head: Head = read(name, text)?;
        match head.protocol {
            Protocol::Http => Connector::parse(name, text).map(|it| Self::Http(Box::new(it))),
            Protocol::Sql => SqlConnector::parse(name, text).map(Self::Sql),
        }
    }

    /// Returns the description, for people.
    #[must_use]
    pub fn title(&self) -> &str {
        match self {
            Self::Http(connector) => &connector.title,
            Self::Sql(connector) => &connector.title,
        }
    }

    /// Returns the operations by name, and what each is.
    pub fn operations(&self) -> impl Iterator<Item = (&str, EffectKind)> {
        let (http, sql) = match self {
            Self::Http(connector) => (Some(&connector.operations), None),
            Self::Sql(connector) => (None, Some(&connector.operations)),
        };
        let http = http.into_iter().flatten().map(|(name, it)| (name.as_str(), it.effect));
        let sql = sql.into_iter().flatten().map(|(name, it)| (name.as_str(), it.effect));
        http.chain(sql)
    }

    /// Returns the operation that takes away what `operation` gives.
    pub(crate) fn revoked_by(&self, operation: &str) -> Option<&str> {
        match self {
            Self::Http(connector) => connector.operations.get(operation)?.revoked_by.as_deref(),
            Self::Sql(connector) => connector.operations.get(operation)?.revoked_by.as_deref(),
        }
    }

    /// Returns a value of a form that `operation` cannot do without.
    pub(crate) fn form_value_of(&self, operation: &str) -> Option<String> {
        let (needed, optional) = match self {
            Self::Http(connector) => {
                (connector.operations.get(operation)?.needs_of_flow(), &connector.optional)
            }
            Self::Sql(connector) => {
                (connector.operations.get(operation)?.needs(connector), &connector.optional)
            }
        };
        let is_of_form = |variable: &String| {
            !always_there().any(|always| always == variable)
                && ![subject::VARIABLE, MAC.name(), VALID_UNTIL].contains(&variable.as_str())
                && !optional.contains(variable)
        };
        needed.into_iter().find(is_of_form)
    }

    /// Returns the behaviour not yet verified against a real system.
    #[must_use]
    pub fn unverified(&self) -> &[String] {
        match self {
            Self::Http(connector) => &connector.unverified,
            Self::Sql(connector) => &connector.unverified,
        }
    }

    /// Returns the keys that it needs in the target's part of the secret.
    pub(crate) fn secret_keys(&self, target: &flow::Target) -> BTreeSet<String> {
        match self {
            Self::Http(connector) => connector.auth.secret_keys().collect(),
            Self::Sql(_) => secret_keys(&target.url).iter().map(ToString::to_string).collect(),
        }
    }

    pub(crate) fn check_target(&self, name: &str, target: &flow::Target) -> Vec<ConnectorError> {
        match self {
            Self::Http(connector) => connector.check_target(name, target),
            Self::Sql(connector) => connector.check_target(name, target),
        }
    }

    pub(crate) fn check(&self, flow: &Flow, action: &Action) -> Result<(), ConnectorError> {
        match self {
            Self::Http(connector) => connector.check(flow, action),
            Self::Sql(connector) => connector.check(flow, action),
        }
    }
}
