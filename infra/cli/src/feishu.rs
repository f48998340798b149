//! `greenlight subscribe`, and the Feishu client of the operator's commands.

use std::sync::Arc;

use greenlight_core::Failure;
use greenlight_core::explain::{Explain, Explanation};
use greenlight_core::secret::{FixedSecret, Secret, SecretError};
use greenlight_render::format::OutputFormat;
use greenlight_render::text;
use greenlight_runtime::{Feishu, HttpSource, StartError};
use serde_json::json;
use thiserror::Error;

use crate::secrets::Secrets;

/// The request to Feishu failed.
#[derive(Debug, Error, Explain)]
#[explain("subscribe")]
pub enum FeishuError {
    /// The secret cannot be read.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// The client cannot be built.
    #[error(transparent)]
    Start(#[from] StartError),
    /// Feishu did not answer, or rejected the request.
    #[error("{0}")]
    Feishu(Explanation),
}

impl From<Failure> for FeishuError {
    fn from(failure: Failure) -> Self {
        Self::Feishu(failure.reason().cause.clone())
    }
}

/// A client of Feishu's OpenAPI at `base_url`.
///
/// # Errors
/// [`StartError`] when `base_url` is clear text, or the machine has no trust anchors.
pub fn client(secret: Secret, base_url: &str) -> Result<Feishu<FixedSecret>, StartError> {
    Ok(HttpSource::new(base_url, FixedSecret(Arc::new(secret)))?.0)
}

/// Subscribes the app to the events of an approval: without it Feishu sends none. `false` if it was
/// subscribed before.
///
/// # Errors
/// [`FeishuError`] if the secret cannot be read, or Feishu rejects the request.
pub async fn subscribe(
    secrets: &Secrets,
    base_url: &str,
    approval_code: &str,
) -> Result<bool, FeishuError> {
    let feishu = client(secrets.read().await?, base_url)?;
    Ok(feishu.subscribe(approval_code).await?)
}

/// Renders the result of [`subscribe`].
#[must_use]
pub fn render_subscribed(approval_code: &str, is_new: bool, format: OutputFormat) -> String {
    match (format, is_new) {
        (OutputFormat::Json, _) => {
            format!("{}\n", json!({"definition_id": approval_code, "subscribed": true}))
        }
        (OutputFormat::Text(language), true) => {
            text!(language, "subscribed to {approval_code}\n", "已订阅审批 {approval_code}\n")
        }
        (OutputFormat::Text(language), false) => text!(
            language,
            "subscribed to {approval_code} before\n",
            "此前已订阅审批 {approval_code}\n"
        ),
    }
}
