//! A clock that a test controls.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use greenlight_core::Timestamp;
use greenlight_core::ports::Clock;
use tokio::sync::watch;

/// A clock that stands still unless a test advances it. Clones share the time.
#[derive(Clone, Debug)]
pub struct TestClock {
    now: Arc<AtomicI64>,
    sleeps: Sleeps,
}

/// The behaviour of sleeps.
#[derive(Clone, Debug)]
enum Sleeps {
    /// A sleep advances the clock and ends at once.
    Advance,
    /// A sleep ends once [`TestClock::end_sleeps`] covers its duration.
    EndUpTo(Arc<watch::Sender<Option<Duration>>>),
}

impl TestClock {
    /// A clock whose sleeps end only through [`TestClock::end_sleeps`].
    pub fn standing(now: Timestamp) -> Self {
        Self::new(now, Sleeps::EndUpTo(Arc::new(watch::Sender::new(None))))
    }

    /// A clock that each sleep advances by its duration, at once.
    pub fn advanced_by_sleeps(now: Timestamp) -> Self {
        Self::new(now, Sleeps::Advance)
    }

    fn new(now: Timestamp, sleeps: Sleeps) -> Self {
        Self { now: Arc::new(AtomicI64::new(now.as_millis())), sleeps }
    }

    /// Advances the clock.
    pub fn advance(&self, duration: Duration) {
        let millis = i64::try_from(duration.as_millis()).expect("the duration fits into i64");
        self.now.fetch_add(millis, Ordering::SeqCst);
    }

    /// Ends all current and future sleeps of at most this duration.
    pub fn end_sleeps(&self, up_to: Duration) {
        if let Sleeps::EndUpTo(ended) = &self.sleeps {
            ended.send_replace(Some(up_to));
        }
    }
}

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.now.load(Ordering::SeqCst))
    }

    async fn sleep(&self, duration: Duration) {
        match &self.sleeps {
            Sleeps::Advance => self.advance(duration),
            Sleeps::EndUpTo(ended) => {
                let is_ended = |up_to: &Option<Duration>| up_to.is_some_and(|it| duration <= it);
                let _ = ended.subscribe().wait_for(is_ended).await;
            }
        }
    }
}
