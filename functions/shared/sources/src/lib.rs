//! Office systems, one module each: authenticating and parsing their events, and reading approval
//! instances.
//!
//! A new office system is a module with its [`Kind`](kind::Kind), and a line in the table of the
//! [`registry`]. With the feature `client` it also has the half that calls the office system: the
//! receiver, which calls no other system, is built without it.

pub mod feishu;
pub mod kind;
pub mod registry;
mod signed_at;
#[cfg(feature = "client")]
pub mod source;
pub mod webhook;
