//! Timestamps in the headers of signed requests.

use greenlight_core::Timestamp;

/// Numbers below are seconds: as milliseconds they would be in 2001.
const SECONDS_END: i64 = 1_000_000_000_000;

/// The most digits of a timestamp.
const MAX_DIGITS: usize = 15;

/// The moment in a header: seconds since the Unix epoch, or milliseconds, in digits only.
pub(crate) fn signed_at(text: &str) -> Option<Timestamp> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let number: i64 = text.parse().ok().filter(|_| is_number && text.len() <= MAX_DIGITS)?;
    let millis = if number < SECONDS_END { number * 1_000 } else { number };
    Some(Timestamp::from_millis(millis))
}
