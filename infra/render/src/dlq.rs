//! `greenlight dlq`: renders dead letters, and the results of commands on them.

use greenlight_admin::dead_letters::{DeadLetterError, RedriveResult, Redriven, Seen};
use greenlight_core::Request;
use greenlight_core::audit::{Elsewhere, StoredDeadLetter};
use greenlight_core::explain::Explain;
use serde_json::{Value, json};

use crate::format::{OutputFormat, facts, lines, moment, table};
use crate::language::Language;
use crate::reasons::next_step;
use crate::text;

/// Renders the error, with advice.
#[must_use]
pub fn render_error(error: &DeadLetterError, language: Language) -> String {
    match error {
        DeadLetterError::Store(error) => language.explain(&error.explain()),
        DeadLetterError::NotFound(id) => text!(
            language,
            "there is no dead letter {id}; `greenlight dlq list` shows all",
            "找不到死信 {id}；`greenlight dlq list` 列出全部死信"
        ),
        DeadLetterError::NotSeen { id, elsewhere } => text!(
            language,
            "the dead letter {id} cannot be seen; {hidden}",
            "看不到死信 {id}；{hidden}",
            hidden = not_all(*elsewhere, language)
        ),
        DeadLetterError::NotAll(elsewhere) => not_all(*elsewhere, language),
        DeadLetterError::TakenMeanwhile(count) => text!(
            language,
            "another receiver took {count} of the dead letters meanwhile: `greenlight dlq list` \
             shows what is left",
            "其间有 {count} 条死信被其他读取方取走：`greenlight dlq list` 列出余下的死信"
        ),
        DeadLetterError::NoneOfClass { class, known } if known.is_empty() => text!(
            language,
            "no dead letter has the class `{class}`; there is none at all",
            "没有类别为 `{class}` 的死信；死信队列为空"
        ),
        DeadLetterError::NoneOfClass { class, known } => text!(
            language,
            "no dead letter has the class `{class}`; there is: {known}",
            "没有类别为 `{class}` 的死信；现有类别：{known}",
            known = known.join(", ")
        ),
    }
}

/// Says how many dead letters are held elsewhere, and until when.
fn not_all(Elsewhere { count, until }: Elsewhere, language: Language) -> String {
    text!(
        language,
        "{count} more dead letter(s) are held by another receiver, such as a poll in the console, \
         and hidden, usually until {until}: try again then. SQS's counts lag by up to a minute",
        "另有 {count} 条死信正被其他读取方占用（如控制台轮询），暂不可见，通常到 {until} 为止：\
         请届时重试。SQS 的计数最多滞后一分钟",
        until = moment(until)
    )
}

/// Renders the visible dead letters, each with its reason.
#[must_use]
pub fn render_list(Seen { letters, elsewhere }: &Seen, format: OutputFormat) -> String {
    match format {
        OutputFormat::Json => lines(letters.iter().map(|letter| to_json(letter).to_string())),
        OutputFormat::Text(language) => to_table(letters, elsewhere.is_none(), language),
    }
}

fn to_table(letters: &[StoredDeadLetter], are_all: bool, language: Language) -> String {
    if letters.is_empty() {
        let none = language.pick("The dead-letter queue is empty.\n", "死信队列为空。\n");
        return if are_all { none.to_owned() } else { String::new() };
    }
    let row = |letter: &StoredDeadLetter| {
        let at = letter.last_failure.as_ref().map_or_else(|| "?".to_owned(), |it| moment(it.at));
        [letter.id.clone(), at, letter.class().to_owned(), tries(letter), instance(letter)]
    };
    let rows: Vec<_> = letters.iter().map(row).collect();
    let heads = match language {
        Language::English => ["ID", "GIVEN UP", "CLASS", "TRIES", "INSTANCE"],
        Language::Chinese => ["编号", "放弃时间", "类别", "次数", "审批实例"],
    };
    let table = table(heads, &rows);
    let mut table = table.lines();
    let head = table.next().unwrap_or_default().to_owned();
    let rows = letters.iter().zip(table);
    let rows = rows.flat_map(|(letter, line)| {
        [line.to_owned(), format!("    {}", reason_in(language, letter))]
    });
    lines([head].into_iter().chain(rows))
}

