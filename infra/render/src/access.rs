//! Access without an approval: what operators granted, ended and blocked.

use greenlight_admin::erase::{EraseError, Erased};
use greenlight_admin::grants::{Changed, GrantError};
use greenlight_core::Timestamp;
use greenlight_core::block::Block;
use greenlight_core::explain::Explain;
use greenlight_core::subject::{Subject, key_parts};
use serde_json::{Value, json};

use crate::format::{OutputFormat, lines, moment, table};
use crate::language::Language;
use crate::text;

/// Renders an access that the worker is about to give.
#[must_use]
pub fn render_granted(granted: &Changed, format: OutputFormat) -> String {
    let OutputFormat::Text(language) = format else {
        return format!("{}\n", changed_json(granted));
    };
    let Changed { target, subject, owner, .. } = granted;
    let until = granted.until.map(moment).unwrap_or_default();
    text!(
        language,
        "{subject} is granted at {target} for {owner} until {until}; the worker makes the call: \
         see `greenlight grants {subject}`\n",
        "已在 {target} 为 {owner} 授权 {subject}，截止 {until}；由执行端调用目标系统，结果见 `greenlight grants {subject}`\n"
    )
}

/// Renders the holds that ended, or would.
#[must_use]
pub fn render_ended(ended: &[Changed], is_dry: bool, format: OutputFormat) -> String {
    let OutputFormat::Text(language) = format else {
        return lines(ended.iter().map(|changed| changed_json(changed).to_string()));
    };
    let row = |changed: &Changed| {
        let (english, chinese) = match (is_dry, changed.is_held) {
            (true, _) => ("would end", "将结束"),
            (false, true) => {
                ("ended; another approval still holds the access", "已结束；另有审批仍持有该授权")
            }
            (false, false) => ("ended; the access is being removed", "已结束；正在移除"),
        };
        let what = language.pick(english, chinese).to_owned();
        let Changed { subject, target, owner, hold, .. } = changed.clone();
        [subject, target, owner, hold, what]
    };
    let rows: Vec<_> = ended.iter().map(row).collect();
    table(heads(language), &rows)
}

const fn heads(language: Language) -> [&'static str; 5] {
    match language {
        Language::English => ["SUBJECT", "TARGET", "OWNER", "BECAUSE OF", "RESULT"],
        Language::Chinese => ["授权对象", "目标系统", "持有人", "依据", "结果"],
    }
}

/// Renders a subject that was blocked, with what it lost.
#[must_use]
pub fn render_blocked(subject: &Subject, ended: &[Changed], format: OutputFormat) -> String {
    let OutputFormat::Text(language) = format else {
        return render_ended(ended, false, format);
    };
    let head = text!(
        language,
        "{subject} is blocked: no approval gives it access\n",
        "{subject} 已封禁：任何审批都不会再授权\n"
    );
    if ended.is_empty() { head } else { head + &render_ended(ended, false, format) }
}

/// Renders a subject that is no longer blocked.
#[must_use]
pub fn render_unblocked(subject: &Subject, language: Language) -> String {
    text!(
        language,
        "{subject} is not blocked any more; redrive what was refused: `greenlight dlq list`\n",
        "{subject} 已解除封禁；此前被拒的请求请重投：`greenlight dlq list`\n"
    )
}

