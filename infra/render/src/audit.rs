//! `greenlight audit` and `greenlight grants`: what happened to a request, and who has what.

use std::collections::BTreeMap;

use greenlight_admin::audit::Related;
use greenlight_core::act::Act;
use greenlight_core::audit::{Grant, LastFailure, Lookup, RequestHistory, RequestStatus};
use greenlight_core::explain::Explain;
use greenlight_core::grant::{EndReason, Hold, HoldId, HoldState, Removed};
use greenlight_core::ledger::{
    Effect, EffectKey, EffectKeyParts, EffectOutcome, State, granted_by,
};
use greenlight_core::subject;
use greenlight_core::{Decision, Timestamp};
use serde_json::{Value, json};
use thiserror::Error;

use crate::access::{act_json, render_acts};
use crate::format::{OutputFormat, lines, moment, padded, span, table};
use crate::language::Language;
use crate::reasons::next_step;
use crate::text;

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

/// The steps of a request, in order, with what operators did about it, and the end of the access
/// that it gave; the step without a time is the current status.
#[must_use]
pub fn steps(
    history: &RequestHistory,
    related: &Related,
    now: Timestamp,
    language: Language,
) -> Vec<(Option<Timestamp>, String)> {
    let mut steps = Vec::new();
    if let Some(at) = history.received_at {
        let step = language.pick("event received, request enqueued", "收到事件，请求已入队");
        steps.push((Some(at), step.to_owned()));
    }
    if let Some(at) = history.first_claimed_at {
        let step = language.pick("first attempt began", "开始首次处理");
        steps.push((Some(at), step.to_owned()));
    }
    steps.extend(history.effects.iter().map(|done| effect_step(done, language)));
    steps.extend(ends(history, related).iter().flat_map(|end| end_steps(end, language)));
    for act in related.acts.iter().filter(|act| is_on(act, history)) {
        steps.push((Some(act.at), act_step(act, language)));
        // A forced replay did them anew.
        let before = act.effects.iter().map(|done| effect_step(done, language));
        let before = before.map(|(at, step)| {
            let note = language.pick(" (before the forced replay)", "（强制重放之前）");
            (at, step + note)
        });
        steps.extend(before);
    }
    if let Some(LastFailure { class, cause, at, .. }) = &history.last_failure {
        let step = text!(
            language,
            "attempt failed: {class}: {cause}",
            "处理失败：{class}：{cause}",
            cause = language.explain(cause)
        );
        steps.push((Some(*at), step));
    }
    if let State::Done { at, .. } = history.state {
        let step = match history.took().map(|took| span(took, language)) {
            None => language.pick("everything is done", "全部完成").to_owned(),
            Some(took) => text!(
                language,
                "everything is done, {took} after the event",
                "全部完成，距收到事件 {took}"
            ),
        };
        steps.push((Some(at), step));
    }
    steps.sort_by_key(|(at, _)| *at);
    steps.extend(current(history, now, language).map(|step| (None, step)));
    steps
}

/// The end of an access that a request gave.
struct End<'a> {
    grant: &'a Grant,
    /// When the request no longer held it.
    at: Timestamp,
    reason: EndReason,
    /// `None` while the target was not asked to remove it, as another hold keeps it.
    removed: Option<Removed>,
}

fn ends<'a>(history: &RequestHistory, related: &'a Related) -> Vec<End<'a>> {
    let about = granted_by(&history.effects).filter_map(|key| {
        let is_about = |grant: &&Grant| grant.target == key.target && grant.subject == key.subject;
        let grant = related.grants.iter().find(is_about)?;
        let mut holds = grant.record.holds.iter();
        let (_, own) = holds.find(|(id, _)| id.instance_id() == history.instance_id())?;
        match own.state {
            HoldState::Ended { at, reason } => {
                Some(End { grant, at, reason, removed: own.removed })
            }
            HoldState::Pending | HoldState::Active => None,
        }
    });
    about.collect()
}

/// The end of an access, as steps.
fn end_steps(end: &End<'_>, language: Language) -> Vec<(Option<Timestamp>, String)> {
    let (target, subject) = (&end.grant.target, end.grant.kind_and_value().1);
    let reason = language.explain(&end.reason.explain());
    let ended = text!(
        language,
        "access of {subject} at {target} ended: {reason}",
        "{subject} 在 {target} 的授权结束：{reason}"
    );
    let removed = end.removed.map(|Removed { at, session }| {
        let session = session.map(|session| language.explain(&session.explain()));
        let step = match session {
            None => {
                text!(language, "{subject} removed at {target}", "已从 {target} 移除 {subject}")
            }
            Some(session) => text!(
                language,
                "{subject} removed at {target}; {session}",
                "已从 {target} 移除 {subject}；{session}"
            ),
        };
        (Some(at), step)
    });
    [(Some(end.at), ended)].into_iter().chain(removed).collect()
}

