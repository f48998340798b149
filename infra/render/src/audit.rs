//! `greenlight audit` and `greenlight grants`: what happened to a request, and who has which
//! device.

use greenlight_core::Timestamp;
use greenlight_core::audit::{Grant, RequestHistory, RequestStatus};
use greenlight_core::ledger::{EffectOutcome, State};
use serde_json::{Value, json};
use thiserror::Error;

use crate::format::{OutputFormat, lines, moment, span, table};
use crate::reasons::next_step;

/// The ledger has no entry for it.
#[derive(Debug, Error)]
#[error(
    "the ledger knows no event, instance, device or person `{0}`: the event was not received, no flow is for its \
     approval, or its first attempt has not ended (账本中没有记录)"
)]
pub struct NotFound(pub String);

/// Renders requests, in the given order.
#[must_use]
pub fn render(histories: &[RequestHistory], now: Timestamp, format: OutputFormat) -> String {
    let histories = histories.iter();
    match format {
        OutputFormat::Json => lines(histories.map(|history| to_json(history, now).to_string())),
        OutputFormat::Text => {
            histories.map(|history| to_text(history, now)).collect::<Vec<_>>().join("\n")
        }
    }
}

/// A request, a line per step.
fn to_text(history: &RequestHistory, now: Timestamp) -> String {
    let [source, instance, decision] = history.key_parts().unwrap_or(["?"; 3]);
    let or = |value: &Option<String>| value.clone().unwrap_or_else(|| "?".to_owned());
    let head = [
        format!("{instance} {decision} ({source}, approval {})", history.definition_id),
        format!(
            "  applicant {}, form {}, flow {}, event {}",
            or(&history.applicant),
            or(&history.form_number),
            or(&history.flow),
            history.event_id
        ),
    ];
    let steps = steps(history, now).into_iter().map(|(at, step)| {
        let at = at.map_or_else(|| "now".to_owned(), moment);
        format!("  {at:<20}  {step}")
    });
    lines(head.into_iter().chain(steps))
}

/// The steps of a request, in order; the step without a time is the current status.
#[must_use]
pub fn steps(history: &RequestHistory, now: Timestamp) -> Vec<(Option<Timestamp>, String)> {
    let mut steps = Vec::new();
    if let Some(at) = history.received_at {
        steps.push((Some(at), "event received, request enqueued (收到事件)".to_owned()));
    }
    if let Some(at) = history.first_claimed_at {
        steps.push((Some(at), "first attempt began (首次处理)".to_owned()));
    }
    for (key, effect) in &history.effects {
        let outcome = match effect.outcome {
            EffectOutcome::Done => "done (已完成)",
            EffectOutcome::AlreadyExists => "no change needed (原已如此)",
        };
        let step = match key.parts() {
            Some((target, operation, device)) => {
                format!("{operation} {device} at {target}: {outcome}")
            }
            None => format!("{}: {outcome}", key.as_str()),
        };
        steps.push((Some(effect.at), step));
    }
    if let Some(last_failure) = &history.last_failure {
        let step =
            format!("attempt failed: {}: {} (失败)", last_failure.class, last_failure.reason);
        steps.push((Some(last_failure.at), step));
    }
    if let State::Done { at, .. } = history.state {
        let took = history
            .took()
            .map_or_else(String::new, |took| format!(", {} after the event", span(took)));
        steps.push((Some(at), format!("everything is done{took} (完成)")));
    }
    steps.sort_by_key(|(at, _)| *at);
    let attempts = format!("{} attempt(s)", history.attempt);
    match history.status(now) {
        RequestStatus::Succeeded => {}
        RequestStatus::Running => {
            steps.push((None, format!("in progress, {attempts} (处理中)")));
        }
        RequestStatus::Retrying => {
            let next = history
                .next_attempt(now)
                .map_or_else(String::new, |at| format!(" at {}", moment(at)));
            let step = format!("waits for its next attempt{next}, {attempts} so far (等待重试)");
            steps.push((None, step));
        }
        RequestStatus::Failed => {
            let class =
                history.last_failure.as_ref().map_or("unknown", |last_failure| &last_failure.class);
            let step = format!("dead-lettered after {attempts} (死信); next: {}", next_step(class));
            steps.push((None, step));
        }
    }
    steps
}

fn to_json(history: &RequestHistory, now: Timestamp) -> Value {
    let effects: Vec<_> = history
        .effects
        .iter()
        .map(|(key, effect)| {
            json!({"effect": key.as_str(), "outcome": effect.outcome.as_str(), "at": moment(effect.at)})
        })
        .collect();
    json!({
        "request": history.key,
        "instance": history.instance_id(),
        "definition_id": history.definition_id,
        "event_id": history.event_id,
        "applicant": history.applicant,
        "form_number": history.form_number,
        "flow": history.flow,
        "status": history.status(now).as_str(),
        "attempts": history.attempt,
        "received_at": history.received_at.map(moment),
        "next_attempt_at": history.next_attempt(now).map(moment),
        "first_attempt_at": history.first_claimed_at.map(moment),
        "ended_at": match history.state {
            State::Done { at, .. } | State::Failed { at, .. } => Some(moment(at)),
            State::Running(_) => None,
        },
        "effects": effects,
        "last_failure": history.last_failure.as_ref().map(|last_failure| json!({
            "class": last_failure.class,
            "reason": last_failure.reason,
            "target": last_failure.target,
            "at": moment(last_failure.at),
            "next_step": next_step(&last_failure.class),
        })),
    })
}

/// Renders grants; `of` is the search text.
#[must_use]
pub fn render_grants(grants: &[Grant], of: Option<&str>, format: OutputFormat) -> String {
    if format == OutputFormat::Json {
        return lines(grants.iter().map(|grant| grant_json(grant).to_string()));
    }
    if grants.is_empty() {
        let of = of.map_or_else(String::new, |of| format!(" to or because of `{of}`"));
        return format!("No device is granted{of}. 没有授权的设备。\n");
    }
    let row = |grant: &Grant| {
        let Grant { device, target, applicant, request, .. } = grant;
        [device, target, &moment(grant.since), applicant, request].map(Clone::clone)
    };
    let rows: Vec<_> = grants.iter().map(row).collect();
    table(["DEVICE", "TARGET", "SINCE", "APPLICANT", "BECAUSE OF"], &rows)
}

fn grant_json(grant: &Grant) -> Value {
    json!({
        "device": grant.device,
        "target": grant.target,
        "since": moment(grant.since),
        "applicant": grant.applicant,
        "request": grant.request,
    })
}
