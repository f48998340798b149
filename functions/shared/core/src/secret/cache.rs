//! The secret in memory, read again when it may have been rotated.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::{Secret, SecretError};
use crate::Timestamp;
use crate::ports::{Clock, FetchSecret, ReadSecret};

/// The secret in memory, over whatever store keeps it.
///
/// Rotation needs no deploy: when a signature or a login fails, [`ReadSecret::renewed`] reads it again,
/// but not more often than once a minute, so that forged events cannot make it cost anything.
#[derive(Debug)]
pub struct CachedSecret<F, C> {
    store: F,
    clock: C,
    cached: Mutex<Cached>,
    reading: futures_util::lock::Mutex<()>,
}

#[derive(Debug)]
struct Cached {
    secret: Arc<Secret>,
    read_at: Timestamp,
}

/// The shortest time between two reads of the secret.
pub const RENEW_AT_MOST_EVERY: Duration = Duration::from_mins(1);

impl<F: FetchSecret, C: Clock> CachedSecret<F, C> {
    /// Reads the secret for the first time from `first`, which may be the more patient one, and from
    /// then on from `store`.
    ///
    /// # Errors
    /// Without a secret nothing can be done, so the start fails.
    pub async fn load(first: impl FetchSecret, store: F, clock: C) -> Result<Self, SecretError> {
        let secret = Arc::new(Secret::parse(&first.fetch().await?)?);
        let cached = Mutex::new(Cached { secret, read_at: clock.now() });
        Ok(Self { store, clock, cached, reading: futures_util::lock::Mutex::new(()) })
    }

    fn cached(&self) -> std::sync::MutexGuard<'_, Cached> {
        self.cached.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<F: FetchSecret, C: Clock> ReadSecret for CachedSecret<F, C> {
    fn current(&self) -> Arc<Secret> {
        Arc::clone(&self.cached().secret)
    }

    async fn renewed(&self, used: &Arc<Secret>) -> Option<Arc<Secret>> {
        // Whoever comes while it is being read waits for that read, and takes what it brought.
        let _reading = self.reading.lock().await;
        let now = self.clock.now();
        {
            let mut cached = self.cached();
            if !Arc::ptr_eq(&cached.secret, used) {
                return Some(Arc::clone(&cached.secret));
            }
            if now.since(cached.read_at) < RENEW_AT_MOST_EVERY {
                return None;
            }
            cached.read_at = now;
        }
        let renewed = match self.store.fetch().await.and_then(|json| Secret::parse(&json)) {
            Ok(secret) => Arc::new(secret),
            Err(error) => {
                tracing::warn!(%error, "the secret could not be read again; the cached one stays");
                return None;
            }
        };
        self.cached().secret = Arc::clone(&renewed);
        Some(renewed)
    }
}
