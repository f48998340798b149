//! The HTTP connector: speaks to any whitelist API that a connector file describes.

mod auth;
mod connector;
mod outcome;
mod render;
mod template;

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use greenlight_core::flow::Flows;
use greenlight_core::ledger::EffectOutcome;
use greenlight_core::ports::{Act, Call, Clock, Http, HttpError, ReadSecret};
use greenlight_core::{Class, Failure};
use http::StatusCode;
use serde_json::Value;
use thiserror::Error;

pub use auth::Auth;
pub use connector::{Connector, Operation};
pub use outcome::{Rule, RuleOutcome};

/// How often one call is sent within an attempt; longer patience is the queue's.
const QUICK_TRIES: u32 = 3;

/// The wait before the second try; doubled before the third.
const QUICK_WAIT: Duration = Duration::from_millis(200);

/// A wait that the target asks for (`Retry-After`) is waited for here up to this long.
const LONGEST_QUICK_WAIT: Duration = Duration::from_secs(2);

/// The connectors that are built in: file name without `.toml`, and text.
const CONNECTORS: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/connectors.rs"));

/// Something is wrong with a connector, or with how a flow or the secret goes with it.
#[derive(Debug, Error)]
pub enum ConnectorError {
    /// A target names a connector that is not built in.
    #[error("target `{target}`: there is no connector `{connector}`; there is: {known}")]
    UnknownConnector {
        /// The target.
        target: String,
        /// The connector.
        connector: String,
        /// The connectors that are built in.
        known: String,
    },
    /// Not TOML, or a key that is unknown, missing or of the wrong type.
    #[error("connector `{connector}`: {problem}")]
    Toml {
        /// The connector.
        connector: String,
        /// What is wrong, with its line.
        problem: String,
    },
    /// A template that is none.
    #[error(
        "connector `{connector}`, operation `{operation}`: the template {template:?} does not compile: {problem}"
    )]
    Template {
        /// The connector.
        connector: String,
        /// The operation.
        operation: String,
        /// The template.
        template: String,
        /// What is wrong.
        problem: String,
    },
    /// A template needs a variable that the flow does not give.
    #[error(
        "flow `{flow}`, operation `{operation}` of target `{target}`: the connector needs `{variable}`, which is no field of the flow"
    )]
    MissingVariable {
        /// The flow.
        flow: String,
        /// The target.
        target: String,
        /// The operation.
        operation: String,
        /// The variable.
        variable: String,
    },
    /// A flow names an operation that the connector does not have.
    #[error("flow `{flow}`: target `{target}` cannot `{operation}`; it can: {known}")]
    UnknownOperation {
        /// The flow.
        flow: String,
        /// The target.
        target: String,
        /// The operation.
        operation: String,
        /// The operations of the connector.
        known: String,
    },
    /// A target's URL is no base URL.
    #[error("target `{0}`: `url` must look like https://nac.example.com:9999, with a path at most")]
    BadUrl(String),
    /// The secret does not hold what the connector logs in with.
    #[error("the secret lacks `targets.{target}.{key}`, which the connector logs in with")]
    MissingCredential {
        /// The target.
        target: String,
        /// The key.
        key: String,
    },
}

/// Acts on the targets of `flows.toml` over HTTP.
#[derive(Debug)]
pub struct HttpConnector<H, S, C> {
    targets: BTreeMap<String, Target<H>>,
    secret: S,
    clock: C,
}

