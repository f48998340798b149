//! The HTTP connector: speaks to any whitelist API that a connector file describes.

mod answer;
mod auth;
mod check;
mod connector;
mod digest;
mod exchange;
mod limits;
mod outcome;
mod preview;
mod render;
mod run;
mod xml;

use std::collections::BTreeMap;

use greenlight_core::flow::{self, Flows};
use greenlight_core::ledger::EffectOutcome;
use greenlight_core::ports::{Act, Call, Clock, Http, ReadSecret};
use greenlight_core::{Class, Failure};
use serde_json::{Map, Value};

pub use connector::{Auth, Connector, DigestKeys, Method, Operation, Step};
pub use limits::Limits;
pub use outcome::{Rule, RuleOutcome};
pub use preview::Preview;

use crate::connector::{ConnectorError, Speaks, built_in_named, params, speaks, variables};
use exchange::Target;

/// Acts on the targets of `flows.toml` over HTTP.
#[derive(Debug)]
pub struct HttpConnector<H, S, C> {
    targets: BTreeMap<String, Target<H>>,
    secret: S,
    clock: C,
}

impl<H: Http, S: ReadSecret, C: Clock> HttpConnector<H, S, C> {
    /// The connector for the targets of `flows`; `client_for` gives each target its HTTP client.
    ///
    /// # Errors
    /// [`ConnectorError`] when a flow, a connector and the secret do not go together.
    pub fn new<E: From<ConnectorError>>(
        flows: &Flows,
        secret: S,
        clock: C,
        mut client_for: impl FnMut(&str, &flow::Target) -> Result<H, E>,
    ) -> Result<Self, E> {
        let mut targets = BTreeMap::new();
        for (name, target) in &flows.targets {
            let (file, text) = built_in_named(name, &target.connector)?;
            if speaks(file, text)? != Speaks::Http {
                continue;
            }
            let connector = Connector::parse(file, text)?;
            let url = base_url(name, &target.url)?;
            let params = params(name, target, &connector.params)?;
            check::credentials(name, &connector.auth, &secret.current())?;
            let http = client_for(name, target)?;
            targets.insert(name.clone(), Target::new(name, url, params, connector, http));
        }
        let connector = Self { targets, secret, clock };
        connector.check(flows)?;
        Ok(connector)
    }

    /// For one target, with a connector that need not be built in: to try it.
    ///
    /// # Errors
    /// [`ConnectorError`] when connector, target and secret do not go together.
    pub fn of_one(
        name: &str,
        target: &flow::Target,
        connector: Connector,
        (secret, clock, http): (S, C, H),
    ) -> Result<Self, ConnectorError> {
        let url = base_url(name, &target.url)?;
        let params = params(name, target, &connector.params)?;
        check::credentials(name, &connector.auth, &secret.current())?;
        let target = Target::new(name, url, params, connector, http);
        Ok(Self { targets: BTreeMap::from([(name.to_owned(), target)]), secret, clock })
    }

    fn check(&self, flows: &Flows) -> Result<(), ConnectorError> {
        for flow in &flows.flows {
            for action in &flow.actions {
                let Some(target) = self.targets.get(&action.target) else {
                    continue; // Another kind of target: flows are checked to name those that are there.
                };
                check::action(&target.connector, flow, action)?;
            }
        }
        Ok(())
    }
}

impl<H: Http, S: ReadSecret, C: Clock> Act for HttpConnector<H, S, C> {
    fn holds(&self, condition: &str, variables: &Map<String, Value>) -> Result<bool, Failure> {
        crate::connector::holds(condition, variables)
    }

    fn is_exclusive(&self, target: &str) -> bool {
        self.targets.get(target).is_some_and(|target| target.connector.limits.exclusive)
    }

    async fn act(&self, call: &Call<'_>) -> Result<EffectOutcome, Failure> {
        let (target, operation) = self.find(call)?;
        self.run(target, operation, call).await
    }
}

impl<H, S, C> HttpConnector<H, S, C> {
    fn find(&self, call: &Call<'_>) -> Result<(&Target<H>, &Operation), Failure> {
        let target = self.targets.get(call.target);
        let operation = target.and_then(|target| target.connector.operations.get(call.operation));
        target.zip(operation).ok_or_else(|| {
            let text =
                format!("`{}` of target `{}` is not configured", call.operation, call.target);
            Failure::give_up(Class::NotConfigured, text)
        })
    }
}

impl<H> Target<H> {
    /// The values that an operation's templates may use to begin with.
    fn variables(&self, call: &Call<'_>, clock: &impl Clock) -> Map<String, Value> {
        let mac = call.device.spelled(self.connector.mac);
        let optional = &self.connector.optional;
        variables(call, mac, &self.params, optional, clock.now().as_millis())
    }
}

fn base_url(target: &str, url: &str) -> Result<String, ConnectorError> {
    let is_base = |uri: &http::Uri| {
        matches!(uri.scheme_str(), Some("http" | "https"))
            && uri.query().is_none()
            && uri.authority().is_some_and(|authority| !authority.as_str().contains('@'))
    };
    match url.parse::<http::Uri>() {
        Ok(uri) if is_base(&uri) => Ok(url.trim_end_matches('/').to_owned()),
        _ => Err(ConnectorError::BadUrl(target.to_owned())),
    }
}

#[cfg(test)]
mod tests;
