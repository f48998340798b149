//! Configuration and wiring, shared by every host: the worker, the server, the checks and the dry
//! run.
//!
//! A [`Configuration`] consists of flows and the connectors that match them. [`HttpSource`] and
//! [`targets`] are the clients that it needs, with the secret of the host.

mod configuration;
mod error;
mod source;
mod wiring;

pub use configuration::Configuration;
pub use error::StartError;
pub use source::{Feishu, HttpSource, Source};
pub use wiring::{HttpTargets, SharedSecret, load_secret, targets};
