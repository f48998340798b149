//! The offset from UTC of dates that have none.

use serde::de::Error;
use serde::{Deserialize, Deserializer};

use crate::Timestamp;
use crate::time::is_moment;

/// An offset from UTC: `+08:00`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UtcOffset(String);

impl UtcOffset {
    /// The offset of China, for office systems that write dates in it.
    #[must_use]
    pub fn of_china() -> Self {
        Self("+08:00".to_owned())
    }

    /// A moment in RFC 3339 with this offset; `None` outside of the years that have four digits.
    #[must_use]
    pub fn format(&self, at: Timestamp) -> Option<String> {
        let at = jiff::Timestamp::from_millisecond(at.as_millis()).ok()?;
        let any = format!("2000-01-01T00:00:00{}", self.0);
        let any = jiff::fmt::temporal::Pieces::parse(&any).ok()?;
        let zone = any.to_numeric_offset()?.to_time_zone();
        let written = at.to_zoned(zone).strftime("%Y-%m-%dT%H:%M:%S%:z").to_string();
        is_moment(&written).then_some(written)
    }

    /// The moment, in RFC 3339, of a date or time as people write it: `2027-12-31`, `2027/1/5
    /// 18:00`. A date alone is its first moment.
    #[must_use]
    pub fn moment(&self, text: &str) -> Option<String> {
        let text = text.trim();
        let (date, time) = text.split_once([' ', 'T']).unwrap_or((text, "00:00:00"));
        let date: Vec<_> = date.split(['-', '/', '.']).collect();
        let time: Vec<_> = time.trim().split(':').collect();
        let (&[year, month, day], [hour, minute, rest @ ..]) = (date.as_slice(), time.as_slice())
        else {
            return None;
        };
        let second = match rest {
            [] => "00",
            [second] => second,
            _ => return None,
        };
        let is_number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        let parts = [year, month, day, hour, minute, second];
        if year.len() != 4 || !parts.iter().all(|part| !part.is_empty() && is_number(part)) {
            return None;
        }
        let offset = &self.0;
        let moment =
            format!("{year}-{month:0>2}-{day:0>2}T{hour:0>2}:{minute:0>2}:{second:0>2}{offset}");
        is_moment(&moment).then_some(moment)
    }
}

impl<'de> Deserialize<'de> for UtcOffset {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        if text.starts_with(['+', '-']) && is_moment(&format!("2000-01-01T00:00:00{text}")) {
            Ok(Self(text))
        } else {
            Err(D::Error::custom(format!("{text:?} is no offset from UTC, such as \"+08:00\"")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_written_with_the_offset() {
        let at = Timestamp::from_millis(1_811_606_400_000);
        for (offset, written) in [
            ("+08:00", Some("2027-05-30T00:00:00+08:00")),
            ("-03:30", Some("2027-05-29T12:30:00-03:30")),
        ] {
            assert_eq!(UtcOffset(offset.to_owned()).format(at).as_deref(), written);
        }
        assert_eq!(UtcOffset::of_china().format(Timestamp::from_millis(i64::MAX)), None);
    }

    #[test]
    fn a_date_as_people_write_it_is_its_first_moment() {
        let offset = UtcOffset("+08:00".to_owned());
        for (text, moment) in [
            ("2027-12-31", Some("2027-12-31T00:00:00+08:00")),
            ("2027/1/5", Some("2027-01-05T00:00:00+08:00")),
            (" 2027.1.5 9:30 ", Some("2027-01-05T09:30:00+08:00")),
            ("2027-12-31T18:00:05", Some("2027-12-31T18:00:05+08:00")),
            ("31.12.2027", None),
            ("2027-13-01", None),
            ("2027-02-29", None),
            ("2027-12-31 25:00", None),
            ("2027-12", None),
            ("2027-12-31 18", None),
            ("soon", None),
        ] {
            assert_eq!(offset.moment(text).as_deref(), moment, "{text}");
        }
    }
}
