//! The dead-letter queue of one machine: look, put back, take out. Safe while `greenlight serve` runs.

use std::collections::BTreeSet;
use std::path::Path;

use greenlight_core::ports::{Clock, QueueError};
use greenlight_core::{Class, Request};
use greenlight_stores::SystemClock;
use greenlight_stores::embedded::{Database, OpenError, StoredLetter};
use jiff::Timestamp;
use serde_json::{Value, json};
use thiserror::Error;

/// The dead-letter queue cannot be looked into.
#[derive(Debug, Error)]
pub enum DlqError {
    /// There is no database, or it is none of ours.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The queue cannot be read or written.
    #[error(transparent)]
    Queue(#[from] QueueError),
    /// No dead letter has this number.
    #[error("there is no dead letter {0}; `greenlight dlq list` shows all (没有这封死信)")]
    NotThere(i64),
    /// No dead letter is of this class.
    #[error("no dead letter has the class `{class}`; there is: {known}")]
    NoneOfClass {
        /// The class.
        class: String,
        /// The classes that are there.
        known: String,
    },
}

/// Which dead letters.
#[derive(Clone, Debug)]
pub enum Which {
    /// Those with these numbers.
    Ids(Vec<i64>),
    /// Those whose reason is of this class.
    OfClass(String),
}

/// All dead letters, each with the reason why it is one.
///
/// # Errors
/// [`DlqError`] says what is missing.
pub async fn list(folder: &Path, as_json: bool) -> Result<String, DlqError> {
    let letters = Database::open_beside(folder).await?.dead_letters().await?;
    if as_json {
        return Ok(lines(letters.iter().map(|letter| to_json(letter).to_string())));
    }
    if letters.is_empty() {
        return Ok("The dead-letter queue is empty. 死信队列为空。\n".to_owned());
    }
    let head =
        format!("{:>5}  {:<20}  {:<20}  {:>5}  INSTANCE", "ID", "GIVEN UP", "CLASS", "TRIES");
    let rows = letters.iter().map(|letter| {
        let StoredLetter { id, class, reason, receive_count, .. } = letter;
        let (at, instance) = (moment(letter.failed_at), instance(letter));
        format!("{id:>5}  {at:<20}  {class:<20}  {receive_count:>5}  {instance}\n       {reason}")
    });
    Ok(lines([head].into_iter().chain(rows)))
}

/// One dead letter, with the next step to take.
///
/// # Errors
/// [`DlqError::NotThere`] when it is not there.
pub async fn show(folder: &Path, id: i64, as_json: bool) -> Result<String, DlqError> {
    let letters = Database::open_beside(folder).await?.dead_letters().await?;
    let letter = letters.iter().find(|letter| letter.id == id).ok_or(DlqError::NotThere(id))?;
    if as_json {
        return Ok(lines([to_json(letter).to_string()]));
    }
    let tries = letter.receive_count.to_string();
    let request = Request::parse(&letter.body).ok();
    let of_request = |get: fn(&Request) -> &str| request.as_ref().map_or("?", get).to_owned();
    Ok(lines(
        [
            ("dead letter", id.to_string()),
            ("class", letter.class.clone()),
            ("reason", letter.reason.clone()),
            ("next step", next_step(&letter.class).to_owned()),
            ("given up", moment(letter.failed_at)),
            ("tries", tries),
            ("approval", of_request(|request| &request.approval_code)),
            ("instance", of_request(|request| &request.instance_code)),
            ("event", of_request(|request| &request.event_id)),
            ("message", letter.body.clone()),
        ]
        .map(|(name, value)| format!("{name:<12} {value}")),
    ))
}

/// Puts dead letters back into the queue, each in one step, and tells of each as it goes; `is_dry` only tells.
///
/// # Errors
/// [`DlqError::NotThere`] for the first number that is not there; those before it are back.
pub async fn redrive(
    folder: &Path,
    which: &Which,
    is_dry: bool,
    mut tell: impl FnMut(String),
) -> Result<(), DlqError> {
    let database = Database::open_beside(folder).await?;
    let letters = database.dead_letters().await?;
    let ids = match which {
        Which::Ids(ids) => ids.clone(),
        Which::OfClass(class) => of_class(&letters, class)?,
    };
    for id in ids {
        let is_there = if is_dry {
            letters.iter().any(|letter| letter.id == id)
        } else {
            database.redrive(id).await?
        };
        match which {
            _ if is_there && is_dry => tell(format!("{id} would go back into the queue")),
            _ if is_there => tell(format!("{id} is back in the queue")),
            Which::Ids(_) => return Err(DlqError::NotThere(id)),
            Which::OfClass(_) => tell(format!("{id} was taken by somebody else meanwhile")),
        }
    }
    Ok(())
}

fn of_class(letters: &[StoredLetter], class: &str) -> Result<Vec<i64>, DlqError> {
    let found = letters.iter().filter(|letter| letter.class == class);
    let ids: Vec<i64> = found.map(|letter| letter.id).collect();
    if ids.is_empty() {
        let known: BTreeSet<&str> = letters.iter().map(|letter| letter.class.as_str()).collect();
        let known = known.into_iter().collect::<Vec<_>>().join(", ");
        return Err(DlqError::NoneOfClass { class: class.to_owned(), known });
    }
    Ok(ids)
}

/// Takes a dead letter out for good. It is kept beside, with the reason.
///
/// # Errors
/// [`DlqError::NotThere`] when it is not there.
pub async fn drop(folder: &Path, id: i64, because: &str) -> Result<String, DlqError> {
    let database = Database::open_beside(folder).await?;
    if database.drop_letter(id, because, SystemClock.now()).await? {
        Ok(format!("{id} is dropped: {because}\n"))
    } else {
        Err(DlqError::NotThere(id))
    }
}

fn lines(lines: impl IntoIterator<Item = String>) -> String {
    lines.into_iter().map(|line| line + "\n").collect()
}

fn moment(millis: i64) -> String {
    Timestamp::from_millisecond(millis - millis.rem_euclid(1_000))
        .map_or_else(|_| "?".to_owned(), |moment| moment.to_string())
}

fn instance(letter: &StoredLetter) -> String {
    Request::parse(&letter.body).map_or_else(|_| "?".to_owned(), |request| request.instance_code)
}

fn to_json(letter: &StoredLetter) -> Value {
    json!({
        "id": letter.id,
        "class": letter.class,
        "reason": letter.reason,
        "next_step": next_step(&letter.class),
        "given_up_at": moment(letter.failed_at),
        "tries": letter.receive_count,
        "message": letter.body,
    })
}

/// What an operator does about a reason of this class.
fn next_step(class: &str) -> &'static str {
    let Ok(class) = serde_json::from_value::<Class>(class.into()) else {
        return "written by another greenlight: look into its README (由其他版本写入)";
    };
    match class {
        Class::BadForm => {
            "tell the applicant; the good devices are on the whitelist already (告知申请人；正确的设备已加入)"
        }
        Class::NotApproved => {
            "nothing, mostly: the approval was taken back (通常无需处理：审批已撤销)"
        }
        Class::NotConfigured => {
            "mend flows.toml, deploy, then redrive (修改 flows.toml，部署后重投)"
        }
        Class::SourceRefused => {
            "mend the app in the office system's console, then redrive (在办公系统后台修正后重投)"
        }
        Class::TargetRefused => "look at the NAC, then redrive (检查 NAC 后重投)",
        Class::NotThere => {
            "nothing, mostly: the NAC does not have the device (通常无需处理：NAC 中没有该设备)"
        }
        Class::TargetLogin => "mend the target's part of the secret, then redrive (修正密钥后重投)",
        Class::BadMessage => "find out who writes to the queue (查明谁在写队列)",
        Class::Defect => "report it: the log has the place (程序缺陷，请报告)",
        Class::SourceUnavailable
        | Class::TargetUnavailable
        | Class::CircuitOpen
        | Class::TargetFailed
        | Class::LedgerUnavailable
        | Class::Busy
        | Class::OutOfTime
        | Class::DeadLetterQueueUnavailable => "when it works again, redrive (恢复后重投)",
    }
}
