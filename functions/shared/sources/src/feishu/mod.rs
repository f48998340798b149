//! Feishu, and Lark, which has the same API paths.
//!
//! Protocol: the open platform's documentation, "Send notifications to developers' server",
//! "Encrypt Key", "Approval instance status change" and "Obtain a single approval instance".

mod admin;
mod client;
mod crypto;
mod envelope;
mod form;
mod test_event;
mod webhook;

pub use admin::{Definition, Widget};
pub use client::{BASE_URL, FeishuClient, parse_instance};
pub use crypto::{decrypt, encrypt, signature};
pub use test_event::{FeishuApp, Sent};
pub use webhook::{FeishuWebhook, REPLAY_WINDOW, header};

/// The source's name in requests and in `flows.toml`.
pub const SOURCE: &str = "feishu";
