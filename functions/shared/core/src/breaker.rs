//! A circuit breaker per target: while its circuit is open a target is not called, except by one
//! probe at a time.
//!
//! ```text
//! closed{failures} -third failure in a row-> open{until} -next call-> half-open{probe, until}
//!    ^ success                                 ^-------- the probe fails --------/ |
//!    \---------------------------- the probe succeeds -----------------------------/
//! ```
//! Pure, like the state machine of the ledger; a store keeps one [`Breaker`] per target and changes
//! it atomically.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::Timestamp;
use crate::lease::LeaseId;

/// The number of failures in a row that opens the circuit.
const FAILURES_TO_OPEN: u32 = 3;

/// How long the circuit stays open the first time; doubled each time a probe fails.
const FIRST_OPEN: Duration = Duration::from_secs(30);

/// The maximum time for which the circuit stays open.
const LONGEST_OPEN: Duration = Duration::from_mins(5);

/// How long a probe may take before another one is sent: its worker may have crashed.
const PROBE: Duration = Duration::from_secs(90);

/// Longer than any worker locks a target: a lease lasts slightly longer than a function may run.
const LONGEST_HOLD: Duration = Duration::from_mins(30);

/// The interval at which to check whether a probe ended or a lock was released.
const LOOK_AGAIN: Duration = Duration::from_secs(5);

/// The health of a target.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Breaker {
    /// Failures in a row.
    pub failures: u32,
    /// The state of the circuit.
    pub state: BreakerState,
    /// The exclusive lock of a target that allows one operation at a time.
    #[serde(default)]
    pub held: Option<Held>,
}

/// The exclusive lock of a target.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Held {
    /// The lease that holds it.
    pub lease_id: LeaseId,
    /// When another lease can acquire the lock.
    pub until: Timestamp,
}

/// The state of the circuit.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BreakerState {
    /// Calls are allowed.
    #[default]
    Closed,
    /// No call is allowed before `until`.
    Open {
        /// When a probe is allowed.
        until: Timestamp,
    },
    /// One probe is allowed, to test whether the target is reachable again.
    HalfOpen {
        /// The lease of the probe.
        probe: LeaseId,
        /// When another probe is allowed.
        until: Timestamp,
    },
}

/// Whether a call is permitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Permit {
    /// The call is permitted.
    Granted,
    /// The call is not permitted before `until`.
    Denied {
        /// When to ask again.
        until: Timestamp,
    },
}

/// The health of a target, by its response to a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Health {
    /// It responded, whatever the response says about the subject.
    Up,
    /// It could not be reached, or asked to be called later.
    Down,
}

impl Breaker {
    /// The name of the state in logs.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self.state {
            BreakerState::Closed => "closed",
            BreakerState::Open { .. } => "open",
            BreakerState::HalfOpen { .. } => "half_open",
        }
    }

    /// Whether a call is permitted at `now`, without becoming the probe.
    #[must_use]
    pub fn peek(&self, now: Timestamp) -> Permit {
        match &self.state {
            BreakerState::Open { until } if is_ahead(*until, LONGEST_OPEN, now) => {
                Permit::Denied { until: *until }
            }
            // Most probes end quickly.
            BreakerState::HalfOpen { until, .. } if is_ahead(*until, PROBE, now) => {
                Permit::Denied { until: now.plus(LOOK_AGAIN).min(*until) }
            }
            _ => Permit::Granted,
        }
    }

    /// Whether calls are rejected at `now`, by the recorded times alone.
    #[must_use]
    pub fn is_open(&self, now: Timestamp) -> bool {
        match self.state {
            BreakerState::Closed => false,
            BreakerState::Open { until } | BreakerState::HalfOpen { until, .. } => now < until,
        }
    }

    /// Requests a permit for a call. The first one after the open time becomes the probe.
    #[must_use]
    pub fn try_acquire(self, lease_id: &LeaseId, now: Timestamp) -> (Self, Permit) {
        let permit = match &self.state {
            BreakerState::HalfOpen { probe, .. } if probe == lease_id => {
                return (self, Permit::Granted);
            }
            _ => self.peek(now),
        };
        if self.state == BreakerState::Closed || permit != Permit::Granted {
            return (self, permit);
        }
        let state = BreakerState::HalfOpen { probe: lease_id.clone(), until: now.plus(PROBE) };
        (Self { state, ..self }, permit)
    }

    /// Whether no failure is recorded.
    #[must_use]
    pub fn is_healthy(&self) -> bool {
        self.failures == 0 && self.state == BreakerState::Closed
    }

    /// Acquires the exclusive lock of the target until `until`, unless another lease holds it.
    #[must_use]
    pub fn lock(self, lease_id: &LeaseId, until: Timestamp, now: Timestamp) -> (Self, Permit) {
        match &self.held {
            Some(held) if held.lease_id != *lease_id && is_ahead(held.until, LONGEST_HOLD, now) => {
                let until = now.plus(LOOK_AGAIN).min(held.until);
                (self, Permit::Denied { until })
            }
            _ => (
                Self { held: Some(Held { lease_id: lease_id.clone(), until }), ..self },
                Permit::Granted,
            ),
        }
    }

    /// Releases the exclusive lock, if this lease holds it.
    #[must_use]
    pub fn unlock(self, lease_id: &LeaseId) -> Self {
        let held = self.held.filter(|held| held.lease_id != *lease_id);
        Self { held, ..self }
    }

    /// Records the health that a call found.
    #[must_use]
    pub fn record(self, lease_id: &LeaseId, health: Health, now: Timestamp) -> Self {
        match (health, &self.state) {
            (Health::Up, _) => Self { held: self.held, ..Self::default() },
            (Health::Down, BreakerState::Closed) => {
                let failures = self.failures + 1;
                let state = if failures < FAILURES_TO_OPEN {
                    BreakerState::Closed
                } else {
                    BreakerState::Open { until: now.plus(FIRST_OPEN) }
                };
                Self { failures, state, ..self }
            }
            (Health::Down, BreakerState::HalfOpen { probe, .. }) if probe == lease_id => {
                let failures = self.failures.saturating_add(1);
                let doublings = failures.saturating_sub(FAILURES_TO_OPEN).min(8);
                let open_for = FIRST_OPEN.saturating_mul(1 << doublings).min(LONGEST_OPEN);
                Self { failures, state: BreakerState::Open { until: now.plus(open_for) }, ..self }
            }
            // The call began before the circuit opened: no new information.
            (Health::Down, _) => self,
        }
    }
}

