//! Group commit: whoever writes at the same time shares a commit, as a disk takes longer to be sure of one than of
//! what is in it.
//!
//! Nobody is told of a write before the commit that holds it. A write that fails takes nothing else with it.

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use greenlight_core::ports::LedgerError;
use sqlx::{Acquire, SqliteConnection, SqlitePool};
use tokio::sync::{mpsc, oneshot};

use super::failed;

/// So many writes share a commit at most.
const MOST_IN_A_COMMIT: usize = 256;

/// Writes in the background, as long as there is a clone of it.
#[derive(Clone, Debug)]
pub(super) struct Writer(mpsc::Sender<Write>);

enum Write {
    /// A message for the queue: all of a commit go in with one statement.
    Message {
        body: String,
        tell: oneshot::Sender<Result<(), LedgerError>>,
    },
    Other(Box<dyn Job>),
}

/// A write, whatever comes of it.
trait Job: Send {
    /// Writes. `false` when it failed, and what it wrote must be taken back.
    fn run<'c>(&'c mut self, connection: &'c mut SqliteConnection) -> BoxFuture<'c, bool>;
    /// Tells what came of it to whoever waits.
    fn tell(self: Box<Self>, committed: Result<(), LedgerError>);
}

struct Waiting<T, W> {
    work: Option<W>,
    result: Option<Result<T, LedgerError>>,
    tell: oneshot::Sender<Result<T, LedgerError>>,
}

impl<T, W> Job for Waiting<T, W>
where
    T: Send,
    W: for<'c> FnOnce(&'c mut SqliteConnection) -> BoxFuture<'c, Result<T, LedgerError>> + Send,
{
    fn run<'c>(&'c mut self, connection: &'c mut SqliteConnection) -> BoxFuture<'c, bool> {
        async move {
            let Some(work) = self.work.take() else { return false };
            let result = work(connection).await;
            self.result.insert(result).is_ok()
        }
        .boxed()
    }

    fn tell(self: Box<Self>, committed: Result<(), LedgerError>) {
        let Self { result, tell, .. } = *self;
        let result = committed.and_then(|()| result.unwrap_or_else(|| Err(closed())));
        // Whoever is gone has not been told, and asks again.
        drop(tell.send(result));
    }
}

fn closed() -> LedgerError {
    failed("the database is closed")
}

impl Writer {
    /// Writes over `pool`.
    pub(super) fn over(pool: SqlitePool) -> Self {
        let (sender, mut arrived) = mpsc::channel(MOST_IN_A_COMMIT);
        tokio::spawn(async move {
            let mut together = Vec::new();
            while arrived.recv_many(&mut together, MOST_IN_A_COMMIT).await > 0 {
                let committed = commit(&pool, &mut together).await;
                for write in together.drain(..) {
                    match write {
                        Write::Message { tell, .. } => drop(tell.send(committed.clone())),
                        Write::Other(job) => job.tell(committed.clone()),
                    }
                }
            }
        });
        Self(sender)
    }

    /// Puts a message into the queue.
    pub(super) async fn message(&self, body: String) -> Result<(), LedgerError> {
        let (tell, told) = oneshot::channel();
        self.0.send(Write::Message { body, tell }).await.map_err(|_| closed())?;
        told.await.map_err(|_| closed())?
    }

    /// Does `work` as if it were alone: all of it, or nothing.
    pub(super) async fn write<T, W>(&self, work: W) -> Result<T, LedgerError>
    where
        T: Send + 'static,
        W: for<'c> FnOnce(&'c mut SqliteConnection) -> BoxFuture<'c, Result<T, LedgerError>>
            + Send
            + 'static,
    {
        let (tell, told) = oneshot::channel();
        let job = Box::new(Waiting { work: Some(work), result: None, tell });
        self.0.send(Write::Other(job)).await.map_err(|_| closed())?;
        told.await.map_err(|_| closed())?
    }
}

async fn commit(pool: &SqlitePool, together: &mut [Write]) -> Result<(), LedgerError> {
    let mut transaction = pool.begin_with("BEGIN IMMEDIATE").await.map_err(failed)?;
    let bodies: Vec<&str> = together.iter().filter_map(Write::body).collect();
    if !bodies.is_empty() {
        sqlx::query("INSERT INTO queue (body, visible_at) SELECT value, 0 FROM json_each(?)")
            .bind(serde_json::to_string(&bodies).map_err(failed)?)
            .execute(&mut *transaction)
            .await
            .map_err(failed)?;
    }
    for write in together {
        let Write::Other(job) = write else { continue };
        let mut savepoint = transaction.begin().await.map_err(failed)?;
        if job.run(&mut savepoint).await {
            savepoint.commit().await.map_err(failed)?;
        } else {
            savepoint.rollback().await.map_err(failed)?;
        }
    }
    transaction.commit().await.map_err(failed)
}

impl Write {
    fn body(&self) -> Option<&str> {
        match self {
            Self::Message { body, .. } => Some(body),
            Self::Other(_) => None,
        }
    }
}
