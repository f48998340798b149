//! The retry policy of failed requests.

#![warn(missing_docs)]

use std::collections::BTreeSet;
use std::time::Duration;

use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize};
use thiserror::Error;

use crate::Timestamp;
use crate::explain::Explain;
use crate::grant::GrantKey;
use crate::subject::Subject;

/// The waits between attempts, and the retry budget: `[retry]` in `flows.toml`.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RetryPolicy {
    /// The wait after the first attempt; doubled after each further one. Default: `30s`.
    #[serde(deserialize_with = "duration")]
    #[cfg_attr(feature = "schema", schemars(with = "String"))]
    pub initial_interval: Duration,
    /// The maximum wait between two attempts. Default: `15min`.
    #[serde(deserialize_with = "duration")]
    #[cfg_attr(feature = "schema", schemars(with = "String"))]
    pub max_interval: Duration,
    /// The retry budget: the sum of the waits between attempts after which a failing request goes
    /// to the dead-letter queue. Time in which no attempt was possible, such as a power cut, is not
    /// counted. Default: `24h`.
    #[serde(deserialize_with = "duration")]
    #[cfg_attr(feature = "schema", schemars(with = "String"))]
    pub max_elapsed: Duration,
}

/// The maximum wait that another system can ask for (`Retry-After`); adapters cap it where they
/// read it. No queue hides a message for longer.
pub const MAX_ASKED_WAIT: Duration = Duration::from_hours(12);

/// How long before the queue deletes a message it goes to the dead-letter queue with its reason,
/// even if retry budget is left. Longer than [`LONGEST_WAIT`], so that no wait ends after it.
const HARD_STOP_BEFORE_EXPIRY: Duration = Duration::from_hours(12);

/// The maximum number of crashed attempts in a row to count; the budget is spent long before.
const MAX_CRASHED_ATTEMPTS: usize = 10_000;

/// The state that an attempt leaves to the next one; the ledger keeps it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct RetryState {
    /// The number of the attempt that left it; 0 before the first.
    pub attempt: u32,
    /// When that attempt ended.
    pub ended_at: Timestamp,
    /// The planned wait before the next attempt, in milliseconds.
    pub wait_ms: u64,
    /// The part of the retry budget that was spent before that wait, in milliseconds.
    pub spent_ms: u64,
    /// Whether that attempt gave up. A message that was first received after it is a redrive, and
    /// has the whole budget again; an earlier one has not.
    #[serde(default)]
    pub gave_up: bool,
    /// Whether the wait after it spends no budget: no attempt is possible before its end.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_free: bool,
    /// The targets and subjects that failed and are not done, as [`subject_key`] writes them.
    pub failed: BTreeSet<String>,
    /// The grants whose hold is recorded, and not confirmed by the target.
    #[serde(default)]
    pub pending: BTreeSet<GrantKey>,
}

impl RetryState {
    /// When the next attempt is due.
    #[must_use]
    pub fn next_attempt(&self) -> Timestamp {
        self.ended_at.plus(Duration::from_millis(self.wait_ms))
    }
}

/// One subject at one target: `nac/mac:00:00:5e:00:53:01`; without a subject, `nac/`.
#[must_use]
pub fn subject_key(target: &str, subject: Option<&Subject>) -> String {
    format!("{target}/{}", subject.map(Subject::key).unwrap_or_default())
}

/// The wait after another worker was found to hold the lease; doubled each time, and no longer than
/// the lease.
const BUSY: Duration = Duration::from_secs(2);

/// SQS keeps a message for 14 days, and hides it for 12 hours at most, counted from its receive.
const LONGEST_PATIENCE: Duration = Duration::from_hours(13 * 24);
const LONGEST_WAIT: Duration = Duration::from_mins(11 * 60 + 50);

/// After 1,000 receives (`maxReceiveCount` in template.yaml) SQS itself moves a message to the
/// dead-letter queue, without a reason: waits are stretched so that the budget ends before that.
const MOST_RECEIVES: u32 = 900;

/// The number of receives before waits are stretched.
const UNSTRETCHED_RECEIVES: u32 = 100;

/// Reads a duration as people write it: `90s`, `1h 30min`.
///
/// # Errors
/// The text is no such duration.
pub fn duration<'de, D: Deserializer<'de>>(value: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(value)?;
    humantime::parse_duration(&text)
        .map_err(|error| D::Error::custom(format!("{text:?} is not a duration like 90s: {error}")))
}