/// An effect that was done, as a step.
fn effect_step(
    (key, effect): (&EffectKey, &Effect),
    language: Language,
) -> (Option<Timestamp>, String) {
    let outcome = match effect.outcome {
        EffectOutcome::Done => language.pick("done", "已完成"),
        EffectOutcome::AlreadyExists => language.pick("no change needed", "原已如此，无需更改"),
    };
    let step = match key.parts() {
        Some(EffectKeyParts { target, operation, subject: Some(subject) }) => text!(
            language,
            "{operation} {subject} at {target}: {outcome}",
            "在 {target} 对 {subject} 执行 {operation}：{outcome}",
            subject = subject::key_parts(subject).map_or(subject, |(_, value)| value)
        ),
        Some(EffectKeyParts { target, operation, subject: None }) => text!(
            language,
            "{operation} at {target}: {outcome}",
            "在 {target} 执行 {operation}：{outcome}"
        ),
        None => format!("{}: {outcome}", key.as_str()),
    };
    (Some(effect.at), step)
}

/// What an operator did, as a step.
fn act_step(act: &Act, language: Language) -> String {
    let (what, who) = (language.explain(&act.what.explain()), &act.who);
    match &act.why {
        None => text!(language, "{what} by {who}", "{who} 执行了{what}"),
        Some(why) => text!(language, "{what} by {who}: {why}", "{who} 执行了{what}：{why}"),
    }
}

/// The current status, as a step; `None` if everything is done.
fn current(history: &RequestHistory, now: Timestamp, language: Language) -> Option<String> {
    let attempts = history.attempt;
    match history.status(now) {
        RequestStatus::Succeeded => None,
        RequestStatus::Running => Some(text!(
            language,
            "in progress, {attempts} attempt(s)",
            "正在处理，第 {attempts} 次尝试"
        )),
        RequestStatus::Retrying => Some(match history.next_attempt(now).map(moment) {
            Some(next) => text!(
                language,
                "waits for its next attempt at {next}, {attempts} attempt(s) so far",
                "等待 {next} 重试，已尝试 {attempts} 次"
            ),
            None => text!(
                language,
                "waits for its next attempt, {attempts} attempt(s) so far",
                "等待重试，已尝试 {attempts} 次"
            ),
        }),
        RequestStatus::Failed => {
            let class = history.last_failure.as_ref().map_or("unknown", |it| &it.class);
            Some(text!(
                language,
                "dead-lettered after {attempts} attempt(s); next: {next}",
                "尝试 {attempts} 次后进入死信队列；下一步：{next}",
                next = next_step(class, language)
            ))
        }
    }
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

/// Effects that were done.
#[must_use]
pub(crate) fn effects_json(effects: &BTreeMap<EffectKey, Effect>) -> Vec<Value> {
    let effect = |(key, effect): (&EffectKey, &Effect)| {
        json!({
            "effect": key.as_str(),
            "kind": effect.kind.as_str(),
            "outcome": effect.outcome.as_str(),
            "at": moment(effect.at),
        })
    };
    effects.iter().map(effect).collect()
}

/// Renders grants; `of` is the search text.
#[must_use]
pub fn render_grants(grants: &[Grant], of: Option<&str>, format: OutputFormat) -> String {
    let OutputFormat::Text(language) = format else {
        return lines(grants.iter().map(|grant| grant_json(grant).to_string()));
    };
    if grants.is_empty() {
        return match of {
            None => language.pick("Nothing is granted.\n", "没有授权记录。\n").to_owned(),
            Some(of) => text!(
                language,
                "Nothing is granted to or because of `{of}`.\n",
                "没有与 `{of}` 有关的授权记录。\n"
            ),
        };
    }
    let rows = |grant: &Grant| {
        let (_, subject) = grant.kind_and_value();
        let row = |(id, hold): (&HoldId, &Hold)| {
            let since = moment(hold.since);
            let until = hold.terms.until.map_or_else(|| "-".to_owned(), moment);
            let state = hold_state(hold.state);
            let state = language.pick(state.0, state.1);
            [subject, &grant.target, state, &since, &until, &hold.terms.owner, id.as_str()]
                .map(str::to_owned)
        };
        grant.holders().into_iter().map(row).collect::<Vec<_>>()
    };
    let rows: Vec<_> = grants.iter().flat_map(rows).collect();
    let heads = match language {
        Language::English => {
            ["SUBJECT", "TARGET", "STATE", "SINCE", "UNTIL", "OWNER", "BECAUSE OF"]
        }
        Language::Chinese => {
            ["授权对象", "目标系统", "状态", "授权时间", "截止时间", "持有人", "依据"]
        }
    };
    table(heads, &rows)
}

/// The state of a hold that is listed: one that ended is listed until the access is removed.
pub(crate) const fn hold_state(state: HoldState) -> (&'static str, &'static str) {
    match state {
        HoldState::Pending => ("pending", "待确认"),
        HoldState::Active => ("active", "有效"),
        HoldState::Ended { .. } => ("to be removed", "待移除"),
    }
}

fn grant_json(grant: &Grant) -> Value {
    let (kind, subject) = grant.kind_and_value();
    let holders = grant.holders();
    let holds = holders.iter().map(|(id, hold)| {
        json!({
            "approval": id.as_str(),
            "state": hold_state(hold.state).0,
            "owner": hold.terms.owner,
            "applicant": hold.terms.applicant,
            "since": moment(hold.since),
            "until": hold.terms.until.map(moment),
        })
    });
    json!({
        "kind": kind,
        "subject": subject,
        "target": grant.target,
        "state": grant.record.phase().as_str(),
        "since": moment(grant.record.since()),
        "holds": holds.collect::<Vec<_>>(),
    })
}
