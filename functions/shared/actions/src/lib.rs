//! What can be done when an approval turns green. How to speak to a system is data: one TOML file per product
//! in `infra/connectors`.
//!
//! * [`http`]: whitelists behind HTTP APIs.
//! * [`sql`]: records in databases.

pub mod connector;
mod error;
mod filters;
pub mod http;
pub mod sql;
mod template;

use greenlight_core::Failure;
use greenlight_core::flow::{self, Flows};
use greenlight_core::ledger::EffectOutcome;
use greenlight_core::ports::{Act, Call, Clock, Http, ReadSecret};
use serde_json::{Map, Value};

use connector::{ConnectorError, Speaks};
use http::{Connector, HttpConnector};
use sql::{Databases, SqlConnector};

/// Acts on all targets of `flows.toml`, each by its connector.
#[derive(Debug)]
pub struct Actions<H, S, C> {
    http: HttpConnector<H, S, C>,
    databases: Databases<S, C>,
}

impl<H, S, C> Actions<H, S, C>
where
    H: Http,
    S: ReadSecret + Clone,
    C: Clock + Clone,
{
    /// For the targets of `flows`; `client_for` gives each that speaks HTTP its client.
    ///
    /// # Errors
    /// [`ConnectorError`] when a flow, a connector and the secret do not go together.
    pub fn new<E: From<ConnectorError>>(
        flows: &Flows,
        secret: S,
        clock: C,
        mut client_for: impl FnMut(&str, &flow::Target) -> Result<H, E>,
    ) -> Result<Self, E> {
        let mut actions = Self {
            http: HttpConnector::new(secret.clone(), clock.clone()),
            databases: Databases::new(secret, clock),
        };
        for (name, target) in &flows.targets {
            let (file, text) = connector::built_in_named(name, &target.connector)?;
            match connector::speaks(file, text)? {
                Speaks::Http => {
                    let connector = Connector::parse(file, text)?;
                    actions.http.add(name, target, connector, || client_for(name, target))?;
                }
                Speaks::Sql => {
                    let connector = SqlConnector::parse(file, text)?;
                    actions.databases.add(name, target, connector)?;
                }
            }
        }
        for flow in &flows.flows {
            connector::check_conditions(flow)?;
            for action in &flow.actions {
                // Flows are checked to name targets that are there.
                actions.http.check(flow, action)?;
                actions.databases.check(flow, action)?;
            }
        }
        Ok(actions)
    }

    /// Whether a target is a database.
    #[must_use]
    pub fn is_database(&self, target: &str) -> bool {
        self.databases.has(target)
    }

    /// The targets that speak HTTP.
    #[must_use]
    pub const fn http(&self) -> &HttpConnector<H, S, C> {
        &self.http
    }
}

impl<H: Http, S: ReadSecret, C: Clock> Act for Actions<H, S, C> {
    fn holds(&self, condition: &str, variables: &Map<String, Value>) -> Result<bool, Failure> {
        connector::holds(condition, variables)
    }

    fn is_exclusive(&self, target: &str) -> bool {
        self.http.is_exclusive(target)
    }

    async fn act(&self, call: &Call<'_>) -> Result<EffectOutcome, Failure> {
        if self.databases.has(call.target) {
            self.databases.act(call).await
        } else {
            self.http.act(call).await
        }
    }
}
