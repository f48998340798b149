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
/// retry. [`ReadSecret::fresh`] reads a secret again that is [`FRESH_FOR`] old.
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
    /// Read again after this moment, even if nothing was rejected.
    fresh_until: Timestamp,
}

/// How long a secret is used without being read again: as long as that, a key that was taken out of
/// it is still accepted.
const FRESH_FOR: Duration = Duration::from_mins(5);

/// The minimum time between two reads of the secret: shorter than office systems wait before they
/// send an event again. At this rate a process reads 28,800 times a day, for 0.14 USD.
const MIN_READ_INTERVAL: Duration = Duration::from_secs(3);

impl Cached {
    fn at(now: Timestamp, secret: Arc<Secret>) -> Self {
        let (next_read, fresh_until) = (now.plus(MIN_READ_INTERVAL), now.plus(FRESH_FOR));
        Self { secret, next_read, fresh_until }
    }
}

impl<F: FetchSecret, C: Clock> CachedSecret<F, C> {
    /// Reads the secret for the first time from `first`, which may have longer timeouts, and later
    /// from `store`.
    ///
    /// # Errors
    /// [`SecretError`] when it cannot be read: nothing works without it.
    pub async fn load(first: impl FetchSecret, store: F, clock: C) -> Result<Self, SecretError> {
        let secret = Arc::new(Secret::parse(&first.fetch().await?)?);
        let cached = Mutex::new(Cached::at(clock.now(), secret));
        Ok(Self { store, clock, cached, reading: futures_util::lock::Mutex::new(()) })
    }

    /// Uses the cached secret on, as no better one was read.
    fn keep(&self) {
        let now = self.clock.now();
        let mut cached = self.cached();
        *cached = Cached::at(now, Arc::clone(&cached.secret));
    }

    fn cached(&self) -> std::sync::MutexGuard<'_, Cached> {
        self.cached.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<F: FetchSecret, C: Clock> ReadSecret for CachedSecret<F, C> {
    fn current(&self) -> Arc<Secret> {
        Arc::clone(&self.cached().secret)
    }

    async fn fresh(&self) -> Arc<Secret> {
        let (secret, fresh_until) = {
            let cached = self.cached();
            (Arc::clone(&cached.secret), cached.fresh_until)
        };
        if self.clock.now() < fresh_until {
            return secret;
        }
        self.renewed(&secret).await.unwrap_or(secret)
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
            Ok(secret) if !secret.can_follow(used) => {
                tracing::warn!(
                    "the secret that was read again lacks credentials of a source; the cached one \
                     stays"
                );
                self.keep();
                return None;
            }
            Ok(secret) => Arc::new(secret),
            Err(error) => {
                tracing::warn!(%error, "the secret could not be read again; the cached one stays");
                self.keep();
                return None;
            }
        };
        *self.cached() = Cached::at(now, Arc::clone(&renewed));
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
    fn fresh_reads_again_what_was_read_minutes_ago() {
        let (cached, store, clock) = loaded();
        let fresh = || cached.fresh().now_or_never().unwrap();
        let first = cached.current();
        clock.advance(299);
        assert!(Arc::ptr_eq(&fresh(), &first));
        clock.advance(1);
        let second = fresh();
        assert!(!Arc::ptr_eq(&second, &first) && Arc::ptr_eq(&cached.current(), &second));
        assert!(Arc::ptr_eq(&fresh(), &second));
        assert_eq!(store.reads.load(Ordering::SeqCst), 2);
    }

    #[test]
    fn a_secret_without_credentials_of_a_source_keeps_the_cached_one() {
        let secret = |json: &str| Secret::parse(json).unwrap();
        let both = secret(r#"{"sources":{"a":{"key":"1"},"b":{"key":["1","2"]}}}"#);
        let rotated = secret(r#"{"sources":{"a":{"key":"3"},"b":{"key":"4"},"c":{"key":"5"}}}"#);
        assert!(rotated.can_follow(&both) && both.can_follow(&rotated));
        let removed = secret(r#"{"sources":{"a":{"key":"3"}}}"#);
        assert!(removed.can_follow(&both), "a source can be taken out");
        for lost in [
            r#"{"source":{"a":{"key":"1"}}}"#,
            r#"{"sources":{"a":{"key":"1"},"b":{"key":" "}}}"#,
            r#"{"sources":{"c":{"key":"1"}}}"#,
        ] {
            assert!(!secret(lost).can_follow(&both), "{lost}");
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
