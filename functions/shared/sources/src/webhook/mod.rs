//! Any system that can send a signed webhook.
//!
//! Protocol: Standard Webhooks (<https://github.com/standard-webhooks/standard-webhooks>, version
//! 1.0.0), or an HMAC in a header, as GitHub and others send it. `flows.toml` says where in the
//! body an approval is.

#[cfg(feature = "client")]
mod client;
#[cfg(feature = "client")]
mod client_kind;
#[cfg_attr(not(feature = "client"), allow(dead_code, reason = "only the client reads instances"))]
mod instance;
mod mapping;
mod receive;
mod settings;
mod signature;
pub(crate) mod standard;
#[cfg(feature = "client")]
mod test_request;

pub use settings::SignedWebhook;

#[cfg(test)]
mod tests;
