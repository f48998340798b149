//! The credentials of an app of an organisation, as the console of DingTalk shows them.

use crate::callback_cipher::ENCODING_AES_KEY;

/// The names under `sources.NAME` in the secret that HTTP push needs.
pub(super) const OF_WEBHOOK: &[&str] = &[APP_KEY, APP_SECRET, TOKEN, ENCODING_AES_KEY];
/// Those that a stream needs: its events are neither signed nor encrypted.
pub(super) const OF_STREAM: &[&str] = &[APP_KEY, APP_SECRET];

/// Client ID, once AppKey: `ding…`.
pub(super) const APP_KEY: &str = "app_key";
/// Client Secret, once AppSecret: the login to the API.
pub(super) const APP_SECRET: &str = "app_secret";
/// 签名 token of the push: signs events.
pub(super) const TOKEN: &str = "token";
/// The receive id that ends each encrypted event, if it is not the AppKey: CorpId, where the push
/// was registered through the API.
pub(super) const OWNER_KEY: &str = "owner_key";
