//! `greenlight dlq`: renders dead letters, and the results of commands on them.

use greenlight_admin::dead_letters::{DeadLetterError, RedriveResult, Redriven, Seen};
use greenlight_core::Request;
use greenlight_core::audit::{Elsewhere, StoredDeadLetter};
use serde_json::{Value, json};

use crate::format::{OutputFormat, facts, lines, moment, table};
use crate::reasons::next_step;

/// Renders the error, with advice.
#[must_use]
pub fn render_error(error: &DeadLetterError) -> String {
    match error {
        DeadLetterError::Store(_) => error.to_string(),
        DeadLetterError::NotFound(_) => {
            format!("{error}; `greenlight dlq list` shows all (找不到该死信)")
        }
        DeadLetterError::NotSeen { id, elsewhere } => {
            format!("the dead letter {id} cannot be seen; {}", not_all(*elsewhere))
        }
        DeadLetterError::NotAll(elsewhere) => not_all(*elsewhere),
        DeadLetterError::TakenMeanwhile(_) => format!(
            "{error}: `greenlight dlq list` shows what is left (部分死信已被其他使用者取走)"
        ),
        DeadLetterError::NoneOfClass { known, .. } if known.is_empty() => {
            format!("{error}; there is none at all")
        }
        DeadLetterError::NoneOfClass { known, .. } => {
            format!("{error}; there is: {}", known.join(", "))
        }
    }
}

/// Says how many dead letters are held elsewhere, and until when.
fn not_all(Elsewhere { count, until }: Elsewhere) -> String {
    format!(
        "{count} more dead letter(s) are held by another receiver, such as a poll in the console, and hidden, usually \
         until {}: try again then. SQS's counts lag by up to a minute (另有 {count} 条死信正被其他使用者接收，暂不可见)",
        moment(until)
    )
}

/// Renders the visible dead letters, each with its reason.
#[must_use]
pub fn render_list(Seen { letters, elsewhere }: &Seen, format: OutputFormat) -> String {
    match format {
        OutputFormat::Json => lines(letters.iter().map(|letter| to_json(letter).to_string())),
        OutputFormat::Text => to_table(letters, elsewhere.is_none()),
    }
}

fn to_table(letters: &[StoredDeadLetter], are_all: bool) -> String {
    if letters.is_empty() {
        let none = "The dead-letter queue is empty. 死信队列为空。\n";
        return if are_all { none.to_owned() } else { String::new() };
    }
    let row = |letter: &StoredDeadLetter| {
        let at = letter.last_failure.as_ref().map_or_else(|| "?".to_owned(), |it| moment(it.at));
        [letter.id.clone(), at, letter.class().to_owned(), tries(letter), instance(letter)]
    };
    let rows: Vec<_> = letters.iter().map(row).collect();
    let table = table(["ID", "GIVEN UP", "CLASS", "TRIES", "INSTANCE"], &rows);
    let mut table = table.lines();
    let head = table.next().unwrap_or_default().to_owned();
    let rows = letters.iter().zip(table);
    let rows = rows.flat_map(|(letter, line)| [line.to_owned(), format!("    {}", reason(letter))]);
    lines([head].into_iter().chain(rows))
}

/// Renders one dead letter, with the next step to take.
#[must_use]
pub fn render(letter: &StoredDeadLetter, format: OutputFormat) -> String {
    if format == OutputFormat::Json {
        return lines([to_json(letter).to_string()]);
    }
    let unknown = || "?".to_owned();
    let request = Request::parse(&letter.body).ok();
    let of_request = |get: fn(&Request) -> &str| request.as_ref().map_or("?", get).to_owned();
    let last_failure = letter.last_failure.as_ref();
    let target = last_failure.and_then(|last_failure| last_failure.target.clone());
    facts([
        ("dead letter", letter.id.clone()),
        ("class", letter.class().to_owned()),
        ("reason", reason(letter).to_owned()),
        ("next step", next_step(letter.class()).to_owned()),
        ("target", target.unwrap_or_else(|| "none".to_owned())),
        ("first tried", letter.first_received.map_or_else(unknown, moment)),
        ("given up", last_failure.map_or_else(unknown, |last_failure| moment(last_failure.at))),
        ("tries", tries(letter)),
        ("approval", of_request(|request| &request.definition_id)),
        ("instance", of_request(|request| &request.instance_id)),
        ("event", of_request(|request| &request.event_id)),
        ("message", letter.body.clone()),
    ])
}

/// Renders the result of a redrive.
#[must_use]
pub fn render_redriven(redriven: &Redriven, format: OutputFormat) -> String {
    let Redriven { id, result, number, of } = redriven;
    if format == OutputFormat::Json {
        let is_back = *result == RedriveResult::Back;
        return json!({"id": id, "is_back": is_back, "number": number, "of": of}).to_string();
    }
    match result {
        RedriveResult::Back => format!("{id} is back in the queue"),
        RedriveResult::WouldGoBack => format!("{id} would go back into the queue"),
        RedriveResult::TakenMeanwhile => format!("{id} was taken by another receiver meanwhile"),
    }
}

/// Renders the result of a discard.
#[must_use]
pub fn render_discarded(id: &str, reason: &str, format: OutputFormat) -> String {
    match format {
        OutputFormat::Json => {
            format!("{}\n", json!({"id": id, "discarded": true, "reason": reason}))
        }
        OutputFormat::Text => format!("{id} is discarded: {reason}\n"),
    }
}

fn tries(letter: &StoredDeadLetter) -> String {
    letter.receive_count.map_or_else(|| "?".to_owned(), |count| count.to_string())
}

fn reason(letter: &StoredDeadLetter) -> &str {
    letter.last_failure.as_ref().map_or("no reason is known", |last_failure| &last_failure.reason)
}

fn instance(letter: &StoredDeadLetter) -> String {
    Request::parse(&letter.body).map_or_else(|_| "?".to_owned(), |request| request.instance_id)
}

fn to_json(letter: &StoredDeadLetter) -> Value {
    let last_failure = letter.last_failure.as_ref();
    json!({
        "id": letter.id,
        "class": letter.class(),
        "reason": reason(letter),
        "next_step": next_step(letter.class()),
        "target": last_failure.and_then(|last_failure| last_failure.target.clone()),
        "first_tried_at": letter.first_received.map(moment),
        "given_up_at": last_failure.map(|last_failure| moment(last_failure.at)),
        "tries": letter.receive_count,
        "message": letter.body,
    })
}