/// Renders the blocked subjects.
#[must_use]
pub fn render_blocks(blocks: &[(String, Block)], now: Timestamp, format: OutputFormat) -> String {
    let OutputFormat::Text(language) = format else {
        let block = |(subject, block): &(String, Block)| {
            let (kind, subject) = key_parts(subject).unwrap_or(("", subject));
            json!({
                "kind": kind,
                "subject": subject,
                "since": moment(block.since),
                "until": block.until.map(moment),
                "is_in_force": block.is_in_force(now),
                "who": block.who,
                "reason": block.reason,
            })
            .to_string()
        };
        return lines(blocks.iter().map(block));
    };
    let in_force: Vec<_> = blocks.iter().filter(|(_, block)| block.is_in_force(now)).collect();
    if in_force.is_empty() {
        return language.pick("Nothing is blocked.\n", "没有被封禁的对象。\n").to_owned();
    }
    let row = |(subject, block): &&(String, Block)| {
        let (_, subject) = key_parts(subject).unwrap_or(("", subject));
        let until = block.until.map_or_else(|| "-".to_owned(), moment);
        [subject.to_owned(), moment(block.since), until, block.who.clone(), block.reason.clone()]
    };
    let rows: Vec<_> = in_force.iter().map(row).collect();
    let heads = match language {
        Language::English => ["SUBJECT", "SINCE", "UNTIL", "BY", "REASON"],
        Language::Chinese => ["对象", "封禁时间", "截止时间", "操作人", "原因"],
    };
    table(heads, &rows)
}

/// Renders the reason for which an act was refused.
#[must_use]
pub fn render_error(error: &GrantError, language: Language) -> String {
    match error {
        GrantError::Store(error) => language.explain(&error.explain()),
        GrantError::NotGranted(of) => text!(
            language,
            "nothing is granted to `{of}` there: `greenlight grants` lists what is",
            "该处没有 `{of}` 的授权：现有授权见 `greenlight grants`"
        ),
        GrantError::NotLater => language
            .pick(
                "the access ends no earlier as it is: `greenlight grants` shows until when",
                "授权本来就不会更早结束：`greenlight grants` 可查看截止时间",
            )
            .to_owned(),
        GrantError::Past => {
            language.pick("the end is not in the future", "截止时间不在将来").to_owned()
        }
        GrantError::Blocked(reason) => text!(
            language,
            "an operator blocked it ({reason}): `greenlight unblock` first",
            "该对象已被封禁（{reason}）：请先 `greenlight unblock`"
        ),
        GrantError::Refused(error) => language.explain(&error.explain()),
    }
}

/// Renders what was erased, or would be.
#[must_use]
pub fn render_erased(person: &str, erased: &Erased, is_dry: bool, format: OutputFormat) -> String {
    let Erased { pseudonym, requests } = erased;
    let OutputFormat::Text(language) = format else {
        let pseudonym = (!is_dry).then_some(pseudonym);
        return format!("{}\n", json!({ "pseudonym": pseudonym, "requests": requests }));
    };
    if is_dry {
        return text!(
            language,
            "{requests} request(s) name {person}; nothing was changed\n",
            "{requests} 个请求含有 {person}；未作任何更改\n"
        );
    }
    text!(
        language,
        "{person} is erased: {requests} request(s), and the access that they gave, name \
         {pseudonym} now. Keys of the ledger and acts of operators stay\n",
        "已将 {person} 去标识化：{requests} 个请求及其产生的授权记录中，该人员改记为 {pseudonym}；账本的键和运维操作记录不变\n"
    )
}

/// Renders the reason for which a person is not erased.
#[must_use]
pub fn render_erase_error(error: &EraseError, language: Language) -> String {
    match error {
        EraseError::Store(error) => language.explain(&error.explain()),
        EraseError::Holds(person) => text!(
            language,
            "{person} holds access: see `greenlight grants {person}`, and `greenlight offboard \
             {person}` first",
            "{person} 仍持有授权：见 `greenlight grants {person}`，请先执行 `greenlight offboard {person}`"
        ),
        EraseError::Open(instance) => text!(
            language,
            "the request about {instance} has not ended: erase the person when it has",
            "{instance} 的请求尚未结束：请在其结束后再执行 erase"
        ),
    }
}

fn changed_json(changed: &Changed) -> Value {
    json!({
        "subject": changed.subject,
        "target": changed.target,
        "owner": changed.owner,
        "because_of": changed.hold,
        "until": changed.until.map(moment),
        "is_held": changed.is_held,
    })
}
