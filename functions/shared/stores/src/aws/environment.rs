//! Where AWS is and who we are, as the Lambda environment says.

use std::time::Duration;

use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_smithy_http_client::tls::Provider;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_runtime_api::client::behavior_version::BehaviorVersion;
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use aws_smithy_types::retry::RetryConfig;
use aws_smithy_types::timeout::TimeoutConfig;
use aws_types::SdkConfig;
use aws_types::region::Region;
use thiserror::Error;

/// An environment variable that is needed is not set.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("the environment variable {0} is not set or is empty")]
pub struct MissingVariable(pub &'static str);

/// The value of a variable that is needed.
///
/// # Errors
/// [`MissingVariable`] when it is not set or is empty.
pub fn variable(name: &'static str) -> Result<String, MissingVariable> {
    std::env::var(name).ok().filter(|value| !value.is_empty()).ok_or(MissingVariable(name))
}

/// How long to wait for AWS.
///
/// Clients with the same `connect` share their connections and their TLS set-up.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// For a connection.
    pub connect: Duration,
    /// For one attempt.
    pub attempt: Duration,
    /// For a call with all its attempts.
    pub operation: Duration,
    /// How many attempts a call has.
    pub attempts: u32,
}

/// Region, credentials and endpoint.
///
/// Lambda hands them over in the environment and never changes them during a process's life, so there
/// is no chain of providers to walk and nothing to ask over the network.
#[derive(Clone, Debug)]
pub struct AwsEnvironment {
    /// One for all services: the roots of trust are read and the TLS set-up is made once.
    http: SharedHttpClient,
    region: Region,
    credentials: Credentials,
    endpoint: Option<String>,
}

impl AwsEnvironment {
    /// With lasting credentials; `endpoint` is that of a local AWS.
    #[must_use]
    pub fn new(region: &str, key_id: &str, key: &str, endpoint: Option<&str>) -> Self {
        Self {
            http: http_client(),
            region: Region::new(region.to_owned()),
            credentials: Credentials::new(key_id, key, None, None, "given"),
            endpoint: endpoint.map(str::to_owned),
        }
    }

    /// Reads `AWS_REGION`, the credentials and, for a local AWS, `AWS_ENDPOINT_URL`.
    ///
    /// # Errors
    /// [`MissingVariable`] names the first variable that is missing.
    pub fn read() -> Result<Self, MissingVariable> {
        let region = variable("AWS_REGION").or_else(|_| variable("AWS_DEFAULT_REGION"))?;
        let credentials = Credentials::new(
            variable("AWS_ACCESS_KEY_ID")?,
            variable("AWS_SECRET_ACCESS_KEY")?,
            variable("AWS_SESSION_TOKEN").ok(),
            None,
            "environment",
        );
        let endpoint = variable("AWS_ENDPOINT_URL").ok();
        Ok(Self { http: http_client(), region: Region::new(region), credentials, endpoint })
    }

    /// The configuration of a client that waits as long as `patience` says.
    #[must_use]
    pub fn config(&self, patience: Patience) -> SdkConfig {
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(patience.connect)
            .operation_attempt_timeout(patience.attempt)
            .operation_timeout(patience.operation);
        // A back-off of seconds, which is the default, would outlast every patience of ours.
        let retries = RetryConfig::standard()
            .with_max_attempts(patience.attempts)
            .with_initial_backoff(Duration::from_millis(50))
            .with_max_backoff(patience.attempt);
        let mut config = SdkConfig::builder()
            .http_client(self.http.clone())
            .region(self.region.clone())
            .credentials_provider(SharedCredentialsProvider::new(self.credentials.clone()))
            .behavior_version(BehaviorVersion::v2026_01_12())
            .timeout_config(timeouts.build())
            .retry_config(retries);
        config.set_endpoint_url(self.endpoint.clone());
        config.build()
    }
}

fn http_client() -> SharedHttpClient {
    aws_smithy_http_client::Builder::new()
        .tls_provider(Provider::Rustls(CryptoMode::AwsLc))
        .build_https()
}
