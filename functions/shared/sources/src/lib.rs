//! Office systems, one module each: how to tell their events from everybody else's, how to parse
//! them, and how to read an approval instance.
//!
//! A source speaks HTTP through core's [`Http`](greenlight_core::ports::Http) port only, so that
//! the receiver, which calls no other system, carries no HTTP client.

pub mod feishu;
