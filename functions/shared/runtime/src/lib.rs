//! Configuration and wiring, once for every host: the worker, the server, the checks and the dry
//! run.
//!
//! A [`Configuration`] is flows and connectors that go together. [`source`] and [`targets`] make
//! the clients that it needs, with the secret of the host.

mod configuration;
mod error;
mod wiring;

pub use configuration::Configuration;
pub use error::StartError;
pub use wiring::{Feishu, HttpTargets, SharedSecret, load_secret, source, targets};
