//! The credentials of a self-built app, as the console of WeCom shows them.

use crate::callback_cipher::ENCODING_AES_KEY;

/// The names under `sources.NAME` in the secret that callbacks need.
pub(super) const OF_WEBHOOK: &[&str] = &[CORP_ID, SECRET, TOKEN, ENCODING_AES_KEY];
/// Those that reading the list needs.
pub(super) const OF_POLLING: &[&str] = &[CORP_ID, SECRET];

/// 企业ID, `ww…`: public, and part of each callback.
pub(super) const CORP_ID: &str = "corp_id";
/// Secret of the app: the login to the API.
pub(super) const SECRET: &str = "secret";
/// Token of the receiving server: signs callbacks.
pub(super) const TOKEN: &str = "token";
