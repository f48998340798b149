//! The secret in Secrets Manager.

use greenlight_core::explain::Explanation;
use greenlight_core::ports::FetchSecret;
use greenlight_core::secret::SecretError;
use serde::Deserialize;
use serde_json::json;

use super::call::{Operation, Service};
use super::{Aws, SetupError};
use crate::aws::TimeoutConfig;

/// <https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_GetSecretValue.html>
const GET_SECRET_VALUE: Operation = Operation {
    target: "secretsmanager.GetSecretValue",
    content_type: "application/x-amz-json-1.1",
};

/// The secret in Secrets Manager, read only.
#[derive(Clone)]
pub struct SecretsManager {
    service: Service,
    secret_id: String,
    timeouts: TimeoutConfig,
}

impl SecretsManager {
    /// Creates a reader of the secret with the name or ARN `secret_id`.
    ///
    /// # Errors
    /// [`SetupError`] when the environment's endpoint is not a URL.
    pub fn new(aws: &Aws, secret_id: String, timeouts: TimeoutConfig) -> Result<Self, SetupError> {
        Ok(Self { service: aws.service("secretsmanager")?, secret_id, timeouts })
    }

    /// Uses the same connection with other timeouts.
    #[must_use]
    pub fn with_timeouts(&self, timeouts: TimeoutConfig) -> Self {
        Self { timeouts, ..self.clone() }
    }
}

#[derive(Deserialize)]
struct Value {
    #[serde(rename = "SecretString")]
    text: Option<String>,
}

impl FetchSecret for SecretsManager {
    async fn fetch(&self) -> Result<String, SecretError> {
        let unavailable = |cause: &str| SecretError::Unavailable(Explanation::quoted(cause));
        let input = json!({ "SecretId": self.secret_id });
        let answer = self.service.call(GET_SECRET_VALUE, &input, self.timeouts).await;
        let answer = answer.map_err(|error| unavailable(&error.to_string()))?;
        let Ok(Value { text }) = serde_json::from_slice(&answer) else {
            return Err(unavailable("the answer could not be read"));
        };
        text.ok_or_else(|| unavailable("it is binary data, not the documented JSON text"))
    }
}
