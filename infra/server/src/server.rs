//! The server: wires the use cases to SQLite, the sources and the targets.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use greenlight_connectors::Connectors;
use greenlight_core::explain::Explain;
use greenlight_core::ports::{Clock, LedgerError, QueueError, ReadSecret};
use greenlight_core::{Processor, Receiver};
use greenlight_runtime::{Configuration, HttpSources, StartError, load_secret, targets};
use greenlight_stores::sqlite::{Database, OpenError};
use greenlight_stores::{SecretFile, SystemClock, flow_variable, flows_text};
use thiserror::Error;
use tokio::net::TcpListener;
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;

use crate::consumer::Consumer;
use crate::counters::Counters;
use crate::local::SignallingQueue;
use crate::streams::{Connected, Streams};
use crate::timer::Timer;
use crate::webhook;

/// The options of `greenlight serve`.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where to listen; port 0 takes any free one.
    pub listen: SocketAddr,
    /// The folder for queue and ledger.
    pub data: PathBuf,
    /// The secret document.
    pub secrets: PathBuf,
    /// `flows.toml`; built in if left out.
    pub flows: Option<PathBuf>,
    /// A folder of connectors, besides those that are built in.
    pub connectors: Option<PathBuf>,
    /// The interval of the ticks.
    pub tick_every: Duration,
}

/// The server cannot start, or ended by itself.
#[derive(Debug, Error, Explain)]
#[explain("server")]
pub enum ServeError {
    /// Flows, connectors, secret or clients are invalid.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The database cannot be opened.
    #[error(transparent)]
    Database(#[from] OpenError),
    /// The database cannot be written.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The address is taken, or not ours.
    #[error("cannot listen on {address}: {cause}")]
    Listen {
        address: SocketAddr,
        /// Why.
        cause: std::io::Error,
    },
}

/// The time for running attempts to finish after a signal to stop. The rest is abandoned, as by a
/// crash, and processed after the next start. Containers are killed after 10 s.
const STOP_TIMEOUT: Duration = Duration::from_secs(7);

/// The wait for the database to close: a disk that hangs must not block the exit.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// The use cases, running.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    database: Database,
    completed: Arc<Notify>,
    stop: watch::Sender<bool>,
    tasks: [JoinHandle<()>; 4],
}

impl Server {
    /// Opens the database, and starts the listener and the consumer.
    ///
    /// # Errors
    /// [`ServeError`] names what is missing or wrong.
    pub async fn start(options: Options) -> Result<Self, ServeError> {
        Self::start_with(options, &flow_variable).await
    }

    /// As [`Server::start`], with the values for `${NAME}` in the flows from `environment`.
    ///
    /// # Errors
    /// [`ServeError`] names what is missing or wrong.
    pub async fn start_with(
        options: Options,
        environment: &(dyn Fn(&str) -> Option<String> + Sync),
    ) -> Result<Self, ServeError> {
        let text = flows_text(options.flows.as_deref(), include_str!("../../flows.toml"));
        let text = text.map_err(StartError::from)?;
        let connectors = Connectors::built_in_and(options.connectors.as_deref());
        let connectors = connectors.map_err(StartError::from)?;
        let Configuration { flows, sources, setup, deployed } =
            Configuration::parse(text, &connectors, environment, SystemClock.now())?;
        let secret = load_secret(SecretFile::new(options.secrets)).await?;
        let current = secret.current();
        sources.check_credentials(&current).map_err(StartError::from)?;
        sources.log_problems(&current);
        let targets = targets(setup, &secret)?;
        let source = HttpSources::new(&sources, Arc::clone(&secret), targets.clone())?;
        let database = Database::open(&options.data).await?.keeping(flows.ledger.retention);
        let listener = TcpListener::bind(options.listen)
            .await
            .map_err(|cause| ServeError::Listen { address: options.listen, cause })?;
        let address = listener
            .local_addr()
            .map_err(|cause| ServeError::Listen { address: options.listen, cause })?;

        database.keep_flows(&deployed).await?;

        let arrived = Arc::new(Notify::new());
        let completed = Arc::new(Notify::new());
        let (stop, stopped) = watch::channel(false);
        let counters = Counters::new();
        let queue = SignallingQueue::new(database.clone(), Arc::clone(&arrived));
        let receiver = Arc::new(Receiver {
            sources: sources.webhooks(),
            secret: Arc::clone(&secret),
            queue: queue.clone(),
            clock: SystemClock,
            metrics: counters.clone(),
        });
        let connected = Connected::default();
        let streams = Streams {
            database: database.clone(),
            sources: source.clone(),
            receiver: Arc::clone(&receiver),
            connected: connected.clone(),
        };
        let processor = Processor {
            ledger: database.clone(),
            source,
            targets,
            queue: queue.clone(),
            dead_letters: database.clone(),
            clock: SystemClock,
            flows: flows.clone(),
            metrics: counters.clone(),
        };
        let consumer = Consumer::new(database.clone(), processor, arrived, Arc::clone(&completed));
        let timer = Timer {
            database: database.clone(),
            sources: streams.sources.clone(),
            queue,
            flows,
            metrics: counters.clone(),
            every: options.tick_every,
        };
        let watched = webhook::Watched { database: database.clone(), counters, connected };
        let tasks = [
            tokio::spawn(webhook::listen(listener, receiver, watched, stopped.clone())),
            tokio::spawn(consumer.run(stopped.clone())),
            tokio::spawn(timer.run(stopped.clone())),
            tokio::spawn(streams.hold(stopped)),
        ];
        Ok(Self { address, database, completed, stop, tasks })
    }

    /// The address of the listener.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Queue, dead-letter queue and ledger.
    #[must_use]
    pub const fn database(&self) -> &Database {
        &self.database
    }

    /// Returns when the queue is empty.
    ///
    /// # Errors
    /// [`QueueError`] when the queue cannot be asked.
    pub async fn drained(&self) -> Result<(), QueueError> {
        loop {
            let completed = self.completed.notified();
            tokio::pin!(completed);
            completed.as_mut().enable();
            if self.database.next_visible().await?.is_none() {
                return Ok(());
            }
            completed.await;
        }
    }

    /// Returns if the listener, the consumer, the timer or the connections end, which is an error.
    pub async fn ended(&mut self) {
        let [listener, consumer, timer, streams] = &mut self.tasks;
        tokio::select! {
            _ = listener => {}
            _ = consumer => {}
            _ = timer => {}
            _ = streams => {}
        }
    }

    /// Stops listening, finishes what ends within [`STOP_TIMEOUT`], and closes the database.
    pub async fn stop(self) {
        let _ = self.stop.send(true);
        let deadline = tokio::time::Instant::now() + STOP_TIMEOUT;
        for mut task in self.tasks.into_iter().filter(|task| !task.is_finished()) {
            if tokio::time::timeout_at(deadline, &mut task).await.is_err() {
                tracing::warn!(
                    "not all tasks ended in time: the rest is done after the next start"
                );
                task.abort();
                let _ = task.await;
            }
        }
        let closed = tokio::time::timeout(CLOSE_TIMEOUT, self.database.close());
        if closed.await.is_err() {
            tracing::warn!("the database was not closed in time: the next start reads its log");
        }
    }
}
