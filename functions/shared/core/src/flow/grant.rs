//! When the access that a flow grants ends.

use std::time::Duration;

use jiff::ToSpan;
use jiff::tz::TimeZone;
use serde::de::Error;
use serde::{Deserialize, Deserializer};
use thiserror::Error;

use crate::Timestamp;
use crate::explain::Explain;
use crate::retry::optional_duration;

/// The end of the access that a flow grants. Without it, access lasts until its approval is
/// withdrawn.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GrantRule {
    /// The `date` field with the end; in a table, per row. A date without a time, which is midnight
    /// in forms, is the end of that day.
    pub until: Option<String>,
    /// How long access lasts, from the end of the approval: `180days`.
    #[serde(default, deserialize_with = "optional_duration")]
    #[cfg_attr(feature = "schema", schemars(with = "Option<String>"))]
    pub lasts: Option<Duration>,
    /// The longest that access lasts, from the end of the approval, whatever the form asks for.
    #[serde(default, deserialize_with = "optional_duration")]
    #[cfg_attr(feature = "schema", schemars(with = "Option<String>"))]
    pub at_most: Option<Duration>,
    /// What happens when the approval is withdrawn. Default: `remove`.
    #[serde(default)]
    pub when_withdrawn: WhenWithdrawn,
    /// How many subjects a person may hold by this flow at the same time. Default: any number.
    pub per_owner: Option<usize>,
    /// What happens when the person holds that many. Default: `refuse`.
    #[serde(default)]
    pub when_full: WhenFull,
    /// The field with a subject that the person holds, and that the new access replaces: its access
    /// ends. Default: none.
    pub replaces: Option<String>,
    /// The time zone in which `until` is a day: `Asia/Shanghai`. Default: the offset of the date in
    /// the form.
    #[cfg_attr(feature = "schema", schemars(with = "Option<String>"))]
    pub time_zone: Option<Zone>,
}

/// What happens to the access when its approval is withdrawn.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WhenWithdrawn {
    /// It is removed, unless another approval holds it.
    #[default]
    Remove,
    /// It goes on until its end.
    Keep,
}

/// What happens when a person holds as much as the flow allows.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WhenFull {
    /// The new access is refused.
    #[default]
    Refuse,
    /// The oldest access ends.
    EndOldest,
}

/// A time zone of the IANA database, which is built in.
#[derive(Clone, Debug, PartialEq)]
pub struct Zone(TimeZone);

impl<'de> Deserialize<'de> for Zone {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        TimeZone::get(&name).map(Self).map_err(|_| {
            D::Error::custom(format!("{name:?} is no time zone, such as \"Asia/Shanghai\""))
        })
    }
}

/// The reason for which a form has no end of access.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error, Explain)]
#[explain("no_end")]
pub enum NoEnd {
    /// The form leaves it out, and the flow has no limit.
    #[error("the end of access is left out")]
    LeftOut,
    /// It is in the past.
    #[error("the end of access is in the past")]
    Past,
    /// It is no date that a calendar has.
    #[error("the end of access is not a date")]
    NotDate,
}

impl GrantRule {
    /// Whether access ends by time.
    #[must_use]
    pub const fn has_end(&self) -> bool {
        self.until.is_some() || self.lasts.is_some()
    }

    /// Whether the access of each person is counted, or replaced.
    #[must_use]
    pub const fn counts_access(&self) -> bool {
        self.per_owner.is_some() || self.replaces.is_some()
    }

    /// The end of access; `None` if it does not end by time. `date` is the value of the field
    /// `until`, `approved_at` the end of the approval.
    ///
    /// # Errors
    /// [`NoEnd`]: there is no access without the end that the flow asks for.
    pub fn end(
        &self,
        date: Option<&str>,
        approved_at: Timestamp,
        now: Timestamp,
    ) -> Result<Option<Timestamp>, NoEnd> {
        if !self.has_end() {
            return Ok(None);
        }
        let asked = match (date, self.lasts) {
            (Some(date), _) => Some(self.end_of(date).ok_or(NoEnd::NotDate)?),
            (None, lasts) => lasts.map(|lasts| approved_at.plus(lasts)),
        };
        let limit = self.at_most.map(|most| approved_at.plus(most));
        let end = asked.into_iter().chain(limit).min().ok_or(NoEnd::LeftOut)?;
        if end <= now { Err(NoEnd::Past) } else { Ok(Some(end)) }
    }

    /// The moment of a date in RFC 3339; of midnight, the end of that day.
    fn end_of(&self, date: &str) -> Option<Timestamp> {
        let moment = jiff::Timestamp::from_millisecond(Timestamp::of_moment(date)?.as_millis());
        let moment = moment.ok()?;
        let zone = match &self.time_zone {
            Some(Zone(zone)) => zone.clone(),
            None => {
                jiff::fmt::temporal::Pieces::parse(date).ok()?.to_numeric_offset()?.to_time_zone()
            }
        };
        let local = moment.to_zoned(zone);
        // Of a day that begins later, as where clocks change at midnight, that is its first moment.
        let starts_day = local.start_of_day().is_ok_and(|start| start == local);
        let end =
            if starts_day { local.checked_add(1.day()).ok()?.start_of_day().ok()? } else { local };
        Some(Timestamp::from_millis(end.timestamp().as_millisecond()))
    }
}
