//! Weaver (泛微 e-cology 9).
//!
//! Protocol, from documents and from the code of integrators: `/api/ec/dev/auth` (login with RSA)
//! and `/api/workflow/paService`. Nothing here was run against Weaver itself. E10 has another API.

#[cfg(feature = "client")]
mod client;
#[cfg(feature = "client")]
mod client_kind;
mod credentials;
#[cfg(feature = "client")]
mod error;
#[cfg(feature = "client")]
mod form;
#[cfg(feature = "client")]
mod instance;
#[cfg(feature = "client")]
mod sealed;
mod settings;

pub use settings::Weaver;

#[cfg(test)]
mod tests;
