//! When a failed request is tried again.

use std::time::Duration;

use serde::de::Error;
use serde::{Deserialize, Deserializer};

use crate::Timestamp;

/// How long to wait between attempts, and for how long to go on: `[retry]` in `flows.toml`.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RetryPolicy {
    /// Wait after the first attempt; doubled with each further one. Default: `30s`.
    #[serde(deserialize_with = "duration")]
    #[cfg_attr(feature = "schema", schemars(with = "String"))]
    pub first: Duration,
    /// The longest wait between two attempts. Default: `15min`.
    #[serde(deserialize_with = "duration")]
    #[cfg_attr(feature = "schema", schemars(with = "String"))]
    pub longest: Duration,
    /// From the first receive of the message until it goes to the dead-letter queue. Default: `24h`.
    #[serde(deserialize_with = "duration")]
    #[cfg_attr(feature = "schema", schemars(with = "String"))]
    pub give_up_after: Duration,
}

/// Wait after another worker was found at it; doubled each time, and no longer than its lease.
const BUSY: Duration = Duration::from_secs(2);

/// SQS keeps a message for 14 days, and hides it for 12 hours at most, counted from its receive.
const LONGEST_PATIENCE: Duration = Duration::from_hours(13 * 24);
const LONGEST_WAIT: Duration = Duration::from_mins(11 * 60 + 50);

/// SQS gives a message out 1,000 times at most (`maxReceiveCount` in template.yaml) and buries it then,
/// without a reason: waits are stretched so that patience ends before that.
const MOST_RECEIVES: u32 = 900;

/// So many receives come as soon as they would.
const UNSTRETCHED_RECEIVES: u32 = 100;

fn duration<'de, D: Deserializer<'de>>(value: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(value)?;
    humantime::parse_duration(&text)
        .map_err(|error| D::Error::custom(format!("{text:?} is no duration such as 90s: {error}")))
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            first: Duration::from_secs(30),
            longest: Duration::from_mins(15),
            give_up_after: Duration::from_hours(24),
        }
    }
}

impl RetryPolicy {
    /// What no queue could keep to, if it asks for that.
    pub(crate) const fn problem(&self) -> Option<&'static str> {
        if self.first.is_zero() || self.first.as_millis() > self.longest.as_millis() {
            Some("`first` is at least 1ms and no longer than `longest`")
        } else if self.longest.as_millis() > LONGEST_WAIT.as_millis() {
            Some("`longest` is 11h 50min at most: no queue hides a message for longer than 12h")
        } else if self.give_up_after.as_millis() < self.first.as_millis() {
            Some("`give_up_after` is no shorter than `first`")
        } else if self.give_up_after.as_millis() > LONGEST_PATIENCE.as_millis() {
            Some("`give_up_after` is 13days at most: the queue keeps a message for 14")
        } else {
            None
        }
    }

    /// How long to wait after attempt number `attempt` (1 is the first), give or take a fifth,
    /// so that requests that failed together do not all come back together.
    ///
    /// `asked` is what the other side asked for (`Retry-After`); it is honoured up to the longest wait.
    /// `chance` is in `0.0..1.0`.
    #[must_use]
    pub fn wait(&self, attempt: u32, asked: Option<Duration>, chance: f64) -> Duration {
        let jittered =
            self.doubled(self.first, attempt).mul_f64(0.8 + 0.4 * chance.clamp(0.0, 1.0));
        jittered.max(asked.unwrap_or_default().min(self.longest)).min(LONGEST_WAIT)
    }

    /// The shortest wait of a message that was received `receive_count` times, first `since_first` ago, so
    /// that it is not given out too often before patience ends.
    #[must_use]
    pub fn least(&self, receive_count: u32, since_first: Duration) -> Duration {
        if receive_count < UNSTRETCHED_RECEIVES {
            return Duration::ZERO;
        }
        let left = self.give_up_after.saturating_sub(since_first);
        let receives_left = MOST_RECEIVES.saturating_sub(receive_count).max(1);
        (left / receives_left).min(LONGEST_WAIT)
    }

    /// How long to wait for another worker whose lease holds for `lease` from now. Most are done at
    /// once, so the first looks are early; a second after the lease's end is late enough for any clock.
    #[must_use]
    pub fn wait_for_lease(&self, attempt: u32, lease: Duration) -> Duration {
        self.doubled(BUSY, attempt).min(lease + Duration::from_secs(1))
    }

    fn doubled(&self, first: Duration, attempt: u32) -> Duration {
        let doublings = attempt.saturating_sub(1).min(16);
        first.saturating_mul(1 << doublings).min(self.longest)
    }

    /// Whether a message first received at `first_received` has been tried for long enough.
    #[must_use]
    pub fn is_over(&self, first_received: Timestamp, now: Timestamp) -> bool {
        now.since(first_received) >= self.give_up_after
    }
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
    fn statement_09_patience_ends_before_the_queue_has_had_enough() {
        for give_up_after in [1, 24, 13 * 24].map(Duration::from_hours) {
            // Whatever the reason to come back at once is: the shortest waits that there are.
            for shortest in [Duration::ZERO, Duration::from_secs(2), Duration::from_mins(5)] {
                let policy = RetryPolicy { give_up_after, ..RetryPolicy::default() };
                let (mut receives, mut elapsed) = (1, Duration::ZERO);
                while elapsed < give_up_after {
                    elapsed += shortest.max(policy.least(receives, elapsed));
                    receives += 1;
                }
                assert!(receives < 1_000, "{give_up_after:?}, {shortest:?}: {receives}");
            }
        }
    }

    #[test]
    fn it_is_over_a_day_after_the_first_receive() {
        let policy = RetryPolicy::default();
        let start = Timestamp::from_millis(1_000);
        assert!(!policy.is_over(start, start.plus(Duration::from_secs(86_399))));
        assert!(policy.is_over(start, start.plus(Duration::from_hours(24))));
    }
}
