//! The secret in Secrets Manager.

use aws_sdk_secretsmanager::Client;
use greenlight_core::ports::FetchSecret;
use greenlight_core::secret::SecretError;

use super::describe;
use super::error::TableError;

#[derive(Clone, Debug)]
pub struct SecretsManager {
    client: Client,
    secret_id: String,
}

impl SecretsManager {
    /// Creates a store for the secret with the name or ARN `secret_id`.
    pub fn new(config: &aws_types::SdkConfig, secret_id: impl Into<String>) -> Self {
        Self { client: Client::new(config), secret_id: secret_id.into() }
    }
}

impl SecretsManager {
    /// Returns its name or ARN.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.secret_id
    }

    /// Writes another document as the current version of the secret.
    ///
    /// # Errors
    /// [`SecretError::Unavailable`] when Secrets Manager returns an error.
    pub async fn put(&self, document: &str) -> Result<(), SecretError> {
        self.client
            .put_secret_value()
            .secret_id(&self.secret_id)
            .secret_string(document)
            .send()
            .await
            .map_err(|error| {
                SecretError::Unavailable(describe("secretsmanager:PutSecretValue", &error))
            })?;
        Ok(())
    }
}

impl FetchSecret for SecretsManager {
    async fn fetch(&self) -> Result<String, SecretError> {
        let unavailable = SecretError::Unavailable;
        let answer = self
            .client
            .get_secret_value()
            .secret_id(&self.secret_id)
            .send()
            .await
            .map_err(|error| unavailable(describe("secretsmanager:GetSecretValue", &error)))?;
        answer.secret_string.ok_or_else(|| unavailable(TableError::BinarySecret.into()))
    }
}
