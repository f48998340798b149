//! What can be done when an approval turns green. How to speak to a system is data: one TOML file per product
//! in `infra/connectors`.
//!
//! * [`http`]: whitelists behind HTTP APIs.
//! * [`sql`]: records in databases.
//! * [`Connectors`]: the files; [`Setup`]: flows and connectors that go together.
//! * `Actions`, with the feature `act`: does it. Whoever only checks, as the build does, needs no driver.

#[cfg(feature = "act")]
mod actions;
pub mod connector;
mod connectors;
mod error;
mod filters;
pub mod http;
mod plaintext;
mod setup;
pub mod sql;
mod template;

#[cfg(feature = "act")]
pub use actions::{Actions, Preview};
pub use connectors::{AnyConnector, Connectors};
pub use setup::Setup;
