//! Seeyon (致远OA), the versions with a REST API: V5 and later. A6 has none.
//!
//! Protocol, from documents and from the code of integrators: the class `FlowResource` of the REST
//! API (open.seeyoncloud.com). Nothing here was run against Seeyon itself.

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
mod list;
mod settings;

pub use settings::Seeyon;

#[cfg(test)]
mod tests;
