//! The limits of a target, within one process.

#![warn(missing_docs)]

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use greenlight_core::Timestamp;
use greenlight_core::ports::Clock;
use serde::Deserialize;
use tokio::sync::{Semaphore, SemaphorePermit};

/// The largest `concurrency`: as many effects can end at once, and the ledger records them in one
/// update.
pub(super) const MAX_CONCURRENCY: usize = 64;

/// The limits of a target, per worker process.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Concurrent operations, at most [`MAX_CONCURRENCY`]. Default: 10, the size of a batch of
    /// messages.
    pub concurrency: usize,
    /// Requests per second; 0 means unlimited. Default: 0.
    pub per_second: u32,
    /// One operation at a time across all workers: for operations that read a list, change it and
    /// write it back, where concurrent changes would be lost. Default: false.
    pub exclusive: bool,
}

impl Default for Limits {
    fn default() -> Self {
        Self { concurrency: 10, per_second: 0, exclusive: false }
    }
}

/// Enforces the limits of one target.
#[derive(Debug)]
pub(super) struct Limiter {
    permits: Semaphore,
    /// Interval between the starts of two requests.
    interval: Duration,
    next: Mutex<Timestamp>,
}

impl Limiter {
    pub(super) fn new(limits: Limits) -> Self {
        let interval = match limits.per_second {
            0 => Duration::ZERO,
            per_second => Duration::from_secs(1) / per_second,
        };
        let permits = Semaphore::new(limits.concurrency.clamp(1, Semaphore::MAX_PERMITS));
        Self { permits, interval, next: Mutex::default() }
    }

    /// Waits for a permit, which the operation holds until it is complete. `None` when its first
    /// request could not be sent before `deadline`.
    pub(super) async fn admit(
        &self,
        clock: &impl Clock,
        deadline: Timestamp,
    ) -> Option<SemaphorePermit<'_>> {
        let permit = self.permits.acquire().await.ok()?;
        let first = clock.now().max(*self.next.lock().unwrap_or_else(PoisonError::into_inner));
        (first < deadline).then_some(permit)
    }

    /// Waits until the rate limit allows a request.
    pub(super) async fn wait(&self, clock: &impl Clock) {
        let wait = self.turn(clock.now());
        if !wait.is_zero() {
            clock.sleep(wait).await;
        }
    }

    /// Reserves the caller's turn and returns the wait until then.
    fn turn(&self, now: Timestamp) -> Duration {
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        let turn = now.max(*next);
        *next = turn.plus(self.interval);
        turn.since(now)
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;
    use greenlight_testkit::clock::TestClock;

    use super::*;

    #[test]
    fn turns_are_an_interval_apart() {
        let limiter = Limiter::new(Limits { per_second: 10, ..Limits::default() });
        let at = Timestamp::from_millis;
        let waits: Vec<_> = [0, 0, 0, 1_000, 1_050]
            .into_iter()
            .map(|now| limiter.turn(at(now)).as_millis())
            .collect();
        assert_eq!(waits, [0, 100, 200, 0, 50]);
    }

    #[test]
    fn whoever_gets_room_after_the_deadline_does_not_begin() {
        let limiter = Limiter::new(Limits { concurrency: 1, ..Limits::default() });
        let (clock, deadline) =
            (TestClock::advanced_by_sleeps(Timestamp::default()), Timestamp::from_millis(10));
        let first = limiter.admit(&clock, deadline).now_or_never().unwrap();
        assert!(first.is_some());
        let mut second = Box::pin(limiter.admit(&clock, deadline));
        assert!((&mut second).now_or_never().is_none(), "there is no permit");
        clock.advance(Duration::from_millis(10));
        drop(first);
        assert!(second.now_or_never().unwrap().is_none(), "there is a permit, and no time");
        let late = Timestamp::from_millis(11);
        assert!(limiter.admit(&clock, late).now_or_never().unwrap().is_some());
    }

    #[test]
    fn whoever_has_its_turn_after_the_deadline_does_not_begin() {
        let limiter = Limiter::new(Limits { per_second: 1, ..Limits::default() });
        let (clock, deadline) =
            (TestClock::advanced_by_sleeps(Timestamp::default()), Timestamp::from_millis(1_500));
        for expected in [true, true, false] {
            assert_eq!(limiter.admit(&clock, deadline).now_or_never().unwrap().is_some(), expected);
            limiter.wait(&clock).now_or_never().unwrap();
        }
    }
}
