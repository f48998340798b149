//! Whether approvals whose events are lost are looked for, within the calls that the office system
//! allows.

use greenlight_core::Timestamp;
use greenlight_core::explain::Explain;
use greenlight_core::flow::Flows;
use greenlight_core::operator::AuditReader;
use greenlight_core::ports::Clock;
use greenlight_core::sweep::{Pace, Sweep, SweepKey};
use greenlight_render::format::moment;
use greenlight_stores::SystemClock;

use super::checks::{Advice, CheckName, Checks, Finding};

/// A sweep is late when there was none for so many intervals.
const LATE_AFTER: u32 = 3;

/// Checks the record of the sweeps of each approval definition of `source`.
pub(super) async fn sweeps(
    source: &str,
    pace: &Pace,
    ledger: &dyn AuditReader,
    flows: &Flows,
    checks: &mut Checks,
) {
    let name = CheckName::Source { name: source.to_owned() };
    let read = ledger.sweeps().await.map_err(|error| error.explain());
    let Some(records) = checks.take(name, read, Some(Advice::Stores)) else { return };
    let of_source: Vec<_> = flows.flows.iter().filter(|flow| flow.source == source).collect();
    let allowed = pace.calls_for_one_of(of_source.len());
    for flow in of_source {
        let (source, definition_id) = (source.to_owned(), flow.definition_id.clone());
        let key = SweepKey { source, definition_id };
        // The first one is soon after the first start.
        let Some((_, record)) = records.iter().find(|(of, _)| *of == key) else { continue };
        let (is_ok, finding) = judge(record, pace, allowed, SystemClock.now());
        let name = CheckName::Approval { code: key.definition_id };
        if is_ok {
            checks.ok(name, finding);
        } else {
            checks.bad(name, finding);
        }
    }
}

fn judge(record: &Sweep, pace: &Pace, allowed: Option<u32>, now: Timestamp) -> (bool, Finding) {
    if let Some(until) = record.not_before.filter(|until| now < *until) {
        return (false, Finding::SweepsPaused { until: moment(until) });
    }
    let calls = record.calls.at(now);
    if let Some(allowed) = allowed.filter(|allowed| calls >= allowed / 5 * 4) {
        return (false, Finding::SweepCalls { calls, allowed });
    }
    let last = record.listed_until.unwrap_or(record.since);
    if now.since(last) > pace.every * LATE_AFTER {
        return (false, Finding::SweepsLate { last: moment(last) });
    }
    (true, Finding::Swept { last: moment(last) })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn sweeps_that_stop_or_call_too_often_are_found() {
        let pace = Pace { monthly_calls: Some(1_000), ..Pace::hourly(Duration::from_hours(10)) };
        let now = Timestamp::from_millis(1_796_000_000_000);
        let hours = |hours| now.minus(Duration::from_hours(hours));
        let record = Sweep { listed_until: Some(hours(1)), ..Sweep::new(hours(900)) };
        let of = |record: &Sweep| judge(record, &pace, pace.calls_for_one_of(1), now);
        assert!(matches!(of(&record), (true, Finding::Swept { .. })));
        let late = Sweep { listed_until: Some(hours(4)), ..record.clone() };
        assert!(matches!(of(&late), (false, Finding::SweepsLate { .. })));
        let never = Sweep::new(hours(4));
        assert!(matches!(of(&never), (false, Finding::SweepsLate { .. })));
        let many = Sweep { calls: record.calls.and(400, now), ..record.clone() };
        let found = Finding::SweepCalls { calls: 400, allowed: 500 };
        assert_eq!(of(&many), (false, found));
        let paused = Sweep { not_before: Some(now.plus(Duration::from_hours(1))), ..record };
        assert!(matches!(of(&paused), (false, Finding::SweepsPaused { .. })));
    }
}