#[derive(Debug)]
struct Target<H> {
    name: String,
    url: String,
    connector: Connector,
    http: H,
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
        mut client_for: impl FnMut(&str) -> Result<H, E>,
    ) -> Result<Self, E> {
        let mut targets = BTreeMap::new();
        for (name, target) in &flows.targets {
            let connector = built_in(name, &target.connector)?;
            let url = base_url(name, &target.url)?;
            connector.auth.check(name, &secret.current())?;
            let http = client_for(name)?;
            targets.insert(name.clone(), Target { name: name.clone(), url, connector, http });
        }
        let connector = Self { targets, secret, clock };
        connector.check(flows)?;
        Ok(connector)
    }

    fn check(&self, flows: &Flows) -> Result<(), ConnectorError> {
        for flow in &flows.flows {
            for action in &flow.actions {
                let Some(target) = self.targets.get(&action.target) else {
                    continue; // Flows are checked to name targets that are there.
                };
                target.connector.check(flow, action)?;
            }
        }
        Ok(())
    }

    /// One exchange, authenticated; a refused credential is read again once, as it may be rotated.
    async fn exchange(
        &self,
        target: &Target<H>,
        request: &http::Request<Bytes>,
    ) -> Result<http::Response<Bytes>, Failure> {
        let auth = &target.connector.auth;
        let secret = self.secret.current();
        let response = send(target, auth.apply(request, &target.name, &secret)?).await?;
        if response.status() != StatusCode::UNAUTHORIZED || !auth.is_some() {
            return Ok(response);
        }
        match self.secret.renewed(&secret).await {
            Some(renewed) => send(target, auth.apply(request, &target.name, &renewed)?).await,
            None => Ok(response),
        }
    }
}

impl<H: Http, S: ReadSecret, C: Clock> Act for HttpConnector<H, S, C> {
    /// Renders the operation and sends it; what may pass by itself in a moment is tried again at once.
    async fn act(&self, call: &Call<'_>) -> Result<EffectOutcome, Failure> {
        let (target, operation) = self.find(call)?;
        let request = render(target, operation, call)?;
        let mut tried = 1;
        loop {
            let result = self.exchange(target, &request).await.and_then(|response| {
                let now = self.clock.now();
                outcome::judge(&operation.outcomes, &response, now).map_err(|verdict| {
                    let text = format!(
                        "target `{}` answered HTTP {} to `{}` of {}",
                        call.target,
                        response.status().as_u16(),
                        call.operation,
                        call.device.masked()
                    );
                    verdict.into_failure(text)
                })
            });
            let Err(Failure::Retry { after, reason }) = result else {
                return result;
            };
            let wait = match after {
                Some(asked) => asked,
                None => QUICK_WAIT.mul_f64(f64::from(tried) * (0.5 + fastrand::f64())),
            };
            let goes_past = self.clock.now().plus(wait) >= call.deadline;
            let is_login = reason.class == Class::TargetLogin;
            if is_login || tried == QUICK_TRIES || wait > LONGEST_QUICK_WAIT || goes_past {
                return Err(Failure::Retry { after, reason });
            }
            tried += 1;
            self.clock.sleep(wait).await;
        }
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

async fn send<H: Http>(
    target: &Target<H>,
    request: http::Request<Bytes>,
) -> Result<http::Response<Bytes>, Failure> {
    target.http.send(request).await.map_err(|error| {
        let text = format!("target `{}`: {error}", target.name);
        match error {
            // The answer would be as large the next time.
            HttpError::TooLarge { .. } => Failure::give_up(Class::TargetRefused, text),
            HttpError::Connect { .. } | HttpError::Broken { .. } => {
                Failure::retry(Class::TargetUnavailable, text)
            }
            // It took its time already: not again within this attempt.
            HttpError::Timeout { .. } => {
                let after = Some(LONGEST_QUICK_WAIT + QUICK_WAIT);
                Failure::retry_after(after, Class::TargetUnavailable, text)
            }
        }
    })
}

fn render<H>(
    target: &Target<H>,
    operation: &Operation,
    call: &Call<'_>,
) -> Result<http::Request<Bytes>, Failure> {
    let mut variables = call.variables.clone();
    let mac = call.device.spelled(target.connector.mac);
    variables.insert("mac".to_owned(), Value::String(mac));
    operation.render(&target.url, &variables).map_err(|error| {
        let text = format!("target `{}`, `{}`: {error}", call.target, call.operation);
        Failure::give_up(Class::BadForm, text)
    })
}

fn built_in(target: &str, connector: &str) -> Result<Connector, ConnectorError> {
    let Some((name, text)) = CONNECTORS.iter().find(|(name, _)| *name == connector) else {
        let known: Vec<_> = CONNECTORS.iter().map(|(name, _)| *name).collect();
        return Err(ConnectorError::UnknownConnector {
            target: target.to_owned(),
            connector: connector.to_owned(),
            known: known.join(", "),
        });
    };
    Connector::parse(name, text)
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
