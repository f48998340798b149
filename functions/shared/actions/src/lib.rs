//! What can be done when an approval turns green.
//!
//! * [`http`]: the HTTP connector. How to speak to a NAC is data: one TOML file per product in `infra/connectors`.

pub mod http;
