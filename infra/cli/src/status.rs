//! `greenlight status`, and what `serve` says to a monitoring system: how things stand on one machine.

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use greenlight_core::Timestamp;
use greenlight_core::breaker::{Breaker, BreakerState};
use greenlight_core::ports::{Clock, LedgerError};
use greenlight_stores::SystemClock;
use greenlight_stores::embedded::{Database, OpenError, Overview};
use serde_json::{Map, json};
use thiserror::Error;

/// It cannot be told how things stand.
#[derive(Debug, Error)]
pub enum StatusError {
    /// There is no database, or it is none of ours.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The database cannot be asked.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

/// How things stand in a data folder: queue, dead letters, breakers.
///
/// # Errors
/// [`StatusError`] says what is missing.
pub async fn status(folder: &Path, as_json: bool) -> Result<String, StatusError> {
    let overview = Database::open_beside(folder).await?.overview().await?;
    let now = SystemClock.now();
    Ok(if as_json { to_json(&overview, now) } else { to_table(&overview, now) })
}

fn to_table(overview: &Overview, now: Timestamp) -> String {
    let Overview { waiting, in_flight, dead_letters, breakers, .. } = overview;
    let oldest = age(overview, now)
        .map_or_else(|| "none (无)".to_owned(), |age| format!("{} s ago", age.as_secs()));
    let letters: Vec<_> = dead_letters.iter().map(|(class, n)| format!("{n} {class}")).collect();
    let letters =
        if letters.is_empty() { "none (无死信)".to_owned() } else { letters.join(", ") };
    let mut rows = vec![
        ("waiting".to_owned(), format!("{waiting} (等待中)")),
        ("in flight".to_owned(), format!("{in_flight} (处理中)")),
        ("oldest".to_owned(), oldest),
        ("dead letters".to_owned(), letters),
    ];
    for (target, breaker) in breakers {
        rows.push((format!("target {target}"), told(breaker, now)));
    }
    let line = |(name, value)| format!("{name:<16} {value}\n");
    rows.into_iter().map(line).collect::<Vec<_>>().concat()
}

fn to_json(overview: &Overview, now: Timestamp) -> String {
    let targets: Map<_, _> = overview
        .breakers
        .iter()
        .map(|(target, breaker)| {
            (target.clone(), json!({"breaker": word(&breaker.state), "failures": breaker.failures}))
        })
        .collect();
    let status = json!({
        "waiting": overview.waiting,
        "in_flight": overview.in_flight,
        "oldest_seconds": age(overview, now).map(|age| age.as_secs()),
        "dead_letters": overview.dead_letters,
        "targets": targets,
    });
    format!("{status}\n")
}

/// In the text format of Prometheus.
#[must_use]
pub fn metrics(overview: &Overview, now: Timestamp) -> String {
    let mut text = String::new();
    let mut gauge = |name: &str, help: &str, values: &[(String, u64)]| {
        let _ = writeln!(text, "# HELP greenlight_{name} {help}\n# TYPE greenlight_{name} gauge");
        for (labels, value) in values {
            let _ = writeln!(text, "greenlight_{name}{labels} {value}");
        }
    };
    let plain = |value| [(String::new(), value)];
    let seconds = age(overview, now).unwrap_or_default().as_secs();
    gauge("queue_waiting", "Messages that wait.", &plain(overview.waiting));
    gauge("queue_in_flight", "Messages that are being processed.", &plain(overview.in_flight));
    gauge(
        "queue_oldest_seconds",
        "Since the event of the first message was received.",
        &plain(seconds),
    );
    let letters = overview.dead_letters.iter();
    let letters: Vec<_> =
        letters.map(|(class, n)| (format!("{{class=\"{class}\"}}"), *n)).collect();
    gauge("dead_letters", "Dead letters by class.", &letters);
    let breakers = overview.breakers.iter().map(|(target, breaker)| {
        let is_open = is_open(breaker, now);
        (format!("{{target=\"{}\"}}", escaped(target)), u64::from(is_open))
    });
    gauge("breaker_open", "1 while a target is left in peace.", &breakers.collect::<Vec<_>>());
    text
}

fn age(overview: &Overview, now: Timestamp) -> Option<Duration> {
    overview.oldest.map(|oldest| now.since(oldest))
}

const fn word(state: &BreakerState) -> &'static str {
    match state {
        BreakerState::Closed => "closed",
        BreakerState::Open { .. } => "open",
        BreakerState::HalfOpen { .. } => "half_open",
    }
}

/// Whether calls are kept back, now.
fn is_open(breaker: &Breaker, now: Timestamp) -> bool {
    match breaker.state {
        BreakerState::Closed => false,
        BreakerState::Open { until } | BreakerState::HalfOpen { until, .. } => now < until,
    }
}

/// As a label's value.
fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

fn told(breaker: &Breaker, now: Timestamp) -> String {
    match &breaker.state {
        BreakerState::Closed if breaker.failures == 0 => "answers (正常)".to_owned(),
        BreakerState::Closed => format!("failed {} time(s) in a row", breaker.failures),
        _ if !is_open(breaker, now) => {
            format!("may be asked again, after {} failures in a row", breaker.failures)
        }
        BreakerState::Open { until } => format!(
            "is left in peace for {} s more, after {} failures in a row (熔断)",
            until.since(now).as_secs(),
            breaker.failures
        ),
        BreakerState::HalfOpen { .. } => "a probe looks whether it is back (探测中)".to_owned(),
    }
}
