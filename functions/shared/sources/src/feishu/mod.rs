//! Feishu, and Lark, which has the same API paths.
//!
//! Protocol: the open platform's documentation, "Send notifications to developers' server",
//! "Encrypt Key", "Approval instance status change" and "Obtain a single approval instance".

#[cfg(feature = "client")]
mod admin;
#[cfg(feature = "client")]
mod client;
#[cfg(feature = "client")]
mod client_kind;
mod credentials;
mod crypto;
mod envelope;
#[cfg(feature = "client")]
mod error;
#[cfg(feature = "client")]
mod form;
#[cfg(feature = "client")]
mod instance;
#[cfg(feature = "client")]
mod list;
#[cfg(feature = "stream")]
mod long_connection;
#[cfg(feature = "client")]
mod person;
mod settings;
#[cfg(feature = "client")]
mod test_event;
mod webhook;

#[cfg(feature = "client")]
pub use client::FeishuClient;
pub use crypto::{decrypt, encrypt, signature};
#[cfg(feature = "client")]
pub use instance::parse_instance;
#[cfg(feature = "stream")]
pub use long_connection::frame;
pub use settings::{Feishu, Receive};
#[cfg(feature = "client")]
pub use test_event::FeishuApp;
pub use webhook::{FeishuWebhook, REPLAY_WINDOW, header};
