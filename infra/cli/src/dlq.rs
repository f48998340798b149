//! The dead-letter queue of one machine: look, and put back. Safe while `greenlight serve` runs.

use std::path::Path;

use greenlight_core::ports::QueueError;
use greenlight_stores::embedded::{Database, OpenError, StoredLetter};
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
    #[error("there is no dead letter {0}; `greenlight dlq list` shows all")]
    NotThere(i64),
}

/// Prints all dead letters, each with the reason why it is one.
///
/// # Errors
/// [`DlqError`] says what is missing.
pub async fn list(folder: &Path) -> Result<(), DlqError> {
    let letters = Database::open_beside(folder).await?.dead_letters().await?;
    if letters.is_empty() {
        println!("The dead-letter queue is empty. 死信队列为空。");
    }
    for StoredLetter { id, body, class, reason, receive_count, .. } in letters {
        println!(
            "{id:>4}  {class}  received {receive_count} time(s)\n      {reason}\n      {body}"
        );
    }
    Ok(())
}

/// Puts dead letters back into the queue.
///
/// # Errors
/// [`DlqError::NotThere`] for the first one that is not there; those before it are back.
pub async fn redrive(folder: &Path, ids: &[i64]) -> Result<(), DlqError> {
    let database = Database::open_beside(folder).await?;
    for &id in ids {
        if !database.redrive(id).await? {
            return Err(DlqError::NotThere(id));
        }
        println!("{id} is back in the queue");
    }
    Ok(())
}
