//! `greenlight subscribe`, and the Feishu client of the operator's commands.

use std::sync::Arc;

use greenlight_core::secret::{FixedSecret, Secret, SecretError};
use greenlight_core::{Failure, Reason};
use greenlight_runtime::{Feishu, StartError, source};
use thiserror::Error;

use crate::secrets::Secrets;

/// The request to Feishu failed.
#[derive(Debug, Error)]
pub enum FeishuError {
    /// The secret cannot be read.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// The client cannot be built.
    #[error(transparent)]
    Start(#[from] StartError),
    /// Feishu did not answer, or rejected the request.
    #[error("{0}")]
    Feishu(Reason),
}

impl From<Failure> for FeishuError {
    fn from(failure: Failure) -> Self {
        Self::Feishu(failure.reason().clone())
    }
}

/// A client of Feishu's OpenAPI at `base_url`.
///
/// # Errors
/// [`StartError`] when `base_url` is clear text, or the machine has no trust anchors.
pub fn client(secret: Secret, base_url: &str) -> Result<Feishu<FixedSecret>, StartError> {
    source(base_url, FixedSecret(Arc::new(secret)))
}

/// Subscribes the app to the events of an approval: without it Feishu sends none.
///
/// # Errors
/// [`FeishuError`] if the secret cannot be read, or Feishu rejects the request.
pub async fn subscribe(
    secrets: &Secrets,
    base_url: &str,
    approval_code: &str,
) -> Result<String, FeishuError> {
    let feishu = client(secrets.read().await?, base_url)?;
    let is_new = feishu.subscribe(approval_code).await?;
    let when = if is_new { "(已订阅)" } else { "before (之前已订阅)" };
    Ok(format!("subscribed to {approval_code} {when}\n"))
}
