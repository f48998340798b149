//! The SQLite backend: queue, dead-letter queue and ledger in one file.

mod acts;
mod attempt_records;
mod breakers;
mod document;
mod flows;
mod grants;
mod group_commit;
mod histories;
mod ledger;
mod letters;
mod persons;
mod queue;
mod queue_status;
mod schema;
mod sweeps;
mod unwanted;

use std::fs::{File, OpenOptions, TryLockError};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use greenlight_core::Timestamp;
use greenlight_core::explain::{Explain, Explanation};
use greenlight_core::ledger::DEFAULT_RETENTION;
use greenlight_core::ports::LedgerError;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{Connection, SqlitePool};
use thiserror::Error;

use crate::private::{NotPrivate, check_private, create_private_folder};

use group_commit::GroupCommit;

pub use queue::Received;

/// The database file in the data folder.
const FILE: &str = "greenlight.db";

/// The lock file of the process that serves the data folder.
const LOCK: &str = "lock";

/// The database cannot be opened.
#[derive(Debug, Error, Explain)]
#[explain("database")]
pub enum OpenError {
    /// The folder cannot be created or written.
    #[error("the data folder {folder} cannot be used: {cause}")]
    Folder { folder: String, cause: std::io::Error },
    /// Another process serves the data folder.
    #[error("the data folder {0} is in use by another greenlight process")]
    InUse(String),
    /// The folder has no database.
    #[error(
        "the data folder {0} contains no database: name the folder of `greenlight serve` with --data-dir, or a stack on AWS \
         with --stack"
    )]
    Absent(String),
    /// Other users of the machine can read the folder.
    #[error("the data folder {0}")]
    NotPrivate(#[from] NotPrivate),
    /// SQLite returned an error.
    #[error("the database cannot be opened: {0}")]
    Sqlite(#[from] sqlx::Error),
    /// Written by the first edition of greenlight.
    #[error(
        "the database is one of the first edition of greenlight, which this one does not read: \
         name another folder with --data-dir"
    )]
    FirstEdition,
    /// Written by a newer version of greenlight.
    #[error("the database has version {found}; this greenlight knows version {known}")]
    TooNew {
        /// Its version.
        found: usize,
        /// The newest supported version.
        known: usize,
    },
    /// Written by an older version of greenlight and not migrated yet.
    #[error("the database has version {found}; `greenlight serve` brings it to version {known}")]
    TooOld {
        /// Its version.
        found: usize,
        /// The required version.
        known: usize,
    },
}

/// Queue, dead-letter queue and ledger of one machine.
#[derive(Clone, Debug)]
pub struct Database {
    /// One connection: SQLite allows one writer at a time, and so no write waits for a lock.
    pool: SqlitePool,
    /// For the writes of every request. Circuit breakers and dead letters are rarer and have their
    /// own commits.
    group_commit: GroupCommit,
    /// Held as long as any clone lives.
    _lock: Option<Arc<File>>,
    /// The lock of the process that serves the folder.
    beside: Option<PathBuf>,
    /// How long records are kept after their last change.
    retention: Duration,
}

