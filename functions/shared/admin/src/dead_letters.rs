//! The dead-letter queue: list, redrive, discard. Safe while the worker runs.

use std::collections::BTreeSet;
use std::time::Duration;

use greenlight_core::act::ActKind;
use greenlight_core::audit::{Elsewhere, StoredDeadLetter};
use greenlight_core::operator::{DeadLetterQueue, HeldDeadLetter, HeldDeadLetters, StoreError};
use greenlight_core::ports::Clock;
use greenlight_core::{Request, Timestamp};
use thiserror::Error;
use tokio::time::{Instant, MissedTickBehavior};

use crate::operator::Operator;

/// An operation on dead letters failed, completely or in part.
#[derive(Debug, Error)]
pub enum DeadLetterError {
    /// The queue or the ledger did not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// No dead letter has this id.
    #[error("there is no dead letter {0}")]
    NotFound(String),
    /// The dead letter was not found, and another receiver holds some that cannot be read.
    #[error("dead letter {id} not found: another receiver holds some dead letters")]
    NotSeen {
        id: String,
        /// The dead letters that another receiver holds.
        elsewhere: Elsewhere,
    },
    /// The operation was done for the dead letters that could be received; there are others.
    #[error("{} more dead letters are held by another receiver", .0.count)]
    NotAll(Elsewhere),
    /// Another receiver took dead letters during the redrive.
    #[error("another receiver took {0} of the dead letters meanwhile")]
    TakenMeanwhile(usize),
    /// No dead letter has this class.
    #[error("no dead letter has the class `{class}`")]
    NoneOfClass {
        class: String,
        /// The classes of the dead letters in the queue.
        known: Vec<String>,
    },
}

/// Selects dead letters.
#[derive(Clone, Debug)]
pub enum Which {
    /// Dead letters with these ids.
    Ids(Vec<String>),
    /// Dead letters whose reason has this class.
    OfClass(String),
}

/// Options of a redrive.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// Whether to report only, without a change.
    pub is_dry: bool,
    /// The maximum rate, in messages per second.
    pub per_second: u32,
}

/// The interval after which the hold on the remaining dead letters is extended: half of the time
/// for which SQS hides them.
const HOLD_AGAIN_AFTER: Duration = Duration::from_mins(1);

/// The maximum rate of a redrive, in messages per second.
const MAX_PER_SECOND: u32 = 1_000;

/// The progress of a redrive: the result of one dead letter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redriven {
    /// The id of the dead letter.
    pub id: String,
    pub result: RedriveResult,
    /// Its number, counted from 1.
    pub number: usize,
    /// The number of dead letters to redrive.
    pub of: usize,
}

/// The result of redriving one dead letter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RedriveResult {
    /// It is back in the queue.
    Back,
    /// It would be put back; this is a dry run.
    WouldGoBack,
    /// Another receiver took it first.
    TakenMeanwhile,
}

/// The dead letters that could be received.
#[derive(Clone, Debug)]
pub struct Seen {
    /// Oldest first.
    pub letters: Vec<StoredDeadLetter>,
    /// The dead letters that another receiver holds.
    pub elsewhere: Option<Elsewhere>,
}

/// Lists the dead letters and leaves them in the queue.
///
/// # Errors
/// [`StoreError`] when a store does not answer.
pub async fn look(queue: &dyn DeadLetterQueue, clock: &impl Clock) -> Result<Seen, StoreError> {
    let HeldDeadLetters { held, elsewhere } = queue.hold(clock.now()).await?;
    queue.give_back(&held).await?;
    Ok(Seen { letters: held.into_iter().map(|held| held.letter).collect(), elsewhere })
}

/// One dead letter.
///
/// # Errors
/// [`DeadLetterError::NotFound`] when it is not there.
pub async fn find(
    queue: &dyn DeadLetterQueue,
    id: &str,
    clock: &impl Clock,
) -> Result<StoredDeadLetter, DeadLetterError> {
    let Seen { letters, elsewhere } = look(queue, clock).await?;
    letters.into_iter().find(|letter| letter.id == id).ok_or_else(|| not_found(id, elsewhere))
}

/// The error for a dead letter that was not received: another receiver may hold it.
fn not_found(id: &str, elsewhere: Option<Elsewhere>) -> DeadLetterError {
    let id = id.to_owned();
    match elsewhere {
        None => DeadLetterError::NotFound(id),
        Some(elsewhere) => DeadLetterError::NotSeen { id, elsewhere },
    }
}

