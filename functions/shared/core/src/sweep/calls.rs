//! The calls of an office system that counts them by the month.

use jiff::tz::{Offset, TimeZone};
use serde::{Deserialize, Serialize};

use crate::Timestamp;

/// The office systems that count calls begin a month in the time of China.
const OFFSET: Offset = Offset::constant(8);

/// The calls of a month.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Calls {
    /// The month, as `2026-11`; empty before the first call.
    pub month: String,
    /// The number.
    pub count: u32,
}

impl Calls {
    /// With `more` calls at `now`.
    #[must_use]
    pub fn and(&self, more: u32, now: Timestamp) -> Self {
        if more == 0 {
            return self.clone();
        }
        let count = self.at(now).saturating_add(more);
        Self { month: month(now), count }
    }

    /// The calls in the month of `now`.
    #[must_use]
    pub fn at(&self, now: Timestamp) -> u32 {
        if self.month == month(now) { self.count } else { 0 }
    }
}

/// The first moment of the month after `now`.
#[must_use]
pub fn next_month(now: Timestamp) -> Timestamp {
    let next = zoned(now).and_then(|now| {
        let first = now.first_of_month().ok()?.checked_add(jiff::Span::new().months(1)).ok()?;
        first.start_of_day().ok()
    });
    next.map_or(now, |next| Timestamp::from_millis(next.timestamp().as_millisecond()))
}

fn month(at: Timestamp) -> String {
    zoned(at).map(|at| at.strftime("%Y-%m").to_string()).unwrap_or_default()
}

fn zoned(at: Timestamp) -> Option<jiff::Zoned> {
    let at = jiff::Timestamp::from_millisecond(at.as_millis()).ok()?;
    Some(at.to_zoned(TimeZone::fixed(OFFSET)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        Timestamp::of_moment(text).unwrap()
    }

    #[test]
    fn calls_are_counted_by_the_month_in_china() {
        let last_of_month = at("2026-11-30T15:59:59Z");
        let first_of_next = at("2026-11-30T16:00:00Z");
        let calls = Calls::default().and(3, last_of_month).and(4, last_of_month);
        assert_eq!((calls.month.as_str(), calls.count), ("2026-11", 7));
        assert_eq!(calls.at(first_of_next), 0);
        assert_eq!(calls.and(1, first_of_next), Calls { month: "2026-12".into(), count: 1 });
        assert_eq!(next_month(last_of_month), first_of_next);
        assert_eq!(next_month(first_of_next), at("2026-12-31T16:00:00Z"));
    }
}
