//! Periods in windows that a query allows.

use std::ops::Range;
use std::time::Duration;

use greenlight_core::Timestamp;

/// `period` in windows of at most `longest`, the oldest first.
pub(crate) fn windows(
    period: Range<Timestamp>,
    longest: Duration,
) -> impl Iterator<Item = Range<Timestamp>> {
    let mut start = period.start;
    std::iter::from_fn(move || {
        let end = start.plus(longest).min(period.end);
        let window = start..end;
        start = end;
        (window.start < window.end).then_some(window)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_cover_a_period_without_gap_or_overlap() {
        let at = |hours: i64| Timestamp::from_millis(hours * 3_600_000);
        let ten = Duration::from_hours(10);
        let of = |from, until| windows(at(from)..at(until), ten).collect::<Vec<_>>();
        assert_eq!(of(0, 24), [at(0)..at(10), at(10)..at(20), at(20)..at(24)]);
        assert_eq!(of(0, 10), [at(0)..at(10)]);
        assert_eq!(of(5, 5), []);
        assert_eq!(of(5, 4), []);
    }
}