/// As [`duration`], where it can be left out.
pub(crate) fn optional_duration<'de, D: Deserializer<'de>>(
    value: D,
) -> Result<Option<Duration>, D::Error> {
    duration(value).map(Some)
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            initial_interval: Duration::from_secs(30),
            max_interval: Duration::from_mins(15),
            max_elapsed: Duration::from_hours(24),
        }
    }
}

/// A retry policy that no queue could keep to.
#[derive(Clone, Copy, Debug, Error, Explain, PartialEq, Eq)]
#[explain("flows_retry")]
pub enum RetryProblem {
    /// The first wait is longer than the longest, or nothing.
    #[error("`initial_interval` is at least 1ms and no longer than `max_interval`")]
    InitialInterval,
    /// The longest wait is longer than a queue can hide a message.
    #[error("`max_interval` is 11h 50min at most: no queue hides a message for longer than 12h")]
    MaxInterval,
    /// The budget is shorter than one wait.
    #[error("`max_elapsed` is no shorter than `initial_interval`")]
    TooShort,
    /// The budget is longer than a queue keeps a message.
    #[error("`max_elapsed` is 13days at most: the queue keeps a message for 14")]
    TooLong,
}

impl RetryPolicy {
    /// The setting that no queue could keep to, if there is one.
    pub(crate) const fn problem(&self) -> Option<RetryProblem> {
        if self.initial_interval.is_zero()
            || self.initial_interval.as_millis() > self.max_interval.as_millis()
        {
            Some(RetryProblem::InitialInterval)
        } else if self.max_interval.as_millis() > LONGEST_WAIT.as_millis() {
            Some(RetryProblem::MaxInterval)
        } else if self.max_elapsed.as_millis() < self.initial_interval.as_millis() {
            Some(RetryProblem::TooShort)
        } else if self.max_elapsed.as_millis() > LONGEST_PATIENCE.as_millis() {
            Some(RetryProblem::TooLong)
        } else {
            None
        }
    }

    /// The wait after attempt number `attempt` (1 is the first), with a jitter of 20 %, so that
    /// requests that failed together are not all retried together.
    ///
    /// `asked` is the wait that the other system asked for (`Retry-After`), honoured up to the
    /// maximum.
    /// `chance` is in `0.0..1.0`.
    #[must_use]
    pub fn wait(&self, attempt: u32, asked: Option<Duration>, chance: f64) -> Duration {
        let jittered = self
            .doubled(self.initial_interval, attempt)
            .mul_f64(0.8 + 0.4 * chance.clamp(0.0, 1.0));
        jittered.max(asked.unwrap_or_default().min(self.max_interval)).min(LONGEST_WAIT)
    }

    /// The minimum wait for a message that was received `receive_count` times and is to be retried
    /// for `left` more, so that it does not reach the maximum receive count before that.
    #[must_use]
    pub fn least(receive_count: u32, left: Duration) -> Duration {
        if receive_count < UNSTRETCHED_RECEIVES {
            return Duration::ZERO;
        }
        let receives_left = MOST_RECEIVES.saturating_sub(receive_count).max(1);
        (left / receives_left).min(LONGEST_WAIT)
    }

    /// The wait for an office system that accepts no calls until the month ends: it asks for one
    /// itself, which is longer than the usual.
    #[must_use]
    pub fn wait_for_quota(&self, asked: Option<Duration>) -> Duration {
        asked.unwrap_or(self.max_interval).min(LONGEST_WAIT)
    }

    /// The wait for another worker whose lease is valid for `lease` from now. Most finish early, so
    /// the first checks are early; the last is one second after the lease expires, to allow for
    /// clock skew.
    #[must_use]
    pub fn wait_for_lease(&self, attempt: u32, lease: Duration) -> Duration {
        self.doubled(BUSY, attempt).min(lease + Duration::from_secs(1))
    }

    fn doubled(&self, first: Duration, attempt: u32) -> Duration {
        let doublings = attempt.saturating_sub(1).min(16);
        first.saturating_mul(1 << doublings).min(self.max_interval)
    }

