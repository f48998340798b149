//! The credentials of a self-built app, as the console of WeCom shows them.

use crate::callback_cipher::ENCODING_AES_KEY;

/// Their names under `sources.NAME` in the secret.
pub(super) const NAMES: &[&str] = &[CORP_ID, SECRET, TOKEN, ENCODING_AES_KEY];

/// 企业ID, `ww…`: public, and part of each callback.
pub(super) const CORP_ID: &str = "corp_id";
/// Secret of the app: the login to the API.
pub(super) const SECRET: &str = "secret";
/// Token of the receiving server: signs callbacks.
pub(super) const TOKEN: &str = "token";
