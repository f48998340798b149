//! Configuration of the AWS SDK from the environment.

use std::time::Duration;

use aws_credential_types::provider::SharedCredentialsProvider;
use aws_smithy_http_client::tls::Provider;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_runtime_api::client::behavior_version::BehaviorVersion;
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use aws_smithy_types::retry::RetryConfig;
use aws_smithy_types::timeout::TimeoutConfig as SdkTimeouts;
use aws_types::SdkConfig;
use aws_types::region::Region;
use greenlight_core::explain::{Explain, Explanation};

use super::error::AwsError;
use super::{AwsEnvironment, TimeoutConfig};

/// Shared by the clients of all services: clients with the same `connect` in their
/// [`TimeoutConfig`] also share connections.
#[derive(Clone, Debug)]
pub struct Sdk {
    environment: AwsEnvironment,
    /// One for all services: root certificates and TLS are set up once.
    http: SharedHttpClient,
}

impl Sdk {
    /// Uses region, endpoint and credentials of `environment`.
    #[must_use]
    pub fn new(environment: AwsEnvironment) -> Self {
        let http = aws_smithy_http_client::Builder::new()
            .tls_provider(Provider::Rustls(CryptoMode::AwsLc))
            .build_https();
        Self { environment, http }
    }

    /// Returns the configuration of a client with these timeouts.
    #[must_use]
    pub fn config(&self, timeouts: TimeoutConfig) -> SdkConfig {
        let AwsEnvironment { region, credentials, endpoint } = self.environment.clone();
        let sdk_timeouts = SdkTimeouts::builder()
            .connect_timeout(timeouts.connect)
            .operation_attempt_timeout(timeouts.attempt)
            .operation_timeout(timeouts.operation);
        // The default back-off takes seconds, which would exceed each of these timeouts.
        let retries = RetryConfig::standard()
            .with_max_attempts(timeouts.max_attempts)
            .with_initial_backoff(Duration::from_millis(50))
            .with_max_backoff(timeouts.attempt);
        let mut config = SdkConfig::builder()
            .http_client(self.http.clone())
            .region(Region::new(region))
            .credentials_provider(SharedCredentialsProvider::new(credentials))
            .behavior_version(BehaviorVersion::v2026_01_12())
            .timeout_config(sdk_timeouts.build())
            .retry_config(retries);
        config.set_endpoint_url(endpoint);
        config.build()
    }
}

/// AWS error codes for a call that a policy does not allow.
const DENIED: [&str; 3] = ["AccessDenied", "AccessDeniedException", "UnauthorizedOperation"];

/// Returns whether a policy denies the call.
pub(super) fn is_denied<E: ProvideErrorMetadata, R>(error: &SdkError<E, R>) -> bool {
    error.as_service_error().and_then(E::code).is_some_and(|code| DENIED.contains(&code))
}

/// Describes the failure of the call that needs the IAM action `action`, without the request. A
/// denied action is named, because not every service names it.
pub(super) fn describe<E: ProvideErrorMetadata, R>(
    action: &'static str,
    error: &SdkError<E, R>,
) -> Explanation {
    let message = |error: &E| error.message().unwrap_or("-").to_owned();
    let error = match error {
        SdkError::ServiceError(service) if is_denied(error) => {
            AwsError::Denied { action, message: message(service.err()) }
        }
        SdkError::TimeoutError(_) => AwsError::Timeout,
        SdkError::DispatchFailure(failure) if failure.is_timeout() => AwsError::Timeout,
        SdkError::DispatchFailure(failure) if failure.is_other() => AwsError::NoCredentials,
        SdkError::DispatchFailure(_) => AwsError::NoConnection,
        SdkError::ServiceError(service) => AwsError::Service {
            code: service.err().code().unwrap_or("-").to_owned(),
            message: message(service.err()),
        },
        SdkError::ConstructionFailure(_) => AwsError::NotBuilt,
        _ => AwsError::Unreadable,
    };
    error.explain()
}
