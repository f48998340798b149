//! Test helpers that several crates share.

pub mod clock;
pub mod hook;
pub mod memory;
pub mod prose;
pub mod request;
#[cfg(feature = "stubs")]
pub mod stub;
pub mod subject;
