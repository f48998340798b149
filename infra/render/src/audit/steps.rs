//! The steps of a request.

use greenlight_admin::audit::Related;
use greenlight_core::act::Act;
use greenlight_core::audit::{Grant, LastFailure, RequestHistory, RequestStatus};
use greenlight_core::explain::Explain;
use greenlight_core::grant::{EndReason, HoldState, Removed};
use greenlight_core::ledger::{
    Effect, EffectKey, EffectKeyParts, EffectOutcome, State, granted_by,
};
use greenlight_core::subject;
use greenlight_core::{Class, Timestamp};

use super::is_on;
use crate::format::{moment, span};
use crate::language::Language;
use crate::reasons::next_step;
use crate::text;

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
pub(super) struct End<'a> {
    pub(super) grant: &'a Grant,
    /// When the request no longer held it.
    pub(super) at: Timestamp,
    pub(super) reason: EndReason,
    /// `None` while the target was not asked to remove it, as another hold keeps it.
    pub(super) removed: Option<Removed>,
}

pub(super) fn ends<'a>(history: &RequestHistory, related: &'a Related) -> Vec<End<'a>> {
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
            // That is no failure, and no dead letter.
            if class == Class::Withdrawn.as_str() {
                return Some(text!(
                    language,
                    "not carried out, or not any more; next: {next}",
                    "未执行，或已不再有效；下一步：{next}",
                    next = next_step(class, language)
                ));
            }
            Some(text!(
                language,
                "dead-lettered after {attempts} attempt(s); next: {next}",
                "尝试 {attempts} 次后进入死信队列；下一步：{next}",
                next = next_step(class, language)
            ))
        }
    }
}
