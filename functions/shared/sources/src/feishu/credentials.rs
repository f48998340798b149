//! The credentials of an app, as its page in the Feishu console shows them.

use greenlight_core::secret::Secret;

/// The names under `sources.NAME` in the secret that a webhook needs.
pub(super) const OF_WEBHOOK: &[&str] = &[APP_ID, APP_SECRET, ENCRYPT_KEY, VERIFICATION_TOKEN];
/// Those that a long connection needs: its events are neither signed nor encrypted.
pub(super) const OF_CONNECTION: &[&str] = &[APP_ID, APP_SECRET];

/// App ID, `cli_…`: public, and compared with the one of each event.
pub(super) const APP_ID: &str = "app_id";
/// App Secret: the login to the OpenAPI.
pub(super) const APP_SECRET: &str = "app_secret";
/// Encrypt Key: signs and encrypts events.
pub(super) const ENCRYPT_KEY: &str = "encrypt_key";
/// Verification Token: part of each event.
pub(super) const VERIFICATION_TOKEN: &str = "verification_token";

/// The credentials that authenticate events.
#[derive(Clone, Copy)]
pub(super) struct EventCredentials<'a> {
    pub(super) app_id: &'a str,
    pub(super) encrypt_key: &'a str,
    pub(super) verification_token: &'a str,
}

impl<'a> EventCredentials<'a> {
    /// The credentials of `source`; `None` unless all are there.
    pub(super) fn of(secret: &'a Secret, source: &str) -> Option<Self> {
        let credentials = secret.source(source)?;
        Some(Self {
            app_id: credentials.get(APP_ID)?,
            encrypt_key: credentials.get(ENCRYPT_KEY)?,
            verification_token: credentials.get(VERIFICATION_TOKEN)?,
        })
    }
}
