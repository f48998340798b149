//! Flows with their connectors.

use std::collections::BTreeMap;

use greenlight_core::ValidationErrors;
use greenlight_core::flow::{self, Flows};
use greenlight_core::ledger::EffectKind;

use crate::connector::{ConnectorError, ReadProblem, check_conditions};
use crate::connectors::{AnyConnector, Connectors};
use crate::error::NoOperation;
use crate::plaintext;

/// The targets of `flows.toml` with their connectors, validated against each other and the flows.
#[derive(Clone, Debug)]
pub struct Setup(pub(crate) BTreeMap<String, (flow::Target, AnyConnector)>);

impl Setup {
    /// Validates the flows with the connectors.
    ///
    /// # Errors
    /// All errors of the targets, their connectors and the flows that use them.
    pub fn new(
        flows: &Flows,
        connectors: &Connectors,
    ) -> Result<Self, ValidationErrors<ConnectorError>> {
        let mut targets = BTreeMap::new();
        let mut errors = Vec::new();
        for (name, target) in &flows.targets {
            match connectors.of_target(name, target) {
                Ok(connector) => {
                    errors.extend(connector.check_target(name, target));
                    errors.extend(plaintext::check(name, target));
                    targets.insert(name.clone(), (target.clone(), connector));
                }
                Err(error) => errors.push(error),
            }
        }
        for flow in &flows.flows {
            errors.extend(check_conditions(flow));
            for action in &flow.actions {
                let target = targets.get(&action.target);
                errors.extend(target.and_then(|(_, it)| it.check(flow, action).err()));
            }
        }
        ValidationErrors::into_result(errors).map(|()| Self(targets))
    }

    /// Checks that the instances of `source` can be read with `operation` of `target`.
    ///
    /// # Errors
    /// [`ConnectorError::Read`] with the reason.
    pub fn check_read(
        &self,
        source: &str,
        target: &str,
        operation: &str,
    ) -> Result<(), ConnectorError> {
        let result = match self.0.get(target) {
            None => Err(ReadProblem::NoTarget { target: target.to_owned() }),
            Some((_, AnyConnector::Sql(_))) => {
                Err(ReadProblem::NotHttp { target: target.to_owned() })
            }
            Some((_, AnyConnector::Http(connector))) => connector.check_read(target, operation),
        };
        let source_name = source.to_owned();
        result.map_err(|problem| ConnectorError::Read { source_name, problem })
    }

    /// Returns the granting operation of a target, and the one that takes its access away, for an
    /// access that no form asks for. `named` is needed where the connector has several.
    ///
    /// # Errors
    /// [`NoOperation`] with the reason.
    pub fn granting(
        &self,
        target: &str,
        named: Option<&str>,
    ) -> Result<(String, String), NoOperation> {
        let Some((_, connector)) = self.0.get(target) else {
            let known = self.0.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
            return Err(NoOperation::Target { target: target.to_owned(), known });
        };
        let granting = connector.operations().filter(|(_, kind)| *kind == EffectKind::Grant);
        let all: Vec<_> = granting.map(|(name, _)| name).collect();
        let is_meant = |name: &&str| named.is_none_or(|named| named == *name);
        let meant: Vec<_> = all.iter().copied().filter(is_meant).collect();
        let [operation] = meant.as_slice() else {
            let (target, known) = (target.to_owned(), all.join(", "));
            return Err(NoOperation::NotOne { target, known });
        };
        let of = || (target.to_owned(), (*operation).to_owned());
        if let Some(variable) = connector.form_value_of(operation) {
            let (target, operation) = of();
            return Err(NoOperation::NeedsForm { target, operation, variable });
        }
        let Some(revoked_by) = connector.revoked_by(operation) else {
            let (target, operation) = of();
            return Err(NoOperation::NoRemoval { target, operation });
        };
        Ok(((*operation).to_owned(), revoked_by.to_owned()))
    }

    /// Returns the names of the targets.
    pub fn targets(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// Returns the required entries of the secret: target and key.
    pub fn credentials(&self) -> impl Iterator<Item = (&str, String)> {
        self.0.iter().flat_map(|(name, (target, connector))| {
            connector.secret_keys(target).into_iter().map(|key| (name.as_str(), key))
        })
    }
}
