//! The HTTP connector: calls any API that a connector file describes.

mod answer;
mod auth;
mod check;
mod connector;
mod digest;
mod error;
mod exchange;
mod limits;
mod outcome;
mod preview;
mod render;
mod run;
mod shape;
mod xml;

use std::collections::BTreeMap;

use greenlight_core::flow;
use greenlight_core::ledger::{EffectKind, EffectOutcome};
use greenlight_core::ports::{Acted, Call, Clock, Http, ReadSecret};
use greenlight_core::{Class, Failure};
use serde_json::{Map, Value};

pub use connector::{AnswerType, Auth, Connector, DigestKeys, Method, Operation, Step};
pub use limits::Limits;
pub use outcome::{Rule, RuleResult};
pub use preview::RequestPreview;

use crate::connector::{ConnectorError, DOCUMENT, Reached, params, variables};
use crate::error::NotConfigured;
use check::base_url;
use error::CallError;
use exchange::HttpTarget;

/// Executes effects on the targets of `flows.toml` over HTTP.
#[derive(Debug)]
pub struct HttpConnector<H, S, C> {
    targets: BTreeMap<String, HttpTarget<H>>,
    secret: S,
    clock: C,
}

impl<H: Http, S: ReadSecret, C: Clock> HttpConnector<H, S, C> {
    /// Creates a connector without targets.
    pub const fn new(secret: S, clock: C) -> Self {
        Self { targets: BTreeMap::new(), secret, clock }
    }

    /// Adds a target with its `connector`; `client` returns its HTTP client.
    ///
    /// # Errors
    /// [`ConnectorError`] when connector and target do not match.
    pub fn add<E: From<ConnectorError>>(
        &mut self,
        name: &str,
        target: &flow::Target,
        connector: Connector,
        client: impl FnOnce() -> Result<H, E>,
    ) -> Result<(), E> {
        let url = base_url(name, &target.url)?;
        let params = params(name, target, &connector.params)?;
        let target = HttpTarget::new(name, url, params, connector, client()?);
        self.targets.insert(name.to_owned(), target);
        Ok(())
    }

    /// Returns whether `target` allows only one operation at a time.
    #[must_use]
    pub fn is_exclusive(&self, target: &str) -> bool {
        self.targets.get(target).is_some_and(|target| target.connector.limits.exclusive)
    }

    /// Returns the concurrency limit of `target`; the rate limit applies to each request besides.
    #[must_use]
    pub fn concurrency(&self, target: &str) -> usize {
        let limits = self.targets.get(target).map(|target| target.connector.limits);
        limits.map_or(1, |limits| if limits.exclusive { 1 } else { limits.concurrency.max(1) })
    }

    /// Returns whether the requests of `operation` to `target` depend on a field. An operation that
    /// is not configured counts as dependent.
    #[must_use]
    pub fn uses(&self, target: &str, operation: &str, field: &str) -> bool {
        let target = self.targets.get(target);
        let operation = target.and_then(|target| target.connector.operations.get(operation));
        operation.is_none_or(|operation| operation.uses(field))
    }

    /// Returns what `operation` of `target` is; `None` when it is not configured.
    #[must_use]
    pub fn kind(&self, target: &str, operation: &str) -> Option<EffectKind> {
        Some(self.targets.get(target)?.connector.operations.get(operation)?.effect)
    }

    /// Returns the operation that takes away what `operation` gives.
    #[must_use]
    pub fn revoked_by(&self, target: &str, operation: &str) -> Option<String> {
        self.targets.get(target)?.connector.operations.get(operation)?.revoked_by.clone()
    }

    /// Checks how far `target` can be reached; `None` when it is not an HTTP target.
    ///
    /// # Errors
    /// [`Failure`] with the reason.
    pub async fn reach(&self, target: &str) -> Option<Result<Reached, Failure>> {
        Some(self.reach_target(self.targets.get(target)?).await)
    }

    /// Performs one effect.
    ///
    /// # Errors
    /// [`Failure`] says whether to retry.
    pub async fn act(&self, call: &Call<'_>) -> Result<Acted, Failure> {
        let (outcome, variables) = self.perform(call).await?;
        let (_, operation) = self.find(call)?;
        Ok(Acted { outcome, session: operation.session(&variables) })
    }

    /// Performs one operation that reads, and returns the [`DOCUMENT`] that it captures.
    ///
    /// # Errors
    /// [`Failure`] says whether to retry.
    pub async fn read(&self, call: &Call<'_>) -> Result<Value, Failure> {
        let (_, mut variables) = self.perform(call).await?;
        let document = variables.remove(DOCUMENT).filter(|document| !document.is_null());
        document.ok_or_else(|| {
            let (target, operation) = (call.target.to_owned(), call.operation.to_owned());
            Failure::give_up(Class::TargetRejected, CallError::NoDocument { target, operation })
        })
    }

    /// Runs an operation within the limits of its target; returns the variables at its end, too.
    async fn perform(
        &self,
        call: &Call<'_>,
    ) -> Result<(EffectOutcome, Map<String, Value>), Failure> {
        let (target, operation) = self.find(call)?;
        let Some(_room) = target.limiter.admit(&self.clock, call.deadline).await else {
            let error = CallError::NoPermit { target: call.target.to_owned() };
            return Err(Failure::retry(Class::DeadlineExceeded, error));
        };
        let mut variables = target.variables(call, &self.clock);
        let outcome = self.run(target, operation, call, &mut variables).await?;
        let check = operation.check.as_ref().and_then(|it| target.connector.operations.get(it));
        if let Some(check) = check {
            let mut variables = target.variables(call, &self.clock);
            let shown = self.run(target, check, call, &mut variables).await;
            shown.map_err(|failure| not_shown(failure, call))?;
        }
        Ok((outcome, variables))
    }
}

impl<H, S, C> HttpConnector<H, S, C> {
    fn find(&self, call: &Call<'_>) -> Result<(&HttpTarget<H>, &Operation), Failure> {
        let target = self.targets.get(call.target);
        let operation = target.and_then(|target| target.connector.operations.get(call.operation));
        target.zip(operation).ok_or_else(|| {
            let (target, operation) = (call.target.to_owned(), call.operation.to_owned());
            let error = NotConfigured::Operation { target, operation };
            Failure::give_up(Class::NotConfigured, error)
        })
    }
}

/// The failure of a check after a grant. A subject that is not there may be shown later; any other
/// failure keeps its verdict. In each case the target may have given the access.
fn not_shown(failure: Failure, call: &Call<'_>) -> Failure {
    let failure = match failure {
        Failure::GiveUp { reason } if reason.class == Class::NotFound => {
            let (target, operation) = (call.target.to_owned(), call.operation.to_owned());
            Failure::retry(Class::TargetFailed, CallError::NotShown { target, operation })
        }
        failure => failure,
    };
    failure.after_a_change()
}

impl<H> HttpTarget<H> {
    /// Returns the initial variables of an operation's templates.
    fn variables(&self, call: &Call<'_>, clock: &impl Clock) -> Map<String, Value> {
        let Connector { formats, optional, .. } = &self.connector;
        variables(call, formats, &self.params, optional, clock.now().as_millis())
    }
}

#[cfg(test)]
mod tests;
