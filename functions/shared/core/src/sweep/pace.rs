//! When a source is swept, and how far back.

use std::time::Duration;

use crate::Timestamp;
use crate::request::Via;

/// The usual interval.
const HOURLY: Duration = Duration::from_hours(1);

/// The longest interval at which an instance is read that is not decided, where sweeps only find
/// lost events: some are never decided.
const SELDOM: Duration = Duration::from_hours(7 * 24);

/// An event may still be on its way, or in the queue, for so long after the end of its approval.
const ARRIVES_WITHIN: Duration = Duration::from_mins(10);

/// The intervals of the sweeps of a source, and the period that they list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// The interval of the sweeps.
    pub every: Duration,
    /// What was created so long before the end of the last sweep is listed again.
    pub reach: Duration,
    /// The interval of the sweeps with the long reach.
    pub far_every: Duration,
    /// How long before now they list.
    pub far_reach: Duration,
    /// The longest period of one query.
    pub window: Duration,
    /// Whether approvals arrive by sweeps alone. If not, each that a sweep finds had an event that
    /// was lost.
    pub is_arrival: bool,
    /// The calls that the office system allows in a month, if it counts them.
    pub monthly_calls: Option<u32>,
    /// The calls for reading one instance.
    pub calls_per_read: u32,
}

impl Pace {
    /// The last ten hours every hour, and the last two weeks once a day, in queries over at most
    /// `window`.
    #[must_use]
    pub const fn hourly(window: Duration) -> Self {
        Self {
            every: HOURLY,
            reach: Duration::from_hours(10),
            far_every: Duration::from_hours(24),
            far_reach: Duration::from_hours(14 * 24),
            window,
            is_arrival: false,
            monthly_calls: None,
            calls_per_read: 1,
        }
    }

    /// For a source whose approvals arrive by sweeps alone.
    #[must_use]
    pub const fn polling(self, every: Duration) -> Self {
        Self { every, is_arrival: true, ..self }
    }

    /// The way by which a sweep says that an approval arrived.
    #[must_use]
    pub const fn via(&self) -> Via {
        if self.is_arrival { Via::Poll } else { Via::Sweep }
    }

    /// How long after its end an approval is enqueued: before, its event may still arrive.
    #[must_use]
    pub const fn grace(&self) -> Duration {
        if self.is_arrival { Duration::ZERO } else { ARRIVES_WITHIN }
    }

    /// When an instance is read again that was first seen at `since` and is not decided: at the
    /// next sweep, and later, when it has waited for long, after a tenth of that time.
    #[must_use]
    pub fn read_again_at(&self, since: Timestamp, now: Timestamp) -> Timestamp {
        // The next sweep can begin a little earlier.
        let next_sweep = self.every / 2;
        let longest = if self.is_arrival { self.far_every } else { SELDOM };
        now.plus((now.since(since) / 10).clamp(next_sweep, longest))
    }

    /// Whether an approval that was first seen at `since` is still read for its revocation: where
    /// there are no events, until the end of the long reach. After that its holds are confirmed
    /// once a week, as everywhere.
    #[must_use]
    pub fn watches(&self, since: Timestamp, now: Timestamp) -> bool {
        self.is_arrival && now.since(since) < self.far_reach
    }

    /// The calls that sweeps over one of `definitions` may make in a month: together half of what
    /// is allowed, so that approvals can be read when their events arrive.
    #[must_use]
    pub fn calls_for_one_of(&self, definitions: usize) -> Option<u32> {
        let definitions = u32::try_from(definitions.max(1)).unwrap_or(u32::MAX);
        self.monthly_calls.map(|calls| calls / 2 / definitions)
    }
}