/// Whether `until` is in the future. A value further away than `longest` was written by a clock
/// that has since been set back; it counts as past.
fn is_ahead(until: Timestamp, longest: Duration, now: Timestamp) -> bool {
    now < until && until.since(now) <= longest
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_millis(seconds * 1_000)
    }

    fn lease_id(name: &str) -> LeaseId {
        name.into()
    }

    /// Three failures in a row at 0 s.
    fn opened() -> Breaker {
        let fail = |breaker: Breaker, _| breaker.record(&lease_id("a"), Health::Down, at(0));
        (0..FAILURES_TO_OPEN).fold(Breaker::default(), fail)
    }

    #[test]
    fn failures_in_a_row_open_it_and_others_do_not() {
        let mut breaker = Breaker::default();
        for _ in 0..10 {
            breaker = breaker.record(&lease_id("a"), Health::Down, at(0));
            breaker = breaker.record(&lease_id("a"), Health::Down, at(0));
            breaker = breaker.record(&lease_id("a"), Health::Up, at(0));
        }
        assert_eq!(breaker, Breaker::default());
        assert_eq!(opened().state, BreakerState::Open { until: at(30) });
    }

    #[test]
    fn g09_one_probe_at_a_time_asks_a_target_that_is_down() {
        let (breaker, permit) = opened().try_acquire(&lease_id("a"), at(29));
        assert_eq!(permit, Permit::Denied { until: at(30) });
        let (breaker, permit) = breaker.try_acquire(&lease_id("b"), at(30));
        assert_eq!(permit, Permit::Granted);
        let (breaker, permit) = breaker.try_acquire(&lease_id("c"), at(31));
        assert_eq!(permit, Permit::Denied { until: at(36) });
        let (breaker, permit) = breaker.try_acquire(&lease_id("b"), at(31));
        assert_eq!(permit, Permit::Granted, "the probe may ask again");
        // The worker of the probe crashed: another one replaces it.
        let (breaker, permit) = breaker.try_acquire(&lease_id("c"), at(120));
        assert_eq!(permit, Permit::Granted);
        assert!(
            matches!(breaker.state, BreakerState::HalfOpen { probe, .. } if probe == lease_id("c"))
        );
    }

    #[test]
    fn a_probe_that_fails_doubles_the_wait_and_one_that_succeeds_ends_it() {
        let mut breaker = opened();
        let mut now = at(30);
        let mut waits = Vec::new();
        for _ in 0..6 {
            let (half_open, permit) = breaker.try_acquire(&lease_id("p"), now);
            assert_eq!(permit, Permit::Granted);
            breaker = half_open.record(&lease_id("p"), Health::Down, now);
            let BreakerState::Open { until } = breaker.state else { panic!("{breaker:?}") };
            waits.push(until.since(now).as_secs());
            now = until;
        }
        assert_eq!(waits, [60, 120, 240, 300, 300, 300]);
        let (half_open, _) = breaker.try_acquire(&lease_id("p"), now);
        assert_eq!(half_open.record(&lease_id("p"), Health::Up, now), Breaker::default());
    }

    #[test]
    fn pass_after_the_clock_was_set_back_does_not_wait_for_the_old_time() {
        let before = at(-100_000);
        assert_eq!(opened().peek(before), Permit::Granted);
        let (half_open, _) = opened().try_acquire(&lease_id("a"), at(30));
        assert_eq!(half_open.peek(before), Permit::Granted);
        let (held, _) = Breaker::default().lock(&lease_id("a"), at(90), at(0));
        let (_, permit) = held.lock(&lease_id("b"), before.plus(PROBE), before);
        assert_eq!(permit, Permit::Granted);
    }

    #[test]
    fn one_worker_has_a_target_to_itself_until_it_gives_it_back_or_dies() {
        let (breaker, permit) = Breaker::default().lock(&lease_id("a"), at(90), at(0));
        assert_eq!(permit, Permit::Granted);
        let (breaker, permit) = breaker.lock(&lease_id("b"), at(91), at(1));
        assert_eq!(permit, Permit::Denied { until: at(6) });
        let breaker = breaker.record(&lease_id("a"), Health::Up, at(2));
        let (breaker, permit) = breaker.unlock(&lease_id("b")).lock(&lease_id("b"), at(92), at(2));
        assert_eq!(permit, Permit::Denied { until: at(7) }, "only its lease_id gives it back");
        let (_, permit) = breaker.clone().lock(&lease_id("b"), at(180), at(90));
        assert_eq!(permit, Permit::Granted, "the lease_id died");
        let (_, permit) = breaker.unlock(&lease_id("a")).lock(&lease_id("b"), at(93), at(3));
        assert_eq!(permit, Permit::Granted);
    }

    #[test]
    fn a_late_failure_does_not_keep_it_open() {
        let late = opened().record(&lease_id("late"), Health::Down, at(29));
        assert_eq!(late, opened());
    }
}
