//! Office systems, one module each: authenticating and parsing their events, and reading approval
//! instances.
//!
//! A source uses HTTP through core's [`Http`](greenlight_core::ports::Http) port only: the
//! receiver, which calls no other system, links no HTTP client.

pub mod feishu;
