//! Sources whose approvals arrive by reading their list at an interval.

use std::time::Duration;

use crate::kind::SettingsProblem;

/// The shortest interval: that of the ticks.
const SHORTEST: Duration = Duration::from_mins(1);

/// The longest interval: that of other sweeps, so that the alarm of sweeps that fail fits.
const LONGEST: Duration = Duration::from_hours(1);

/// The interval where `flows.toml` has none.
pub(crate) const fn default_interval() -> Duration {
    Duration::from_mins(5)
}

/// Checks the interval in the setting `key`.
pub(crate) fn interval_problem(key: &'static str, interval: Duration) -> Option<SettingsProblem> {
    let is_allowed = (SHORTEST..=LONGEST).contains(&interval);
    (!is_allowed).then_some(SettingsProblem::Interval { key })
}
