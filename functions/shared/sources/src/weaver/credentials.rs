//! The credentials of an application, as Weaver returns them once when it is registered.

use crate::hook::SECRET as HOOK_SECRET;

/// The names under `sources.NAME` in the secret.
pub(super) const NAMES: &[&str] = &[APP_ID, SECRET, SPK, USER_ID, HOOK_SECRET];

/// The id of the application, as the table `ECOLOGY_BIZ_EC` has it.
pub(super) const APP_ID: &str = "app_id";
/// `secrit` of the registration: the login.
pub(super) const SECRET: &str = "secret";
/// `spk` of the registration: the public key of the server, in base64.
pub(super) const SPK: &str = "spk";
/// The id of the person in the OA for whom calls are made.
pub(super) const USER_ID: &str = "user_id";
