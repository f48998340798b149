//! All targets, for every protocol.

use std::fmt;
use std::sync::Arc;

use greenlight_core::flow;
use greenlight_core::ledger::EffectKind;
use greenlight_core::ports::{Act, Acted, Call, Clock, Conditions, Http, ReadSecret, ReadTarget};
use greenlight_core::{Class, Failure};
use secrecy::ExposeSecret;
use serde::Serialize;
use serde_json::{Map, Value};

use crate::connector::{ConnectorError, Reached, variable};
use crate::connectors::AnyConnector;
use crate::error::NotConfigured;
use crate::http::{HttpConnector, RequestPreview};
use crate::setup::Setup;
use crate::sql::{Databases, StatementPreview};
use crate::template::{self, condition_needs};

/// Executes effects on all targets of `flows.toml`, each with its connector.
#[derive(Debug)]
pub struct Targets<H, S, C> {
    http: Arc<HttpConnector<H, S, C>>,
    databases: Arc<Databases<S, C>>,
}

impl<H, S, C> Clone for Targets<H, S, C> {
    /// The same targets, with the same sessions and limits.
    fn clone(&self) -> Self {
        Self { http: Arc::clone(&self.http), databases: Arc::clone(&self.databases) }
    }
}

impl<H, S, C> Targets<H, S, C>
where
    H: Http,
    S: ReadSecret + Clone,
    C: Clock + Clone,
{
    /// Creates the targets of `setup`; `client_for` returns the HTTP client of a target.
    ///
    /// # Errors
    /// [`ConnectorError::MissingCredential`], or the reason why a client cannot be built.
    pub fn new<E: From<ConnectorError>>(
        setup: Setup,
        secret: S,
        clock: C,
        mut client_for: impl FnMut(&str, &flow::Target) -> Result<H, E>,
    ) -> Result<Self, E> {
        let current = secret.current();
        let is_there = |target: &str, key: &str| {
            let credential = current.targets.get(target).and_then(|target| target.get(key));
            credential.is_some_and(|credential| !credential.expose_secret().is_empty())
        };
        if let Some((target, key)) = setup.credentials().find(|(name, key)| !is_there(name, key)) {
            return Err(ConnectorError::MissingCredential { target: target.to_owned(), key }.into());
        }
        let mut http = HttpConnector::new(secret.clone(), clock.clone());
        let mut databases = Databases::new(secret, clock);
        for (name, (target, connector)) in setup.0 {
            match connector {
                AnyConnector::Http(connector) => {
                    http.add(&name, &target, *connector, || client_for(&name, &target))?;
                }
                AnyConnector::Sql(connector) => databases.add(&name, &target, connector)?,
            }
        }
        Ok(Self { http: Arc::new(http), databases: Arc::new(databases) })
    }

    /// Returns all requests or statements of an effect, in order, without sending them.
    ///
    /// # Errors
    /// [`Failure`] when one of them cannot be rendered.
    pub fn preview(&self, call: &Call<'_>) -> Result<Vec<Preview>, Failure> {
        if self.databases.has(call.target) {
            let statements = self.databases.preview(call)?;
            return Ok(statements.into_iter().map(Preview::Statement).collect());
        }
        Ok(self.http.preview(call)?.into_iter().map(Preview::Request).collect())
    }
}

impl<H: Http, S: ReadSecret, C: Clock> Targets<H, S, C> {
    /// Checks how far `target` can be reached; changes nothing there.
    ///
    /// # Errors
    /// [`Failure`] with the reason.
    pub async fn reach(&self, target: &str) -> Result<Reached, Failure> {
        if self.databases.has(target) {
            return self.databases.reach(target).await.map(|()| Reached::LoggedIn);
        }
        let unknown = || {
            let error = NotConfigured::Target { target: target.to_owned() };
            Failure::give_up(Class::NotConfigured, error)
        };
        self.http.reach(target).await.ok_or_else(unknown)?
    }
}

/// A request or statement of an effect.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Preview {
    /// A request over HTTP.
    Request(RequestPreview),
    /// A statement in a database.
    Statement(StatementPreview),
}

impl fmt::Display for Preview {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Request(request) => request.fmt(f),
            Self::Statement(statement) => statement.fmt(f),
        }
    }
}

impl<H: Http, S: ReadSecret, C: Clock> Conditions for Targets<H, S, C> {
    /// A condition over a field that is missing or invalid is false: MiniJinja sorts undefined
    /// below every number, so `days <= 30` would admit every request.
    fn holds(&self, condition: &str, variables: &Map<String, Value>) -> Result<bool, Failure> {
        let needed = condition_needs(condition).unwrap_or_default(); // Compiled before.
        let is_there =
            |needed: &String| variables.get(variable(needed)).is_some_and(|value| !value.is_null());
        if !needed.iter().all(is_there) {
            return Ok(false);
        }
        template::holds(condition, &template::context(variables))
            .map_err(|error| Failure::give_up(Class::NotConfigured, error))
    }

    fn condition_uses(&self, condition: &str, field: &str) -> bool {
        let needed = condition_needs(condition).unwrap_or_default(); // Compiled before.
        needed.iter().any(|needed| variable(needed) == field)
    }

    fn uses(&self, target: &str, operation: &str, field: &str) -> bool {
        if self.databases.has(target) {
            self.databases.uses(target, operation, field)
        } else {
            self.http.uses(target, operation, field)
        }
    }

    fn kind(&self, target: &str, operation: &str) -> EffectKind {
        let of_database = self.databases.kind(target, operation);
        of_database.or_else(|| self.http.kind(target, operation)).unwrap_or(EffectKind::Write)
    }

    fn revoked_by(&self, target: &str, operation: &str) -> Option<String> {
        let of_database = self.databases.revoked_by(target, operation);
        of_database.or_else(|| self.http.revoked_by(target, operation))
    }
}

impl<H: Http, S: ReadSecret, C: Clock> ReadTarget for Targets<H, S, C> {
    /// Of targets over HTTP; [`Setup::check_read`] accepts no others.
    async fn read(&self, call: &Call<'_>) -> Result<Value, Failure> {
        self.http.read(call).await
    }
}

impl<H: Http, S: ReadSecret, C: Clock> Act for Targets<H, S, C> {
    fn is_exclusive(&self, target: &str) -> bool {
        self.http.is_exclusive(target)
    }

    /// For databases 1: serializable transactions over the same table conflict with each other.
    fn concurrency(&self, target: &str) -> usize {
        self.http.concurrency(target)
    }

    async fn act(&self, call: &Call<'_>) -> Result<Acted, Failure> {
        if self.databases.has(call.target) {
            let outcome = self.databases.act(call).await?;
            Ok(Acted { outcome, session: self.databases.session(call.target, call.operation) })
        } else {
            self.http.act(call).await
        }
    }
}
