//! Executes operations on targets. The API of each product is data: one TOML file per product in
//! `infra/connectors`.
//!
//! * [`http`]: whitelists behind HTTP APIs.
//! * [`sql`]: records in databases.
//! * [`Connectors`]: the files; [`Setup`]: flows with their connectors.
//! * [`Targets`], with the feature `act`: executes the operations. The build, which only checks
//!   files, needs no driver.

pub mod connector;
mod connectors;
mod error;
mod filters;
pub mod http;
mod plaintext;
mod setup;
pub mod sql;
#[cfg(feature = "act")]
mod targets;
mod template;

pub use connectors::{AnyConnector, Connectors};
pub use setup::Setup;
#[cfg(feature = "act")]
pub use targets::{Preview, Targets};
