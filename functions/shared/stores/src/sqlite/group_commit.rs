//! Group commit: concurrent writes share a commit, because synchronising the disk takes longer than
//! the writes themselves.
//!
//! A write is reported only after its commit. A failed write does not affect the others of its
//! commit.

use std::panic::AssertUnwindSafe;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use greenlight_core::ports::LedgerError;
use sqlx::{Acquire, SqliteConnection, SqlitePool};
use tokio::sync::{mpsc, oneshot};

use super::failed;

/// The most messages in a commit.
const MESSAGES: usize = 256;

/// The most other writes in a commit without messages.
const OTHERS: usize = 64;

/// The most other writes in a commit with messages: Feishu waits three seconds for an answer, while
/// other writes can wait.
const OTHERS_BESIDE_MESSAGES: usize = 4;

/// Writes in the background, as long as a clone of it exists.
#[derive(Clone, Debug)]
pub(super) struct GroupCommit {
    messages: mpsc::Sender<Message>,
    others: mpsc::Sender<Box<dyn Job>>,
}

/// A message for the queue: one statement inserts all messages of a commit.
#[derive(Debug)]
struct Message {
    body: String,
    sender: oneshot::Sender<Result<(), LedgerError>>,
}

/// A write with any type of result.
trait Job: Send {
    /// Executes the write. Returns `false` on failure; the savepoint is then rolled back.
    fn run<'c>(&'c mut self, connection: &'c mut SqliteConnection) -> BoxFuture<'c, bool>;
    /// Reports the result to the caller.
    fn answer(self: Box<Self>, committed: Result<(), LedgerError>);
}

/// A write, and the channel to its caller.
struct Asked<T, W> {
    work: Option<W>,
    result: Option<Result<T, LedgerError>>,
    sender: oneshot::Sender<Result<T, LedgerError>>,
}

impl<T, W> Job for Asked<T, W>
where
    T: Send,
    W: for<'c> FnOnce(&'c mut SqliteConnection) -> BoxFuture<'c, Result<T, LedgerError>> + Send,
{
    fn run<'c>(&'c mut self, connection: &'c mut SqliteConnection) -> BoxFuture<'c, bool> {
        async move {
            let Some(work) = self.work.take() else { return false };
            // A panic in one write must not stop the writer for the others.
            let result = AssertUnwindSafe(work(connection)).catch_unwind().await;
            let result = result.unwrap_or_else(|_| Err(failed("a write panicked")));
            self.result.insert(result).is_ok()
        }
        .boxed()
    }

    fn answer(self: Box<Self>, committed: Result<(), LedgerError>) {
        let Self { result, sender, .. } = *self;
        drop(sender.send(committed.and_then(|()| result.unwrap_or_else(|| Err(closed())))));
    }
}

fn closed() -> LedgerError {
    failed("the database is closed")
}

impl GroupCommit {
    /// Starts a writer over `pool`.
    pub(super) fn over(pool: SqlitePool) -> Self {
        let (messages, arrived_messages) = mpsc::channel(MESSAGES);
        let (others, arrived_others) = mpsc::channel(OTHERS);
        tokio::spawn(async move {
            let mut arrived = Arrived { messages: arrived_messages, others: arrived_others };
            while let Some(mut commit) = arrived.next().await {
                let committed = commit.make(&pool).await;
                commit.answer(&committed);
            }
        });
        Self { messages, others }
    }

    /// Adds a message to the queue.
    pub(super) async fn message(&self, body: String) -> Result<(), LedgerError> {
        let (sender, receiver) = oneshot::channel();
        self.messages.send(Message { body, sender }).await.map_err(|_| closed())?;
        receiver.await.map_err(|_| closed())?
    }

    /// Runs `work` atomically.
    pub(super) async fn write<T, W>(&self, work: W) -> Result<T, LedgerError>
    where
        T: Send + 'static,
        W: for<'c> FnOnce(&'c mut SqliteConnection) -> BoxFuture<'c, Result<T, LedgerError>>
            + Send
            + 'static,
    {
        let (sender, receiver) = oneshot::channel();
        let asked = Box::new(Asked { work: Some(work), result: None, sender });
        self.others.send(asked).await.map_err(|_| closed())?;
        receiver.await.map_err(|_| closed())?
    }
}

/// The two queues of waiting writes.
struct Arrived {
    messages: mpsc::Receiver<Message>,
    others: mpsc::Receiver<Box<dyn Job>>,
}

impl Arrived {
    /// Waits for a write and returns the next commit. `None` when all senders are dropped.
    async fn next(&mut self) -> Option<Commit> {
        let mut commit = Commit::default();
        tokio::select! {
            Some(message) = self.messages.recv() => commit.messages.push(message),
            Some(other) = self.others.recv() => commit.others.push(other),
            else => return None,
        }
        while commit.messages.len() < MESSAGES
            && let Ok(message) = self.messages.try_recv()
        {
            commit.messages.push(message);
        }
        let most = if commit.messages.is_empty() { OTHERS } else { OTHERS_BESIDE_MESSAGES };
        while commit.others.len() < most
            && let Ok(other) = self.others.try_recv()
        {
            commit.others.push(other);
        }
        Some(commit)
    }
}

/// The writes of one commit.
#[derive(Default)]
struct Commit {
    messages: Vec<Message>,
    others: Vec<Box<dyn Job>>,
}

