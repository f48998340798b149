//! The cached secret, read again when it may have been rotated.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::{Secret, SecretError};
use crate::Timestamp;
use crate::ports::{Clock, FetchSecret, ReadSecret};

/// The secret in memory, on top of any store.
///
/// Rotation needs no deployment: when a signature or a login fails, [`ReadSecret::renewed`] reads
/// the secret again, but at most once per [`MIN_READ_INTERVAL`]. This bounds the cost of a flood of
/// forged events; a new key is used from the first event after it, or from that event's first
/// retry.
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
    /// No read before this moment.
    next_read: Timestamp,
}

/// The minimum time between two reads of the secret: shorter than office systems wait before they
/// send an event again. At this rate a process reads 28,800 times a day, for 0.14 USD.
const MIN_READ_INTERVAL: Duration = Duration::from_secs(3);

impl<F: FetchSecret, C: Clock> CachedSecret<F, C> {
    /// Reads the secret for the first time from `first`, which may have longer timeouts, and later
    /// from `store`.
    ///
    /// # Errors
    /// [`SecretError`] when it cannot be read: nothing works without it.
    pub async fn load(first: impl FetchSecret, store: F, clock: C) -> Result<Self, SecretError> {
        let secret = Arc::new(Secret::parse(&first.fetch().await?)?);
        let cached = Mutex::new(Cached { secret, next_read: clock.now().plus(MIN_READ_INTERVAL) });
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
        // A call during a read waits for that read, and takes its result.
        let _reading = self.reading.lock().await;
        let now = self.clock.now();
        {
            let cached = self.cached();
            if !Arc::ptr_eq(&cached.secret, used) {
                return Some(Arc::clone(&cached.secret));
            }
            if now < cached.next_read {
                return None;
            }
        }
        let renewed = match self.store.fetch().await.and_then(|json| Secret::parse(&json)) {
            Ok(secret) if !secret.has_credentials_of(used) => {
                tracing::warn!(
                    "the secret that was read again lacks credentials of a source; the cached one \
                     stays"
                );
                self.cached().next_read = self.clock.now().plus(MIN_READ_INTERVAL);
                return None;
            }
            Ok(secret) => Arc::new(secret),
            Err(error) => {
                tracing::warn!(%error, "the secret could not be read again; the cached one stays");
                self.cached().next_read = self.clock.now().plus(MIN_READ_INTERVAL);
                return None;
            }
        };
        let next_read = now.plus(MIN_READ_INTERVAL);
        *self.cached() = Cached { secret: Arc::clone(&renewed), next_read };
        Some(renewed)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};

    use futures_util::FutureExt;

    use super::*;
    use crate::explain::Explanation;

    #[derive(Clone, Debug, Default)]
    struct TestClock(Arc<AtomicI64>);

    impl TestClock {
        fn advance(&self, seconds: i64) {
            self.0.fetch_add(seconds * 1_000, Ordering::SeqCst);
        }
    }

    impl Clock for TestClock {
        fn now(&self) -> Timestamp {
            Timestamp::from_millis(self.0.load(Ordering::SeqCst))
        }

        async fn sleep(&self, _: Duration) {}
    }

    /// Returns another secret each time, or none while it cannot be read.
    #[derive(Clone, Debug, Default)]
    struct Store {
        reads: Arc<AtomicUsize>,
        is_away: Arc<Mutex<bool>>,
    }

    impl FetchSecret for Store {
        async fn fetch(&self) -> Result<String, SecretError> {
            let number = self.reads.fetch_add(1, Ordering::SeqCst);
            if *self.is_away.lock().unwrap() {
                return Err(SecretError::Unavailable(Explanation::quoted("away")));
            }
            Ok(format!(r#"{{"sources":{{"oa":{{"key":"{number}"}}}}}}"#))
        }
    }

    fn loaded() -> (CachedSecret<Store, TestClock>, Store, TestClock) {
        let (store, clock) = (Store::default(), TestClock::default());
        let loading = CachedSecret::load(store.clone(), store.clone(), clock.clone());
        (loading.now_or_never().unwrap().unwrap(), store, clock)
    }

    fn renewed<F: FetchSecret, C: Clock>(
        cached: &CachedSecret<F, C>,
        used: &Arc<Secret>,
    ) -> Option<Arc<Secret>> {
        cached.renewed(used).now_or_never().unwrap()
    }

    #[test]
    fn renewed_reads_again_within_seconds_and_no_more_often() {
        let (cached, store, clock) = loaded();
        let first = cached.current();
        clock.advance(2);
        assert!(renewed(&cached, &first).is_none());
        clock.advance(1);
        let second = renewed(&cached, &first).unwrap();
        assert!(Arc::ptr_eq(&cached.current(), &second));
        // A caller with the old secret gets the one that was read since, at any time.
        assert!(Arc::ptr_eq(&renewed(&cached, &first).unwrap(), &second));
        assert!(renewed(&cached, &second).is_none());
        assert_eq!(store.reads.load(Ordering::SeqCst), 2);
    }

    #[test]
    fn renewed_without_the_credentials_of_a_source_keeps_the_cached_one() {
        let secret = |json: &str| Secret::parse(json).unwrap();
        let both = secret(r#"{"sources":{"a":{"key":"1"},"b":{"key":["1","2"]}}}"#);
        let rotated = secret(r#"{"sources":{"a":{"key":"3"},"b":{"key":"4"},"c":{"key":"5"}}}"#);
        assert!(rotated.has_credentials_of(&both) && !both.has_credentials_of(&rotated));
        for lost in
            [r#"{"source":{"a":{"key":"1"}}}"#, r#"{"sources":{"a":{"key":"1"},"b":{"key":" "}}}"#]
        {
            assert!(!secret(lost).has_credentials_of(&both), "{lost}");
        }
    }

    #[test]
    fn a_read_that_fails_keeps_the_old_one_and_is_tried_again_soon() {
        let (cached, store, clock) = loaded();
        let first = cached.current();
        clock.advance(3);
        *store.is_away.lock().unwrap() = true;
        assert!(renewed(&cached, &first).is_none());
        assert!(Arc::ptr_eq(&cached.current(), &first));
        *store.is_away.lock().unwrap() = false;
        clock.advance(2);
        assert!(renewed(&cached, &first).is_none());
        clock.advance(1);
        assert!(renewed(&cached, &first).is_some());
    }
}
