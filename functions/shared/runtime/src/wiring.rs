use std::sync::Arc;

use greenlight_connectors::{Setup, Targets};
use greenlight_core::ports::{FetchSecret, ReadSecret};
use greenlight_core::secret::CachedSecret;
use greenlight_http::Client;
use greenlight_stores::SystemClock;

use crate::error::StartError;

/// The secret of a host, cached and read again when it was rejected.
pub type SharedSecret<F> = Arc<CachedSecret<F, SystemClock>>;

/// The targets, over HTTP and SQL.
pub type HttpTargets<S> = Targets<Client, S, SystemClock>;

/// Reads the secret for the first time.
///
/// # Errors
/// [`StartError::Secret`] when it cannot be read, or is incomplete.
pub async fn load_secret<F: FetchSecret + Clone>(store: F) -> Result<SharedSecret<F>, StartError> {
    Ok(Arc::new(CachedSecret::load(store.clone(), store, SystemClock).await?))
}

/// The targets of `setup`, each with a client that trusts the certificates that the flow and the
/// secret name.
///
/// # Errors
/// [`StartError`] names the target, and what it lacks.
pub fn targets<S: ReadSecret + Clone>(
    setup: Setup,
    secret: &S,
) -> Result<HttpTargets<S>, StartError> {
    let current = secret.current();
    Targets::new(setup, secret.clone(), SystemClock, |name, target| {
        Client::of_target(name, target, &current).map_err(StartError::from)
    })
}
