//! A clock that a test sets.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use greenlight_core::Timestamp;
use greenlight_core::ports::Clock;
use tokio::sync::watch;

/// Stands still unless a test advances it. Clones are the same clock.
#[derive(Clone, Debug)]
pub struct TestClock {
    now: Arc<AtomicI64>,
    sleeps: Sleeps,
}

/// What a sleep does.
#[derive(Clone, Debug)]
enum Sleeps {
    /// Advances the clock.
    Advance,
    /// Ends once sleeps of its duration were ended.
    EndUpTo(Arc<watch::Sender<Option<Duration>>>),
}

impl TestClock {
    /// A clock whose sleeps never end, unless [`TestClock::end_sleeps`] says so.
    pub fn standing(now: Timestamp) -> Self {
        Self::new(now, Sleeps::EndUpTo(Arc::new(watch::Sender::new(None))))
    }

    /// A clock that a sleep advances by its duration, at once.
    pub fn advanced_by_sleeps(now: Timestamp) -> Self {
        Self::new(now, Sleeps::Advance)
    }

    fn new(now: Timestamp, sleeps: Sleeps) -> Self {
        Self { now: Arc::new(AtomicI64::new(now.as_millis())), sleeps }
    }

    /// Advances it.
    pub fn advance(&self, duration: Duration) {
        let millis = i64::try_from(duration.as_millis()).expect("a test lasts no ages");
        self.now.fetch_add(millis, Ordering::SeqCst);
    }

    /// Ends all sleeps of this duration or a shorter one, those to come too.
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
