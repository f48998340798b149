//! Office systems, one module each: authenticating and parsing their events, and reading approval
//! instances.
//!
//! A new office system is a module with its [`SourceKind`](kind::SourceKind), and its line in
//! [`KINDS`]. With the feature `client` it also has the half that calls the office system: the
//! receiver, which calls no other system, is built without it.

#[cfg(feature = "client")]
mod access_token;
mod callback_cipher;
#[cfg(feature = "client")]
pub mod client_kind;
pub mod dingtalk;
pub mod feishu;
mod hook;
#[cfg(feature = "client")]
mod hosts;
pub mod kind;
mod long_id;
#[cfg(feature = "client")]
mod nullable;
mod polling;
mod query;
pub mod registry;
pub mod seeyon;
mod signed_at;
#[cfg(feature = "client")]
pub mod source;
#[cfg(feature = "client")]
pub mod test_request;
pub mod weaver;
pub mod webhook;
pub mod wecom;
#[cfg(feature = "client")]
mod windows;
mod xml;

use registry::{Kind, kind};

/// The kinds, a line each: the name in `[sources.NAME] kind`, and its settings.
const KINDS: &[(&str, Kind)] = &[
    ("dingtalk", kind::<dingtalk::DingTalk>()),
    ("feishu", kind::<feishu::Feishu>()),
    ("seeyon", kind::<seeyon::Seeyon>()),
    ("weaver", kind::<weaver::Weaver>()),
    ("webhook", kind::<webhook::SignedWebhook>()),
    ("wecom", kind::<wecom::WeCom>()),
];