/// Moves dead letters back into the queue one by one, each after its act is recorded, and reports
/// each. After an error the ones
/// already moved stay there; the same call can be repeated for the rest.
///
/// # Errors
/// [`DeadLetterError::NotFound`] for unknown ids; nothing is moved then.
/// [`DeadLetterError::NotAll`] and [`DeadLetterError::TakenMeanwhile`] after the others were moved.
pub async fn redrive(
    queue: &dyn DeadLetterQueue,
    operator: &Operator,
    which: &Which,
    pace: Pace,
    clock: &impl Clock,
    progress: impl FnMut(Redriven),
) -> Result<(), DeadLetterError> {
    let HeldDeadLetters { held, elsewhere } = queue.hold(clock.now()).await?;
    let result = match select(&held, which, elsewhere) {
        Ok(selected) => put_back((queue, operator), &selected, pace, clock, progress).await,
        Err(error) => Err(error),
    };
    let given_back = queue.give_back(&held).await;
    match (result?, elsewhere, which) {
        (taken, ..) if taken > 0 => return Err(DeadLetterError::TakenMeanwhile(taken)),
        (_, Some(elsewhere), Which::OfClass(_)) => return Err(DeadLetterError::NotAll(elsewhere)),
        _ => {}
    }
    Ok(given_back?)
}

/// Returns the number of dead letters that another receiver took first.
async fn put_back(
    (queue, operator): (&dyn DeadLetterQueue, &Operator),
    letters: &[HeldDeadLetter],
    pace: Pace,
    clock: &impl Clock,
    mut progress: impl FnMut(Redriven),
) -> Result<usize, DeadLetterError> {
    let mut taken = 0;
    // Receiving thousands takes a while, in which the first holds may expire.
    if !pace.is_dry {
        queue.hold_longer(letters).await?;
    }
    let mut held_at = Instant::now();
    let gap = Duration::from_secs(1) / pace.per_second.clamp(1, MAX_PER_SECOND);
    let mut beat = tokio::time::interval(gap);
    beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for (number, held) in (1..).zip(letters) {
        let result = if pace.is_dry {
            RedriveResult::WouldGoBack
        } else {
            beat.tick().await;
            if held_at.elapsed() > HOLD_AGAIN_AFTER {
                queue.hold_longer(letters.get(number - 1..).unwrap_or_default()).await?;
                held_at = Instant::now();
            }
            operator.record(ActKind::Redrive, &on(&held.letter), None, clock.now()).await?;
            if queue.redrive(held).await? {
                RedriveResult::Back
            } else {
                taken += 1;
                RedriveResult::TakenMeanwhile
            }
        };
        progress(Redriven { id: held.letter.id.clone(), result, number, of: letters.len() });
    }
    Ok(taken)
}

fn select(
    held: &[HeldDeadLetter],
    which: &Which,
    elsewhere: Option<Elsewhere>,
) -> Result<Vec<HeldDeadLetter>, DeadLetterError> {
    match which {
        Which::Ids(ids) => {
            let find = |id: &String| {
                let found = held.iter().find(|held| held.letter.id == *id);
                found.cloned().ok_or_else(|| not_found(id, elsewhere))
            };
            BTreeSet::from_iter(ids).into_iter().map(find).collect()
        }
        Which::OfClass(class) => {
            let of_class = |held: &&HeldDeadLetter| held.letter.class() == class;
            let found: Vec<_> = held.iter().filter(of_class).cloned().collect();
            match (found.is_empty(), elsewhere) {
                (true, Some(elsewhere)) => Err(DeadLetterError::NotAll(elsewhere)),
                (true, None) => {
                    let known: BTreeSet<_> = held.iter().map(|it| it.letter.class()).collect();
                    let known = known.into_iter().map(str::to_owned).collect();
                    Err(DeadLetterError::NoneOfClass { class: class.clone(), known })
                }
                (false, _) => Ok(found),
            }
        }
    }
}

/// What an act on a dead letter is about: its approval, if it is a request, and its id.
fn on(letter: &StoredDeadLetter) -> String {
    let request = Request::parse(&letter.body);
    request.map_or_else(|_| letter.id.clone(), |it| format!("{} {}", it.instance_id, letter.id))
}

async fn discard_held(
    queue: &dyn DeadLetterQueue,
    operator: &Operator,
    held: &HeldDeadLetter,
    reason: &str,
    now: Timestamp,
) -> Result<bool, StoreError> {
    operator.record(ActKind::Discard, &on(&held.letter), Some(reason), now).await?;
    queue.discard(held, reason, now).await
}

/// Discards a dead letter. The ledger keeps it, with the reason.
///
/// # Errors
/// [`DeadLetterError::NotFound`] when it is not in the queue.
pub async fn discard(
    queue: &dyn DeadLetterQueue,
    operator: &Operator,
    id: &str,
    reason: &str,
    clock: &impl Clock,
) -> Result<(), DeadLetterError> {
    let HeldDeadLetters { held, elsewhere } = queue.hold(clock.now()).await?;
    let discarded = match held.iter().find(|held| held.letter.id == id) {
        None => Ok(false),
        Some(held) => discard_held(queue, operator, held, reason, clock.now()).await,
    };
    let given_back = queue.give_back(&held).await;
    if !discarded? {
        return Err(not_found(id, elsewhere));
    }
    Ok(given_back?)
}
