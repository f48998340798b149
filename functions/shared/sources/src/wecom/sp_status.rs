//! The status of an approval: `SpStatus` of events, `sp_status` of details.

#[cfg(feature = "client")]
pub(super) const RUNNING: i64 = 1;
pub(super) const PASSED: i64 = 2;
#[cfg(feature = "client")]
pub(super) const REFUSED: i64 = 3;
/// By the applicant, before it passed.
pub(super) const WITHDRAWN: i64 = 4;
/// After it passed.
pub(super) const REVOKED: i64 = 6;
#[cfg(feature = "client")]
pub(super) const DELETED: i64 = 7;
/// Passed, and paid since.
pub(super) const PAID: i64 = 10;
