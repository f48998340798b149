//! Timestamps in the form of every store and protocol here: milliseconds since the Unix epoch.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A moment in milliseconds since the Unix epoch.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Timestamp(i64);

impl Timestamp {
    /// From milliseconds since the Unix epoch.
    #[must_use]
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis)
    }

    /// Milliseconds since the Unix epoch.
    #[must_use]
    pub const fn as_millis(self) -> i64 {
        self.0
    }

    /// Whole seconds since the Unix epoch, as DynamoDB's time to live requires.
    #[must_use]
    pub const fn as_seconds(self) -> i64 {
        self.0.div_euclid(1000)
    }

    /// The moment `duration` later.
    #[must_use]
    pub fn plus(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(millis(duration)))
    }

    /// The moment `duration` earlier.
    #[must_use]
    pub fn minus(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(millis(duration)))
    }

    /// The time that passed since `earlier`; zero if that is later.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }
}

/// Whether `text` has the shape and ranges of a moment in RFC 3339: `2027-12-31T00:00:00+08:00`.
pub(crate) fn is_moment(text: &str) -> bool {
    let shape = |text: &str| -> String {
        text.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect()
    };
    let Some((moment, rest)) = text.split_at_checked(19) else { return false };
    let offset = match rest.strip_prefix('.') {
        Some(fraction) => fraction.trim_start_matches(|c: char| c.is_ascii_digit()),
        None => rest,
    };
    let has_fraction = !rest.starts_with('.') || rest.len() - offset.len() >= 2;
    let is_offset = || match (shape(offset).as_str(), offset.get(1..3), offset.get(4..6)) {
        ("Z", ..) => true,
        ("+00:00" | "-00:00", Some(hours), Some(minutes)) => hours <= "23" && minutes <= "59",
        _ => false,
    };
    let number = |place: std::ops::Range<usize>| moment.get(place).and_then(|it| it.parse().ok());
    let within = |place: usize, range: std::ops::RangeInclusive<u16>| {
        number(place..place + 2).is_some_and(|number| range.contains(&number))
    };
    let days = || number(0..4).zip(number(5..7)).map_or(0, |(year, month)| days(year, month));
    shape(moment) == "0000-00-00T00:00:00"
        && within(5, 1..=12)
        && within(8, 1..=days())
        && [(11, 23), (14, 59), (17, 59)].into_iter().all(|(place, most)| within(place, 0..=most))
        && has_fraction
        && is_offset()
}

/// The number of days in a month of the Gregorian calendar.
const fn days(year: u16, month: u16) -> u16 {
    let is_leap_year =
        year.is_multiple_of(4) && !year.is_multiple_of(100) || year.is_multiple_of(400);
    match month {
        2 if is_leap_year => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arithmetic_never_overflows_and_never_goes_negative() {
        let late = Timestamp::from_millis(i64::MAX);
        assert_eq!(late.plus(Duration::from_hours(1)), late);
        assert_eq!(Timestamp::from_millis(5).since(late), Duration::ZERO);
        assert_eq!(Timestamp::from_millis(1_999).as_seconds(), 1);
    }

    #[test]
    fn moments_have_a_shape_and_ranges() {
        for moment in ["2028-02-29T23:59:59Z", "2027-01-01T00:00:00.5+08:00"] {
            assert!(is_moment(moment), "{moment}");
        }
        for none in [
            "2027-13-01T00:00:00Z",
            "2027-01-32T00:00:00Z",
            "2027-01-01T24:00:00Z",
            "2027-02-29T00:00:00Z",
            "2027-04-31T00:00:00+08:00",
            "2100-02-29T00:00:00Z",
            "2027-01-01T00:00:60Z",
            "2027-01-01T00:00:00+99:99",
            "2027-01-01T00:00:00+24:00",
            "2027-01-01T00:00:0099Z",
            "2027-01-01T00:00:00.Z",
            "2027-01-01T00:00:00..5Z",
            "2027-01-01T00:00:00",
            "2027-01-01",
            "",
        ] {
            assert!(!is_moment(none), "{none}");
        }
    }
}
