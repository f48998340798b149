//! Timestamps of signed requests.

use std::time::Duration;

use greenlight_core::{Rejection, Timestamp};

/// Numbers below are seconds: as milliseconds they would be in 2001.
const SECONDS_END: i64 = 1_000_000_000_000;

/// The most digits of a timestamp.
const MAX_DIGITS: usize = 15;

/// How far the clock of a sender may be ahead of the local clock.
const CLOCK_AHEAD: Duration = Duration::from_mins(5);

/// The moment in a header: seconds since the Unix epoch, or milliseconds, in digits only.
pub(crate) fn signed_at(text: &str) -> Option<Timestamp> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let number: i64 = text.parse().ok().filter(|_| is_number && text.len() <= MAX_DIGITS)?;
    let millis = if number < SECONDS_END { number * 1_000 } else { number };
    Some(Timestamp::from_millis(millis))
}

/// Checks that a request with this timestamp was signed within the last `window`.
pub(crate) fn check_age(text: &str, now: Timestamp, window: Duration) -> Result<(), Rejection> {
    let signed_at = signed_at(text).ok_or(Rejection::OutsideReplayWindow)?;
    if now.since(signed_at) <= window && signed_at.since(now) <= CLOCK_AHEAD {
        Ok(())
    } else {
        Err(Rejection::OutsideReplayWindow)
    }
}
