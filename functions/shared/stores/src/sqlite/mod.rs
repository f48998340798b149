//! The stores of one machine: queue, dead-letter queue and ledger in one SQLite file.

mod attempt_records;
mod breakers;
mod flows;
mod group_commit;
mod histories;
mod ledger;
mod letters;
mod queue;
mod queue_status;
mod schema;

use std::fs::{File, OpenOptions, TryLockError};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use greenlight_core::ports::LedgerError;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{Connection, SqlitePool};
use thiserror::Error;

use crate::private::{NotPrivate, check_private, create_private_folder};

use group_commit::GroupCommit;

pub use queue::Received;

/// The database's file in the data folder.
const FILE: &str = "greenlight.db";

/// The file that the process which works on the folder has locked.
const LOCK: &str = "lock";

/// The database cannot be opened.
#[derive(Debug, Error)]
pub enum OpenError {
    /// The folder cannot be made or written.
    #[error("the data folder {folder} cannot be used: {cause}")]
    Folder {
        /// The folder.
        folder: String,
        /// Why.
        cause: std::io::Error,
    },
    /// Another process works on it.
    #[error("the data folder {0} is in use by another greenlight")]
    InUse(String),
    /// Nothing was ever served from it.
    #[error(
        "the data folder {0} holds no database: name the folder of `greenlight serve` with --data-dir, or a stack on AWS \
         with --stack"
    )]
    Absent(String),
    /// Other users of the machine may look into it.
    #[error("the data folder {0}")]
    NotPrivate(#[from] NotPrivate),
    /// SQLite says no.
    #[error("the database cannot be opened: {0}")]
    Sqlite(#[from] sqlx::Error),
    /// Written by the first edition of greenlight.
    #[error(
        "the database is one of the first edition of greenlight, which this one does not read: \
         name another folder with --data-dir"
    )]
    FirstEdition,
    /// Written by a newer greenlight.
    #[error("the database has version {found}; this greenlight knows version {known}")]
    TooNew {
        /// The version it has.
        found: usize,
        /// The newest version that is known.
        known: usize,
    },
    /// Written by an older greenlight, and not brought up to date yet.
    #[error("the database has version {found}; `greenlight serve` brings it to version {known}")]
    TooOld {
        /// The version it has.
        found: usize,
        /// The version that is needed.
        known: usize,
    },
}

/// Queue, dead-letter queue and ledger of one machine.
#[derive(Clone, Debug)]
pub struct Database {
    /// One connection: SQLite writes one at a time anyway, and none waits for a lock.
    pool: SqlitePool,
    /// For what every request writes. Circuit breakers and dead letters, which are rare, have
    /// commits of their own.
    group_commit: GroupCommit,
    /// Held as long as any clone lives.
    _lock: Option<Arc<File>>,
    /// The lock of the process that works on the folder.
    beside: Option<PathBuf>,
}

impl Database {
    /// Opens the database in `folder`, which is made if need be and belongs to this process alone.
    ///
    /// # Errors
    /// [`OpenError`] when the folder cannot be used or another process uses it.
    pub async fn open(folder: &Path) -> Result<Self, OpenError> {
        let name = || folder.display().to_string();
        let unusable = |cause| OpenError::Folder { folder: name(), cause };
        // Devices and people are in it.
        create_private_folder(folder).map_err(unusable)?;
        check_private(folder).map_err(unusable)??;
        // Not truncated: it may be a link to something else.
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

    /// Opens the database in `folder` beside the process that works on it, to look and to redrive.
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
        // The tables are those of the process that works on it.
        schema::check(&database.pool, schema::STEPS).await?;
        Ok(database)
    }

    /// A database in memory, for tests and tries.
    ///
    /// # Errors
    /// [`OpenError`] when SQLite says no.
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
            // A commit that failed, as on a full disk, has rolled back, and sqlx does not know:
            // such a connection can begin no other transaction.
            .before_acquire(|connection, _| {
                let is_usable = !connection.is_in_transaction();
                Box::pin(async move { Ok(is_usable) })
            })
            .max_lifetime(None)
            .connect_with(options)
            .await?;
        let group_commit = GroupCommit::over(pool.clone());
        Ok(Self { pool, group_commit, _lock: lock, beside: None })
    }

    /// Whether a process works on the folder: no other takes what is put into its queue.
    #[must_use]
    pub fn is_served(&self) -> bool {
        let Some(lock) = &self.beside else { return true };
        // Shared, and let go of at once.
        let file = File::open(lock);
        file.is_ok_and(|file| matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)))
    }

    /// The folder is ours alone, so the process that held a message or a lease is dead: both are
    /// free at once. What need not be remembered any longer goes.
    async fn take_over(&self) -> Result<(), OpenError> {
        let mut transaction = self.pool.begin_with("BEGIN IMMEDIATE").await?;
        sqlx::raw_sql(
            "UPDATE queue SET visible_at = 0, in_flight = 0 WHERE in_flight = 1;
             UPDATE requests SET record = json_set(record, '$.state.running.until', 0)
                 WHERE record ->> '$.state.running' IS NOT NULL;
             DELETE FROM requests WHERE expires_at < unixepoch() * 1000;
             DELETE FROM lookups WHERE request NOT IN (SELECT key FROM requests);
             DELETE FROM events WHERE expires_at < unixepoch() * 1000;",
        )
        .execute(&mut *transaction)
        .await?;
        Ok(transaction.commit().await?)
    }

    /// Closes the database: everything is in its file then.
    pub async fn close(&self) {
        self.pool.close().await;
    }
}

/// What the ledger says when SQLite says no.
fn failed(error: impl std::fmt::Display) -> LedgerError {
    LedgerError(error.to_string())
}

fn file(folder: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(folder.join(FILE))
        .journal_mode(SqliteJournalMode::Wal)
        // FULL: what was answered 200 must survive a power cut, not only a crash of ours. NORMAL
        // would let the last commits before a power cut go, as WAL is then written through at
        // checkpoints only.
        .synchronous(SqliteSynchronous::Full)
        .busy_timeout(Duration::from_secs(5))
}