/// Renders one dead letter, with the next step to take.
#[must_use]
pub fn render(letter: &StoredDeadLetter, format: OutputFormat) -> String {
    let OutputFormat::Text(language) = format else {
        return lines([to_json(letter).to_string()]);
    };
    let unknown = || "?".to_owned();
    let request = Request::parse(&letter.body).ok();
    let of_request = |get: fn(&Request) -> &str| request.as_ref().map_or("?", get).to_owned();
    let last_failure = letter.last_failure.as_ref();
    let target = last_failure.and_then(|last_failure| last_failure.target.clone());
    let facts_of = [
        (language.pick("dead letter", "死信"), letter.id.clone()),
        (language.pick("class", "类别"), letter.class().to_owned()),
        (language.pick("reason", "原因"), reason_in(language, letter)),
        (language.pick("next step", "下一步"), next_step(letter.class(), language).to_owned()),
        (
            language.pick("target", "目标系统"),
            target.unwrap_or_else(|| language.pick("none", "无").to_owned()),
        ),
        (
            language.pick("first tried", "首次尝试"),
            letter.first_received.map_or_else(unknown, moment),
        ),
        (
            language.pick("given up", "放弃时间"),
            last_failure.map_or_else(unknown, |last_failure| moment(last_failure.at)),
        ),
        (language.pick("tries", "尝试次数"), tries(letter)),
        (language.pick("approval", "审批定义"), of_request(|request| &request.definition_id)),
        (language.pick("instance", "审批实例"), of_request(|request| &request.instance_id)),
        (language.pick("event", "事件"), of_request(|request| &request.event_id)),
        (language.pick("message", "消息"), Request::without_content(&letter.body)),
    ];
    facts(facts_of)
}

/// Renders the result of a redrive.
#[must_use]
pub fn render_redriven(redriven: &Redriven, format: OutputFormat) -> String {
    let Redriven { id, result, number, of } = redriven;
    let OutputFormat::Text(language) = format else {
        let is_back = *result == RedriveResult::Back;
        return json!({"id": id, "is_back": is_back, "number": number, "of": of}).to_string();
    };
    match result {
        RedriveResult::Back => text!(language, "{id} is back in the queue", "{id} 已重新入队"),
        RedriveResult::WouldGoBack => {
            text!(language, "{id} would go back into the queue", "{id} 将重新入队")
        }
        RedriveResult::TakenMeanwhile => text!(
            language,
            "{id} was taken by another receiver meanwhile",
            "{id} 其间已被其他读取方取走"
        ),
    }
}

/// Renders the result of a discard.
#[must_use]
pub fn render_discarded(id: &str, reason: &str, format: OutputFormat) -> String {
    match format {
        OutputFormat::Json => {
            format!("{}\n", json!({"id": id, "discarded": true, "reason": reason}))
        }
        OutputFormat::Text(language) => {
            text!(language, "{id} is discarded: {reason}\n", "{id} 已移出：{reason}\n")
        }
    }
}

fn tries(letter: &StoredDeadLetter) -> String {
    letter.receive_count.map_or_else(|| "?".to_owned(), |count| count.to_string())
}

fn reason_in(language: Language, letter: &StoredDeadLetter) -> String {
    match &letter.last_failure {
        Some(last_failure) => language.explain(&last_failure.cause),
        None => language.pick("no reason is known", "原因未知").to_owned(),
    }
}

fn instance(letter: &StoredDeadLetter) -> String {
    Request::parse(&letter.body).map_or_else(|_| "?".to_owned(), |request| request.instance_id)
}

fn to_json(letter: &StoredDeadLetter) -> Value {
    let last_failure = letter.last_failure.as_ref();
    json!({
        "id": letter.id,
        "class": letter.class(),
        "cause": last_failure.map(|last_failure| &last_failure.cause),
        "reason": reason_in(Language::English, letter),
        "next_step": next_step(letter.class(), Language::English),
        "target": last_failure.and_then(|last_failure| last_failure.target.clone()),
        "first_tried_at": letter.first_received.map(moment),
        "given_up_at": last_failure.map(|last_failure| moment(last_failure.at)),
        "tries": letter.receive_count,
        "message": Request::without_content(&letter.body),
    })
}
