//! The credentials of a REST account, as an administrator of Seeyon makes it.

use crate::hook::SECRET;

/// The names under `sources.NAME` in the secret that polling needs.
pub(super) const OF_POLLING: &[&str] = &[USER_NAME, PASSWORD];
/// Those that the messages of the hook need.
pub(super) const OF_HOOK: &[&str] = &[USER_NAME, PASSWORD, SECRET];

/// The name of the REST account.
pub(super) const USER_NAME: &str = "user_name";
/// Its password.
pub(super) const PASSWORD: &str = "password";
/// The person for whom calls are made, where the account is bound to one. Optional.
#[cfg(feature = "client")]
pub(super) const LOGIN_NAME: &str = "login_name";
