//! `greenlight status`.

use greenlight_admin::status::SystemStatus;
use greenlight_core::Timestamp;
use greenlight_core::audit::{RequestHistory, RequestStatus};
use greenlight_core::breaker::{Breaker, BreakerState};
use greenlight_core::operator::QueueStatus;
use serde_json::{Map, Value, json};

use crate::format::{OutputFormat, facts, lines, moment, span, table};

/// The status of queue, dead letters, targets and the last hour.
#[must_use]
pub fn render(status: &SystemStatus, now: Timestamp, format: OutputFormat) -> String {
    match format {
        OutputFormat::Text => to_table(status, now),
        OutputFormat::Json => format!("{}\n", to_json(status, now)),
    }
}

fn to_table(status: &SystemStatus, now: Timestamp) -> String {
    let QueueStatus { waiting, in_flight, oldest, dead_letters, .. } = &status.queue;
    let oldest = oldest.map_or_else(
        || "none, or not known (无)".to_owned(),
        |age| format!("{} ago (最早)", span(age)),
    );
    let by_class = status.queue.dead_letters_by_class.iter();
    let by_class: Vec<_> = by_class.map(|(class, n)| format!("{n} {class}")).collect();
    let letters = match (*dead_letters, by_class.as_slice()) {
        (0, _) => "none (无死信)".to_owned(),
        (n, []) => format!("{n} (死信)"),
        _ => format!("{} (死信)", by_class.join(", ")),
    };
    let count = |of: RequestStatus| status.last_hour.get(&of).copied().unwrap_or(0);
    let last_hour = format!(
        "{} succeeded, {} failed, {} not ended yet (最近一小时)",
        count(RequestStatus::Succeeded),
        count(RequestStatus::Failed),
        count(RequestStatus::Running) + count(RequestStatus::Retrying)
    );
    let mut rows = Vec::new();
    if status.queue.is_served == Some(false) {
        let text = "is not running on this folder: nothing is taken from the queue (未运行)";
        rows.push(("serve".to_owned(), text.to_owned()));
    }
    rows.extend([
        ("waiting".to_owned(), format!("{waiting} (等待中)")),
        ("in flight".to_owned(), format!("{in_flight} (处理中)")),
        ("oldest".to_owned(), oldest),
        ("dead letters".to_owned(), letters),
        ("last hour".to_owned(), last_hour),
    ]);
    for (source, waiting) in &status.unreachable_sources {
        let text = format!("cannot be reached, {waiting} request(s) wait for it (无法访问)");
        rows.push((format!("source {source}"), text));
    }
    for (target, breaker) in &status.breakers {
        rows.push((format!("target {target}"), to_text(breaker, now)));
    }
    facts(rows)
}

/// The requests that wait for their next attempt.
#[must_use]
pub fn render_waiting(
    histories: &[RequestHistory],
    now: Timestamp,
    format: OutputFormat,
) -> String {
    if format == OutputFormat::Json {
        return lines(histories.iter().map(|history| waiting_json(history, now).to_string()));
    }
    if histories.is_empty() {
        return "No request waits for its next attempt. 没有等待重试的请求。\n".to_owned();
    }
    let row = |history: &RequestHistory| {
        let last_failure = history.last_failure.as_ref();
        let next = history.next_attempt(now).map_or_else(|| "?".to_owned(), moment);
        [
            history.instance_id().to_owned(),
            next,
            history.attempt.to_string(),
            last_failure.and_then(|it| it.target.clone()).unwrap_or_else(|| "-".to_owned()),
            last_failure
                .map_or_else(|| "?".to_owned(), |it| format!("{}: {}", it.class, it.reason)),
        ]
    };
    let rows: Vec<_> = histories.iter().map(row).collect();
    table(["INSTANCE", "NEXT ATTEMPT", "TRIES", "TARGET", "LAST FAILURE"], &rows)
}

fn waiting_json(history: &RequestHistory, now: Timestamp) -> Value {
    let last_failure = history.last_failure.as_ref();
    json!({
        "request": history.key,
        "instance": history.instance_id(),
        "next_attempt_at": history.next_attempt(now).map(moment),
        "attempts": history.attempt,
        "target": last_failure.and_then(|last_failure| last_failure.target.clone()),
        "class": last_failure.map(|last_failure| &last_failure.class),
        "reason": last_failure.map(|last_failure| &last_failure.reason),
        "failed_at": last_failure.map(|last_failure| moment(last_failure.at)),
    })
}

/// As a JSON object.
#[must_use]
pub fn to_json(status: &SystemStatus, now: Timestamp) -> Value {
    let targets: Map<_, _> = status
        .breakers
        .iter()
        .map(|(target, breaker)| {
            let state = if breaker.is_open(now) { breaker.as_str() } else { "closed" };
            (target.clone(), json!({"breaker": state, "failures": breaker.failures}))
        })
        .collect();
    let last_hour: Map<_, _> = status
        .last_hour
        .iter()
        .map(|(status, count)| (status.as_str().to_owned(), json!(count)))
        .collect();
    json!({
        "is_served": status.queue.is_served,
        "waiting": status.queue.waiting,
        "in_flight": status.queue.in_flight,
        "waiting_by_class": status.waiting_by_class,
        "unreachable_sources": status.unreachable_sources,
        "oldest_seconds": status.queue.oldest.map(|age| age.as_secs()),
        "dead_letters": status.queue.dead_letters,
        "dead_letters_by_class": status.queue.dead_letters_by_class,
        "last_hour": last_hour,
        "targets": targets,
    })
}

/// The state of a circuit breaker in words.
#[must_use]
pub fn to_text(breaker: &Breaker, now: Timestamp) -> String {
    match &breaker.state {
        BreakerState::Closed if breaker.failures == 0 => "answers (正常)".to_owned(),
        BreakerState::Closed => format!("failed {} time(s) in a row", breaker.failures),
        _ if !breaker.is_open(now) => {
            format!("may be called again, after {} failures in a row", breaker.failures)
        }
        BreakerState::Open { until } => format!(
            "circuit open for {} more, after {} failures in a row (熔断)",
            span(until.since(now)),
            breaker.failures
        ),
        BreakerState::HalfOpen { .. } => "half-open: a probe is running (探测中)".to_owned(),
    }
}
