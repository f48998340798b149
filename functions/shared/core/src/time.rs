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

    /// From a moment in RFC 3339, `2027-12-31T00:00:00+08:00`; `None` for any other text.
    #[must_use]
    pub fn of_moment(text: &str) -> Option<Self> {
        if !is_moment(text) {
            return None;
        }
        let number = |place: std::ops::Range<usize>| text.get(place)?.parse::<i64>().ok();
        let (year, month, day) = (number(0..4)?, number(5..7)?, number(8..10)?);
        let of_day = (number(11..13)? * 60 + number(14..16)?) * 60 + number(17..19)?;
        let rest = text.get(19..)?;
        let (fraction, offset) = rest.split_at(rest.find(['Z', '+', '-'])?);
        let fraction = format!("{:0<3.3}", fraction.trim_start_matches('.'));
        let offset = match offset.split_at_checked(1)? {
            ("Z", _) => 0,
            (sign, offset) => {
                let (hours, minutes) = offset.split_once(':')?;
                let minutes = hours.parse::<i64>().ok()? * 60 + minutes.parse::<i64>().ok()?;
                if sign == "-" { -minutes } else { minutes }
            }
        };
        let seconds = days_since_epoch(year, month, day) * 86_400 + of_day - offset * 60;
        Some(Self(seconds * 1_000 + fraction.parse::<i64>().ok()?))
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

/// The days from the Unix epoch to a date of the Gregorian calendar. A year is counted from March,
/// so that the leap day is its last.
const fn days_since_epoch(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let days = 365 * year + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    // From March 1 of the year 0 to the Unix epoch.
    days + day_of_year - 719_468
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

    /// The expected values are those of `date -d TEXT +%s%3N`.
    #[test]
    fn of_moment_counts_from_the_unix_epoch() {
        for (text, millis) in [
            ("1970-01-01T00:00:00Z", 0),
            ("1969-12-31T23:59:59.9999Z", -1),
            ("2000-02-29T12:00:00+08:00", 951_796_800_000),
            ("2026-11-29T19:20:21.5Z", 1_795_980_021_500),
            ("2027-12-31T00:00:00+08:00", 1_830_182_400_000),
            ("2100-03-01T00:00:00-05:30", 4_107_562_200_000),
        ] {
            assert_eq!(Timestamp::of_moment(text), Some(Timestamp::from_millis(millis)), "{text}");
        }
        assert_eq!(Timestamp::of_moment("2027-02-29T00:00:00Z"), None);
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
