//! `/metrics`: the status of the system for a monitoring system.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use greenlight_admin::status::SystemStatus;
use greenlight_core::Timestamp;

/// The status in the text format of Prometheus.
pub(crate) fn metrics(
    status: &SystemStatus,
    connected: &BTreeMap<String, bool>,
    now: Timestamp,
) -> String {
    let mut text = String::new();
    let mut gauge = |name: &str, help: &str, values: &[(String, u64)]| {
        let _ = writeln!(text, "# HELP greenlight_{name} {help}\n# TYPE greenlight_{name} gauge");
        for (labels, value) in values {
            let _ = writeln!(text, "greenlight_{name}{labels} {value}");
        }
    };
    let plain = |value| [(String::new(), value)];
    let seconds = status.queue.oldest.unwrap_or_default().as_secs();
    gauge("queue_waiting", "Messages that wait.", &plain(status.queue.waiting));
    gauge("queue_in_flight", "Messages that are being processed.", &plain(status.queue.in_flight));
    gauge(
        "queue_oldest_seconds",
        "Seconds since the event of the oldest message was received.",
        &plain(seconds),
    );
    let waiting = status.waiting_by_class.iter();
    let waiting: Vec<_> =
        waiting.map(|(class, n)| (format!("{{class=\"{}\"}}", escaped(class)), *n)).collect();
    gauge("requests_waiting", "Requests that wait for their next attempt, by class.", &waiting);
    let letters = status.queue.dead_letters_by_class.iter();
    let letters: Vec<_> =
        letters.map(|(class, n)| (format!("{{class=\"{class}\"}}"), *n)).collect();
    gauge("dead_letters", "Dead letters by class.", &letters);
    let breakers = status.breakers.iter().map(|(target, breaker)| {
        (format!("{{target=\"{}\"}}", escaped(target)), u64::from(breaker.is_open(now)))
    });
    gauge(
        "breaker_open",
        "1 if the circuit breaker of the target is open, else 0.",
        &breakers.collect::<Vec<_>>(),
    );
    let connected = connected.iter().map(|(source, is_open)| {
        (format!("{{source=\"{}\"}}", escaped(source)), u64::from(*is_open))
    });
    gauge(
        "stream_connected",
        "1 if the connection over which the source sends its events is open, else 0.",
        &connected.collect::<Vec<_>>(),
    );
    text
}

/// Escapes the value of a label.
pub(crate) fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use greenlight_core::breaker::{Breaker, BreakerState};
    use greenlight_core::operator::QueueStatus;

    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_795_850_650_000);

    #[test]
    fn metrics_are_as_prometheus_reads_them() {
        let breaker = |state, failures| Breaker { state, failures, ..Breaker::default() };
        let until = NOW.plus(Duration::from_secs(25));
        let status = SystemStatus {
            queue: QueueStatus {
                waiting: 3,
                in_flight: 1,
                oldest: Some(Duration::from_secs(4_000)),
                dead_letters: 2,
                dead_letters_by_class: [("invalid_form".into(), 2)].into(),
                ..QueueStatus::default()
            },
            waiting_by_class: [("source_unavailable".into(), 1), ("target_timeout".into(), 2)]
                .into(),
            breakers: [
                ("nac".into(), breaker(BreakerState::Open { until }, 3)),
                ("wlc".into(), breaker(BreakerState::Closed, 1)),
                ("radius".into(), Breaker::default()),
            ]
            .into(),
            ..SystemStatus::default()
        };
        let connected = [("feishu".to_owned(), true), ("lark".to_owned(), false)].into();
        insta::assert_snapshot!("metrics", metrics(&status, &connected, NOW));
    }
}
