//! The dead-letter queue: look, put back, take out. Safe while the worker runs.

use std::collections::BTreeSet;
use std::time::Duration;

use greenlight_core::Request;
use greenlight_core::audit::{Elsewhere, StoredDeadLetter};
use greenlight_core::ports::Clock;
use greenlight_stores::SystemClock;
use serde_json::{Value, json};
use thiserror::Error;
use tokio::time::{Instant, MissedTickBehavior};

use crate::backend::{Backend, BackendError, Letter, Letters};
use crate::format::{facts, lines, moment, table};
use crate::reasons::next_step;

/// The dead-letter queue cannot be looked into.
#[derive(Debug, Error)]
pub enum DlqError {
    /// Queue or ledger say no.
    #[error(transparent)]
    Backend(#[from] BackendError),
    /// No dead letter has this id.
    #[error("there is no dead letter {0}; `greenlight dlq list` shows all (找不到该死信)")]
    NotThere(String),
    /// What was asked for was done for the dead letters that could be had, and there are others.
    #[error("{}", not_all(*.0))]
    NotAll(Elsewhere),
    /// This one cannot be seen, and may be one of those that somebody else holds.
    #[error("the dead letter {id} cannot be seen; {}", not_all(*.elsewhere))]
    NotSeen {
        /// The id.
        id: String,
        /// The others.
        elsewhere: Elsewhere,
    },
    /// Others took letters while they were put back.
    #[error(
        "{0} of them were taken by somebody else meanwhile: `greenlight dlq list` shows what is left (部分死信已被其他使用者取走)"
    )]
    Taken(usize),
    /// No dead letter is of this class.
    #[error("no dead letter has the class `{class}`; there is: {known}")]
    NoneOfClass {
        /// The class.
        class: String,
        /// The classes that are there.
        known: String,
    },
}

/// Says how many dead letters are held elsewhere, and until when.
fn not_all(Elsewhere { count, until }: Elsewhere) -> String {
    format!(
        "{count} more dead letter(s) are held by somebody else, such as a poll in the console, and hidden, usually until \
         {}: try again then. SQS's counts lag by up to a minute (另有 {count} 条死信正被其他使用者接收，暂不可见)",
        moment(until)
    )
}

/// Which dead letters.
#[derive(Clone, Debug)]
pub enum Which {
    /// Those with these ids.
    Ids(Vec<String>),
    /// Those whose reason is of this class.
    OfClass(String),
}

/// How to put letters back.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// Only tell which.
    pub is_dry: bool,
    /// So many a second, at most.
    pub per_second: u32,
}

/// Letters that are not put back yet are held anew after this time, half of how long they are held.
const HOLD_AGAIN_AFTER: Duration = Duration::from_mins(1);

/// So many letters a second are put back at most.
const FASTEST: u32 = 1_000;

/// What was done with one letter of many.
#[derive(Clone, Debug)]
pub struct Step {
    /// The letter.
    pub id: String,
    /// Whether it is back in the queue.
    pub is_back: bool,
    /// For people.
    pub line: String,
    /// Which one it is, counted from 1.
    pub number: usize,
    /// How many there are.
    pub of: usize,
}

/// The dead letters that were seen, as text, and those that were not.
#[derive(Clone, Debug)]
pub struct Listing {
    /// A table, or a JSON object per line.
    pub text: String,
    /// Those that somebody else holds.
    pub elsewhere: Option<Elsewhere>,
}