impl Commit {
    async fn make(&mut self, pool: &SqlitePool) -> Result<(), LedgerError> {
        let mut transaction = pool.begin_with("BEGIN IMMEDIATE").await.map_err(failed)?;
        let bodies: Vec<&str> = self.messages.iter().map(|message| &*message.body).collect();
        if !bodies.is_empty() {
            sqlx::query("INSERT INTO queue (body, visible_at) SELECT value, 0 FROM json_each(?)")
                .bind(serde_json::to_string(&bodies).map_err(failed)?)
                .execute(&mut *transaction)
                .await
                .map_err(failed)?;
        }
        for job in &mut self.others {
            let mut savepoint = transaction.begin().await.map_err(failed)?;
            if job.run(&mut savepoint).await {
                savepoint.commit().await.map_err(failed)?;
            } else {
                savepoint.rollback().await.map_err(failed)?;
            }
        }
        transaction.commit().await.map_err(failed)
    }

    fn answer(self, committed: &Result<(), LedgerError>) {
        for message in self.messages {
            // A caller that was cancelled got no answer, and sends the message again.
            drop(message.sender.send(committed.clone()));
        }
        for job in self.others {
            job.answer(committed.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::future::join_all;

    use super::*;
    use crate::sqlite::Database;

    async fn put(database: &Database, body: &str, is_right: bool) -> Result<(), LedgerError> {
        let body = body.to_owned();
        let write = database.group_commit.write(move |connection| {
            async move {
                let insert = sqlx::query("INSERT INTO queue (body, visible_at) VALUES (?, 0)");
                insert.bind(body).execute(connection).await.map_err(failed)?;
                if is_right { Ok(()) } else { Err(failed("it is wrong")) }
            }
            .boxed()
        });
        write.await
    }

    async fn bodies(database: &Database) -> Vec<String> {
        let query = sqlx::query_scalar("SELECT body FROM queue ORDER BY body");
        query.fetch_all(&database.pool).await.unwrap()
    }

    #[tokio::test]
    async fn a_write_that_fails_takes_nothing_else_with_it() {
        let database = Database::in_memory().await.unwrap();
        let message = database.group_commit.message("a".to_owned());
        let writes = join_all([
            put(&database, "b", true),
            put(&database, "c", false),
            put(&database, "d", true),
        ]);
        let (message, writes) = tokio::join!(message, writes);
        assert!(message.is_ok());
        assert_eq!(writes.iter().map(Result::is_ok).collect::<Vec<_>>(), [true, false, true]);
        assert_eq!(bodies(&database).await, ["a", "b", "d"]);
    }

    #[tokio::test]
    async fn a_write_that_panics_ends_nobody_elses() {
        let database = Database::in_memory().await.unwrap();
        let panics = database.group_commit.write::<(), _>(|_| async { panic!("a defect") }.boxed());
        let (panicked, put) = tokio::join!(panics, put(&database, "a", true));
        assert_eq!(panicked.unwrap_err().0.text, "a write panicked");
        put.unwrap();
        database.group_commit.message("b".to_owned()).await.unwrap();
        assert_eq!(bodies(&database).await, ["a", "b"]);
    }

    #[tokio::test]
    async fn nobody_is_told_of_what_was_not_committed() {
        let database = Database::in_memory().await.unwrap();
        // A deferred constraint is checked at the commit.
        sqlx::raw_sql(
            "PRAGMA foreign_keys = ON; CREATE TABLE t (id INTEGER REFERENCES queue DEFERRABLE INITIALLY DEFERRED)",
        )
        .execute(&database.pool)
        .await
        .unwrap();
        let wrong = database.group_commit.write(|connection| {
            async move {
                let insert = sqlx::query("INSERT INTO t VALUES (99)").execute(connection);
                insert.await.map(drop).map_err(failed)
            }
            .boxed()
        });
        let (wrong, message) = tokio::join!(wrong, database.group_commit.message("a".to_owned()));
        assert!(wrong.is_err() && message.is_err());
        assert!(bodies(&database).await.is_empty());
        database.group_commit.message("b".to_owned()).await.unwrap();
        assert_eq!(bodies(&database).await, ["b"]);
    }

    /// Counts the commits of a write-ahead log: the frames with a database size.
    /// <https://sqlite.org/fileformat2.html#the_write_ahead_log>
    fn commits(log: &[u8]) -> usize {
        let number = |at: usize| u32::from_be_bytes(log[at..at + 4].try_into().unwrap());
        let page = usize::try_from(number(8)).unwrap();
        let frames = (32..log.len()).step_by(24 + page);
        frames.filter(|frame| number(frame + 4) != 0).count()
    }

    #[tokio::test]
    async fn who_writes_at_the_same_time_shares_a_commit() {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        let database = Database::open(&data).await.unwrap();
        let log = data.join("greenlight.db-wal");
        let before = commits(&std::fs::read(&log).unwrap());
        let messages = (0..200).map(|n| database.group_commit.message(n.to_string()));
        assert!(join_all(messages).await.iter().all(Result::is_ok));
        let after = commits(&std::fs::read(&log).unwrap());
        println!("200 messages in {} commits", after - before);
        assert!((1..=20).contains(&(after - before)));
        assert_eq!(bodies(&database).await.len(), 200);
    }
}