    /// The part of the budget that is spent when attempt number `attempt` begins at `now`, with a
    /// message first received at `first_received`: the sum of the gaps between attempts, each
    /// counted up to the planned wait. A crashed attempt, which left no state, counts with the wait
    /// that would have followed it.
    #[must_use]
    pub fn spent(
        &self,
        state: &RetryState,
        attempt: u32,
        first_received: Timestamp,
        now: Timestamp,
    ) -> Duration {
        if state.gave_up && state.ended_at < first_received {
            return Duration::ZERO;
        }
        let crashed = state.attempt.saturating_add(1)..attempt;
        let counted = if state.is_free { 0 } else { state.wait_ms };
        let planned = crashed
            .take(MAX_CRASHED_ATTEMPTS)
            .map(|attempt| self.wait(attempt, None, 0.5))
            .fold(Duration::from_millis(counted), Duration::saturating_add);
        let gap = now.since(state.ended_at);
        Duration::from_millis(state.spent_ms).saturating_add(gap.min(planned))
    }

    /// Whether the budget is spent.
    #[must_use]
    pub fn is_spent(&self, spent: Duration) -> bool {
        spent >= self.max_elapsed
    }
}

/// How long a message that the queue deletes at `expires_at` may still be retried, from `now`;
/// `None` if the queue deletes no messages.
#[must_use]
pub fn until_hard_stop(expires_at: Option<Timestamp>, now: Timestamp) -> Option<Duration> {
    Some(expires_at?.minus(HARD_STOP_BEFORE_EXPIRY).since(now))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIDDLE: f64 = 0.5;

    #[test]
    fn waits_double_up_to_a_quarter_of_an_hour() {
        let policy = RetryPolicy::default();
        let waits: Vec<_> =
            (1..=7).map(|attempt| policy.wait(attempt, None, MIDDLE).as_secs()).collect();
        assert_eq!(waits, [30, 60, 120, 240, 480, 900, 900]);
        assert_eq!(policy.wait(u32::MAX, None, MIDDLE).as_secs(), 900);
    }

    #[test]
    fn jitter_is_a_fifth_either_way() {
        let policy = RetryPolicy::default();
        assert_eq!(policy.wait(1, None, 0.0).as_secs(), 24);
        assert_eq!(policy.wait(1, None, 1.0).as_secs(), 36);
    }

    #[test]
    fn what_the_other_side_asks_for_is_honoured_within_bounds() {
        let policy = RetryPolicy::default();
        let asked = |seconds| policy.wait(1, Some(Duration::from_secs(seconds)), MIDDLE);
        assert_eq!(asked(90).as_secs(), 90);
        assert_eq!(asked(1).as_secs(), 30);
        assert_eq!(asked(86_400).as_secs(), 900);
    }

    #[test]
    fn another_workers_lease_is_looked_at_early_and_outwaited_at_most() {
        let policy = RetryPolicy::default();
        let wait = |attempt| policy.wait_for_lease(attempt, Duration::from_secs(20)).as_secs();
        assert_eq!([wait(1), wait(2), wait(3), wait(4), wait(5)], [2, 4, 8, 16, 21]);
    }

    #[test]
    fn g09_max_elapsed_ends_before_the_queues_max_receive_count() {
        for max_elapsed in [1, 24, 13 * 24].map(Duration::from_hours) {
            // The shortest waits that occur, for any class of failure.
            for shortest in [Duration::ZERO, Duration::from_secs(2), Duration::from_mins(5)] {
                let (mut receives, mut elapsed) = (1, Duration::ZERO);
                while elapsed < max_elapsed {
                    let left = max_elapsed.saturating_sub(elapsed);
                    elapsed += shortest.max(RetryPolicy::least(receives, left));
                    receives += 1;
                }
                assert!(receives < 1_000, "{max_elapsed:?}, {shortest:?}: {receives}");
            }
        }
    }

    /// Runs attempts that all fail; `gap` is the delay of the next attempt after the planned wait.
    fn attempts_until_spent(policy: RetryPolicy, gap: impl Fn(u32) -> Duration) -> (u32, Duration) {
        let mut state = RetryState::default();
        let (mut now, mut attempt) = (Timestamp::from_millis(0), 1);
        loop {
            let spent = policy.spent(&state, attempt, Timestamp::from_millis(0), now);
            if policy.is_spent(spent) {
                return (attempt, now.since(Timestamp::from_millis(0)));
            }
            let wait = policy.wait(attempt, None, MIDDLE);
            let millis = |duration: Duration| u64::try_from(duration.as_millis()).unwrap();
            let (wait_ms, spent_ms) = (millis(wait), millis(spent));
            state = RetryState { attempt, ended_at: now, wait_ms, spent_ms, ..state };
            now = now.plus(wait).plus(gap(attempt));
            attempt += 1;
        }
    }

    #[test]
    fn g27_the_budget_is_spent_after_a_day_of_attempts() {
        let (attempts, elapsed) = attempts_until_spent(RetryPolicy::default(), |_| Duration::ZERO);
        assert_eq!(attempts, 101);
        assert!((24..25).contains(&(elapsed.as_secs() / 3_600)), "{elapsed:?}");
    }

    #[test]
    fn g27_a_weekend_without_power_spends_no_more_than_one_wait() {
        let weekend = Duration::from_hours(64);
        let policy = RetryPolicy::default();
        let (steady, elapsed) = attempts_until_spent(policy, |_| Duration::ZERO);
        let (attempts, with_weekend) =
            attempts_until_spent(
                policy,
                |attempt| {
                    if attempt == 3 { weekend } else { Duration::ZERO }
                },
            );
        assert_eq!((attempts, with_weekend), (steady, elapsed + weekend));
    }

    #[test]
    fn g27_attempts_that_crash_spend_the_wait_that_would_have_followed() {
        let policy = RetryPolicy::default();
        let state = RetryState::default();
        let late = Timestamp::from_millis(0).plus(Duration::from_hours(1_000));
        let spent = |attempt, now| policy.spent(&state, attempt, Timestamp::from_millis(0), now);
        assert_eq!(spent(1, late), Duration::ZERO);
        assert_eq!(spent(3, late), Duration::from_secs(90));
        let early = Timestamp::from_millis(0).plus(Duration::from_secs(10));
        assert_eq!(spent(3, early), Duration::from_secs(10));
        assert!(policy.is_spent(spent(1_000, late)));
        assert!(policy.is_spent(spent(u32::MAX, late)));
    }

    #[test]
    fn g27_waiting_for_a_quota_spends_nothing() {
        let policy = RetryPolicy::default();
        let hour = Duration::from_hours(1);
        let state = RetryState {
            attempt: 3,
            wait_ms: 40_000_000,
            spent_ms: 3_600_000,
            is_free: true,
            ..RetryState::default()
        };
        let spent = |attempt, days: u64| {
            let now = Timestamp::from_millis(0).plus(Duration::from_hours(24 * days));
            policy.spent(&state, attempt, Timestamp::from_millis(0), now)
        };
        assert_eq!(spent(4, 9), hour);
        // An attempt that crashed meanwhile counts.
        assert!(spent(5, 9) > hour);
        let waits = |hours| policy.wait_for_quota(Some(Duration::from_hours(hours)));
        assert_eq!(waits(3), Duration::from_hours(3));
        assert_eq!(waits(300), LONGEST_WAIT);
    }

    #[test]
    fn g27_only_a_message_that_comes_after_giving_up_has_the_whole_budget_again() {
        let policy = RetryPolicy::default();
        let ended_at = Timestamp::from_millis(1_000);
        let spent_ms = 86_400_000;
        let state =
            RetryState { attempt: 9, ended_at, spent_ms, gave_up: true, ..RetryState::default() };
        let spent = |state: &RetryState, first_received| {
            let first_received = Timestamp::from_millis(first_received);
            policy.spent(state, 10, first_received, Timestamp::from_millis(3_000))
        };
        assert_eq!(spent(&state, 2_000), Duration::ZERO);
        assert_eq!(spent(&state, 1_000), Duration::from_hours(24));
        let released = RetryState { gave_up: false, ..state };
        assert_eq!(spent(&released, 2_000), Duration::from_hours(24));
    }

    #[test]
    fn g27_the_hard_stop_stands_before_the_end_of_the_queues_retention() {
        let now = Timestamp::from_millis(0);
        let in_a_day = Some(now.plus(Duration::from_hours(24)));
        assert_eq!(until_hard_stop(in_a_day, now), Some(Duration::from_hours(12)));
        assert_eq!(until_hard_stop(Some(now), now), Some(Duration::ZERO));
        assert_eq!(until_hard_stop(None, now), None);
        assert!(LONGEST_WAIT < HARD_STOP_BEFORE_EXPIRY);
    }
}
