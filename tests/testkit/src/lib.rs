//! Test helpers that several crates share.

pub mod clock;
pub mod hook;
pub mod memory;
pub mod request;
#[cfg(feature = "stubs")]
pub mod stub;