/// All dead letters that can be seen, each with the reason why it is one.
///
/// # Errors
/// [`DlqError`] says what is missing.
pub async fn list(backend: &Backend, as_json: bool) -> Result<Listing, DlqError> {
    let Seen { letters, elsewhere } = look(backend).await?;
    let text = if as_json {
        lines(letters.iter().map(|letter| to_json(letter).to_string()))
    } else {
        to_table(&letters, elsewhere.is_none())
    };
    Ok(Listing { text, elsewhere })
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

/// One dead letter, with the next step to take.
///
/// # Errors
/// [`DlqError::NotThere`] when it is not there.
pub async fn show(backend: &Backend, id: &str, as_json: bool) -> Result<String, DlqError> {
    let Seen { letters, elsewhere } = look(backend).await?;
    let letter = letters.iter().find(|letter| letter.id == id);
    let letter = letter.ok_or_else(|| not_found(id, elsewhere))?;
    if as_json {
        return Ok(lines([to_json(letter).to_string()]));
    }
    let unknown = || "?".to_owned();
    let request = Request::parse(&letter.body).ok();
    let of_request = |get: fn(&Request) -> &str| request.as_ref().map_or("?", get).to_owned();
    let last_failure = letter.last_failure.as_ref();
    let target = last_failure.and_then(|last_failure| last_failure.target.clone());
    Ok(facts([
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
    ]))
}

/// A letter that cannot be seen may be one that somebody else holds.
fn not_found(id: &str, elsewhere: Option<Elsewhere>) -> DlqError {
    let id = id.to_owned();
    match elsewhere {
        None => DlqError::NotThere(id),
        Some(elsewhere) => DlqError::NotSeen { id, elsewhere },
    }
}

/// Puts dead letters back into the queue, one after the other, and tells of each as it goes. What was put back
/// before an error stays there; the rest can be put back by the same call again.
///
/// # Errors
/// [`DlqError::NotThere`] for ids that are not there; nothing is put back then.
/// [`DlqError::NotAll`] and [`DlqError::Taken`] when the others were put back.
pub async fn redrive(
    backend: &Backend,
    which: &Which,
    pace: Pace,
    progress: impl FnMut(Step),
) -> Result<(), DlqError> {
    let Letters { letters, elsewhere } = backend.letters().await?;
    let result = match chosen(&letters, which, elsewhere) {
        Ok(chosen) => put_back(backend, &chosen, pace, progress).await,
        Err(error) => Err(error),
    };
    let given_back = backend.give_back(letters).await;
    match (result?, elsewhere, which) {
        (taken, ..) if taken > 0 => return Err(DlqError::Taken(taken)),
        (_, Some(elsewhere), Which::OfClass(_)) => return Err(DlqError::NotAll(elsewhere)),
        _ => {}
    }
    Ok(given_back?)
}

/// Gives the number of letters that somebody else took meanwhile.
async fn put_back(
    backend: &Backend,
    letters: &[&Letter],
    pace: Pace,
    mut progress: impl FnMut(Step),
) -> Result<usize, DlqError> {
    let mut taken = 0;
    // To receive thousands takes a while.
    if !pace.is_dry {
        backend.hold_longer(letters).await?;
    }
    let mut held_at = Instant::now();
    let gap = Duration::from_secs(1) / pace.per_second.clamp(1, FASTEST);
    let mut beat = tokio::time::interval(gap);
    beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for (number, letter) in (1..).zip(letters) {
        let id = &letter.stored.id;
        let mut is_back = false;
        let line = if pace.is_dry {
            format!("{id} would go back into the queue")
        } else {
            beat.tick().await;
            if held_at.elapsed() > HOLD_AGAIN_AFTER {
                backend.hold_longer(letters.get(number - 1..).unwrap_or_default()).await?;
                held_at = Instant::now();
            }
            is_back = backend.redrive(letter).await?;
            taken += usize::from(!is_back);
            let what = if is_back {
                "is back in the queue"
            } else {
                "was taken by somebody else meanwhile"
            };
            format!("{id} {what}")
        };
        progress(Step { id: id.clone(), is_back, line, number, of: letters.len() });
    }
    Ok(taken)
}

fn chosen<'a>(
    letters: &'a [Letter],
    which: &Which,
    elsewhere: Option<Elsewhere>,
) -> Result<Vec<&'a Letter>, DlqError> {
    match which {
        Which::Ids(ids) => {
            let find = |id: &String| {
                let found = letters.iter().find(|letter| letter.stored.id == *id);
                found.ok_or_else(|| not_found(id, elsewhere))
            };
            BTreeSet::from_iter(ids).into_iter().map(find).collect()
        }
        Which::OfClass(class) => {
            let found: Vec<_> =
                letters.iter().filter(|letter| letter.stored.class() == class).collect();
            if let (true, Some(elsewhere)) = (found.is_empty(), elsewhere) {
                return Err(DlqError::NotAll(elsewhere));
            }
            if found.is_empty() {
                let known: BTreeSet<_> = letters.iter().map(|it| it.stored.class()).collect();
                let known = known.into_iter().collect::<Vec<_>>().join(", ");
                let known = if known.is_empty() { "none at all".to_owned() } else { known };
                return Err(DlqError::NoneOfClass { class: class.to_owned(), known });
            }
            Ok(found)
        }
    }
}

/// Takes a dead letter out for good. It is kept beside, with the reason.
///
/// # Errors
/// [`DlqError::NotThere`] when it is not there.
pub async fn discard(backend: &Backend, id: &str, reason: &str) -> Result<String, DlqError> {
    let Letters { letters, elsewhere } = backend.letters().await?;
    let dropped = match letters.iter().find(|letter| letter.stored.id == id) {
        None => Ok(false),
        Some(letter) => backend.discard(letter, reason, SystemClock.now()).await,
    };
    let given_back = backend.give_back(letters).await;
    if !dropped? {
        return Err(not_found(id, elsewhere));
    }
    given_back?;
    Ok(format!("{id} is discarded: {reason}\n"))
}

/// What became of a letter, for a script.
#[must_use]
pub fn step_json(step: &Step) -> String {
    json!({"id": step.id, "is_back": step.is_back, "number": step.number, "of": step.of})
        .to_string()
}

/// The dead letters that could be seen.
#[derive(Clone, Debug)]
pub struct Seen {
    /// Oldest first.
    pub letters: Vec<StoredDeadLetter>,
    /// Those that somebody else holds.
    pub elsewhere: Option<Elsewhere>,
}

/// Looks at the letters, and leaves them where they are.
///
/// # Errors
/// [`BackendError`] says who did not answer.
pub async fn look(backend: &Backend) -> Result<Seen, BackendError> {
    let Letters { letters, elsewhere } = backend.letters().await?;
    let stored = letters.iter().map(|letter| letter.stored.clone()).collect();
    backend.give_back(letters).await?;
    Ok(Seen { letters: stored, elsewhere })
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
