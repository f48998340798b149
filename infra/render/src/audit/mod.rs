//! `greenlight audit`: what happened to a request.

mod steps;

use greenlight_admin::audit::Related;
use greenlight_core::act::Act;
use greenlight_core::audit::{Lookup, RequestHistory};
use greenlight_core::explain::Explain;
use greenlight_core::ledger::State;
use greenlight_core::{Decision, Timestamp};
use serde_json::{Value, json};
use thiserror::Error;

use self::steps::{End, ends};
use crate::acts::{act_json, effects_json, render_acts};
use crate::format::{OutputFormat, lines, moment, padded};
use crate::language::Language;
use crate::reasons::next_step;
use crate::text;

pub use self::steps::steps;

/// The ledger has no entry for it.
#[derive(Debug, Error, Explain)]
#[explain("not_found")]
#[error(
    "the ledger knows no event, instance, subject or person `{wanted}`: the event was not received, \
     no flow is for its approval, or its first attempt has not ended"
)]
pub struct NotFound {
    /// The text that was searched for.
    pub wanted: String,
}

/// Renders requests, in the given order, with what operators did. Acts on none of them follow.
#[must_use]
pub fn render(
    histories: &[RequestHistory],
    related: &Related,
    now: Timestamp,
    format: OutputFormat,
) -> String {
    let is_on_none = |act: &&Act| !histories.iter().any(|history| is_on(act, history));
    let others: Vec<_> = related.acts.iter().filter(is_on_none).cloned().collect();
    let shown = histories.iter();
    let shown = match format {
        OutputFormat::Json => {
            lines(shown.map(|history| to_json(history, related, now).to_string()))
        }
        OutputFormat::Text(language) => shown
            .map(|history| to_text(history, related, now, language))
            .collect::<Vec<_>>()
            .join("\n"),
    };
    match (others.is_empty(), shown.is_empty(), format) {
        (true, ..) => shown,
        (_, false, OutputFormat::Text(_)) => format!("{shown}\n{}", render_acts(&others, format)),
        _ => shown + &render_acts(&others, format),
    }
}

fn is_on(act: &Act, history: &RequestHistory) -> bool {
    act.is_on(&[Lookup::instance(history.instance_id())])
}

/// A request, a line per step.
fn to_text(
    history: &RequestHistory,
    related: &Related,
    now: Timestamp,
    language: Language,
) -> String {
    let [source, _, instance, decision] = history.key_parts().unwrap_or(["?"; 4]);
    let decision = Decision::of_str(decision)
        .map_or_else(|| decision.to_owned(), |decision| language.explain(&decision.explain()));
    let or = |value: &Option<String>| value.clone().unwrap_or_else(|| "?".to_owned());
    let (definition, event) = (&history.definition_id, &history.event_id);
    let head = [
        text!(
            language,
            "{instance} {decision} ({source}, approval {definition})",
            "{instance} {decision}（{source}，审批定义 {definition}）"
        ),
        text!(
            language,
            "  applicant {applicant}, form {form}, flow {flow}, event {event}",
            "  申请人 {applicant}，表单编号 {form}，流程 {flow}，事件 {event}",
            applicant = or(&history.applicant),
            form = or(&history.form_number),
            flow = or(&history.flow)
        ),
    ];
    let steps = steps(history, related, now, language).into_iter().map(|(at, step)| {
        let at = at.map_or_else(|| language.pick("now", "现在").to_owned(), moment);
        format!("  {}  {step}", padded(&at, 20))
    });
    lines(head.into_iter().chain(steps))
}

fn to_json(history: &RequestHistory, related: &Related, now: Timestamp) -> Value {
    let on_it = related.acts.iter().filter(|act| is_on(act, history));
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
        "effects": effects_json(&history.effects),
        "ends": ends(history, related).iter().map(end_json).collect::<Vec<_>>(),
        "acts": on_it.map(act_json).collect::<Vec<_>>(),
        "last_failure": history.last_failure.as_ref().map(|last_failure| json!({
            "class": last_failure.class,
            "cause": last_failure.cause,
            "reason": last_failure.cause.text,
            "target": last_failure.target,
            "at": moment(last_failure.at),
            "next_step": next_step(&last_failure.class, Language::English),
        })),
    })
}

fn end_json(end: &End<'_>) -> Value {
    json!({
        "target": end.grant.target,
        "subject": end.grant.subject,
        "ended_at": moment(end.at),
        "reason": end.reason,
        "removed_at": end.removed.map(|removed| moment(removed.at)),
        "session": end.removed.and_then(|removed| removed.session),
    })
}