impl Database {
    /// Opens the database in `folder`, creates it if necessary, and locks the folder for this
    /// process.
    ///
    /// # Errors
    /// [`OpenError`] when the folder cannot be used or another process uses it.
    pub async fn open(folder: &Path) -> Result<Self, OpenError> {
        let name = || folder.display().to_string();
        let unusable = |cause| OpenError::Folder { folder: name(), cause };
        // The database contains data about devices and people.
        create_private_folder(folder).map_err(unusable)?;
        check_private(folder).map_err(unusable)??;
        // Not truncated: the path may be a link to another file.
        let lock =
            OpenOptions::new().write(true).create(true).truncate(false).open(folder.join(LOCK));
        let lock = lock.map_err(unusable)?;
        lock.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => OpenError::InUse(name()),
            TryLockError::Error(cause) => unusable(cause),
        })?;
        let database =
            Self::connect(file(folder).create_if_missing(true), Some(Arc::new(lock))).await?;
        schema::migrate(&database.pool, schema::STEPS).await?;
        database.take_over().await?;
        Ok(database)
    }

    /// Opens the database in `folder` beside the process that serves it, for queries and redrives.
    ///
    /// # Errors
    /// [`OpenError`] when there is none.
    pub async fn open_beside(folder: &Path) -> Result<Self, OpenError> {
        folder.join(FILE).metadata().map_err(|cause| match cause.kind() {
            ErrorKind::NotFound => OpenError::Absent(folder.display().to_string()),
            _ => OpenError::Folder { folder: folder.display().to_string(), cause },
        })?;
        let mut database = Self::connect(file(folder), None).await?;
        database.beside = Some(folder.join(LOCK));
        // The serving process migrates the schema.
        schema::check(&database.pool, schema::STEPS).await?;
        Ok(database)
    }

    /// Opens a database in memory, for tests and trials.
    ///
    /// # Errors
    /// [`OpenError`] when SQLite returns an error.
    pub async fn in_memory() -> Result<Self, OpenError> {
        let database = Self::connect(SqliteConnectOptions::new().in_memory(true), None).await?;
        schema::migrate(&database.pool, schema::STEPS).await?;
        Ok(database)
    }

    async fn connect(
        options: SqliteConnectOptions,
        lock: Option<Arc<File>>,
    ) -> Result<Self, OpenError> {
        let pool = SqlitePoolOptions::new()
            .max_connections(1)
            .idle_timeout(None)
            // A failed commit, as on a full disk, has rolled back, but sqlx does not know: this
            // connection cannot begin another transaction.
            .before_acquire(|connection, _| {
                let is_usable = !connection.is_in_transaction();
                Box::pin(async move { Ok(is_usable) })
            })
            .max_lifetime(None)
            .connect_with(options)
            .await?;
        let group_commit = GroupCommit::over(pool.clone());
        let retention = DEFAULT_RETENTION;
        Ok(Self { pool, group_commit, _lock: lock, beside: None, retention })
    }

    /// Keeps records so long after their last change.
    #[must_use]
    pub fn keeping(self, retention: Duration) -> Self {
        Self { retention, ..self }
    }

    /// Returns whether a process serves the folder, and so reads its queue.
    #[must_use]
    pub fn is_served(&self) -> bool {
        let Some(lock) = &self.beside else { return true };
        // A shared lock, released at once.
        let file = File::open(lock);
        file.is_ok_and(|file| matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)))
    }

    /// Releases messages and leases of a previous process, which is dead because this one holds the
    /// folder's lock.
    async fn take_over(&self) -> Result<(), OpenError> {
        let mut transaction = self.pool.begin_with("BEGIN IMMEDIATE").await?;
        sqlx::raw_sql(
            "UPDATE queue SET visible_at = 0, in_flight = 0 WHERE in_flight = 1;
             UPDATE requests SET record = json_set(record, '$.state.running.until', 0)
                 WHERE record ->> '$.state.running' IS NOT NULL;
             UPDATE sweeps SET record = json_remove(record, '$.lease');",
        )
        .execute(&mut *transaction)
        .await?;
        grants::abandon_calls(&mut transaction).await?;
        Ok(transaction.commit().await?)
    }

    /// Deletes what has expired at `now`.
    ///
    /// # Errors
    /// [`LedgerError`]: the next call does the same.
    pub async fn purge(&self, now: Timestamp) -> Result<(), LedgerError> {
        let kept_since = now.minus(self.retention).as_millis();
        let mut transaction = self.pool.begin_with("BEGIN IMMEDIATE").await.map_err(failed)?;
        for (statement, before) in [
            ("DELETE FROM requests WHERE expires_at < ?", now.as_millis()),
            ("DELETE FROM events WHERE expires_at < ?", now.as_millis()),
            ("DELETE FROM replays WHERE expires_at < ?", now.as_millis()),
            ("DELETE FROM unwanted WHERE expires_at < ?", now.as_millis()),
            ("DELETE FROM grants WHERE expires_at < ?", now.as_millis()),
            ("DELETE FROM persons WHERE expires_at < ?", now.as_millis()),
            ("DELETE FROM sweeps WHERE expires_at < ?", now.as_millis()),
            ("DELETE FROM acts WHERE expires_at < ?", now.as_millis()),
            ("DELETE FROM blocks WHERE block ->> '$.until' < ?", kept_since),
            ("DELETE FROM discarded_dead_letters WHERE discarded_at < ?", kept_since),
        ] {
            let delete = sqlx::query(statement).bind(before);
            delete.execute(&mut *transaction).await.map_err(failed)?;
        }
        sqlx::query("DELETE FROM lookups WHERE request NOT IN (SELECT key FROM requests)")
            .execute(&mut *transaction)
            .await
            .map_err(failed)?;
        transaction.commit().await.map_err(failed)
    }

    /// Closes the database, after which all data is in its main file.
    pub async fn close(&self) {
        self.pool.close().await;
    }
}

/// Converts an error of SQLite into one of the ledger.
fn failed(error: impl std::fmt::Display) -> LedgerError {
    LedgerError(Explanation::quoted(error.to_string()))
}

fn file(folder: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(folder.join(FILE))
        .journal_mode(SqliteJournalMode::Wal)
        // FULL: an event answered with 200 must survive a power failure, not only a crash of the
        // process. With NORMAL the WAL is synchronised at checkpoints only, and the last commits
        // could be lost.
        .synchronous(SqliteSynchronous::Full)
        .busy_timeout(Duration::from_secs(5))
}
