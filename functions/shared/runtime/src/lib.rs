//! Configuration and wiring, shared by every host: the worker, the server, the checks and the dry
//! run.
//!
//! A [`Configuration`] consists of flows, and the sources and connectors that match them.
//! [`HttpSources`] and [`targets`] are the clients that it needs, with the secret of the host.

mod configuration;
mod error;
mod source;
mod wiring;

pub use configuration::Configuration;
pub use error::StartError;
pub use source::HttpSources;
pub use wiring::{HttpTargets, SharedSecret, load_secret, targets};
