//! Region and credentials from the Lambda environment.

use std::time::Duration;

use aws_credential_types::Credentials;
use thiserror::Error;

/// A required environment variable is not set.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("the environment variable {0} is not set or is empty")]
pub struct MissingVariable(pub &'static str);

/// Returns the value of a required variable.
///
/// # Errors
/// [`MissingVariable`] when it is not set or is empty.
pub fn variable(name: &'static str) -> Result<String, MissingVariable> {
    std::env::var(name).ok().filter(|value| !value.is_empty()).ok_or(MissingVariable(name))
}

/// Timeouts of AWS calls.
#[derive(Clone, Copy, Debug)]
pub struct TimeoutConfig {
    pub connect: Duration,
    pub attempt: Duration,
    /// Of a call with all its attempts.
    pub operation: Duration,
    /// The most attempts of a call.
    pub max_attempts: u32,
}

/// Region, credentials and endpoint.
/// Region, credentials and endpoint.
///
/// Lambda sets them in the environment and never changes them during a process's life, so no
/// provider chain and no network call is needed.
#[derive(Clone, Debug)]
pub struct AwsEnvironment {
    pub(super) region: String,
    pub(super) credentials: Credentials,
    pub(super) endpoint: Option<String>,
}

impl AwsEnvironment {
    /// Creates an environment with long-term credentials; `endpoint` is that of a local AWS.
    #[must_use]
    pub fn new(region: &str, key_id: &str, key: &str, endpoint: Option<&str>) -> Self {
        Self {
            region: region.to_owned(),
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
        Ok(Self { region, credentials, endpoint: variable("AWS_ENDPOINT_URL").ok() })
    }
}
