//! Connections to office systems that send events over a WebSocket. A lost connection is opened
//! again after a short pause, a refused one after ten minutes.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use greenlight_core::explain::Explain;
use greenlight_core::metrics::Metric;
use greenlight_core::ports::KeepSchedule;
use greenlight_core::schedule::Schedule;
use greenlight_core::stream::{Message, Pauses, Received, Session, Stream, Times};
use greenlight_core::{Class, Failure, receive_event};
use greenlight_http::websocket::{WebSocket, WebSocketError};
use greenlight_runtime::HttpSources;
use greenlight_stores::sqlite::Database;
use secrecy::ExposeSecret;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use crate::local::LocalReceiver;

/// The time limit for sending one message.
const SEND_TIMEOUT: Duration = Duration::from_secs(5);

/// The time limit for closing a connection.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// Whether the connection of each source is open.
#[derive(Clone, Debug, Default)]
pub(crate) struct Connected(Arc<Mutex<BTreeMap<String, bool>>>);

impl Connected {
    pub(crate) fn states(&self) -> BTreeMap<String, bool> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set(&self, source: &str, is_open: bool) {
        let mut states = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        states.insert(source.to_owned(), is_open);
    }
}

/// What all connections share.
#[derive(Clone)]
pub(crate) struct Streams {
    pub(crate) database: Database,
    pub(crate) sources: HttpSources,
    pub(crate) receiver: Arc<LocalReceiver>,
    pub(crate) connected: Connected,
}

impl Streams {
    /// Holds the connections of all sources that have one, until it is stopped. The lock of the
    /// data folder keeps a second server from opening others.
    pub(crate) async fn hold(self, mut stopped: watch::Receiver<bool>) {
        let names = self.sources.0.streams().map(|(name, _)| name.to_owned());
        let names: Vec<_> = names.collect();
        if names.is_empty() {
            let _ = stopped.wait_for(|stopped| *stopped).await;
            return;
        }
        for name in &names {
            self.connected.set(name, false);
        }
        let mut running = JoinSet::new();
        for name in names {
            running.spawn(self.clone().hold_one(name, stopped.clone()));
        }
        while let Some(ended) = running.join_next().await {
            // After a panic the process ends, and its supervisor starts it again.
            if ended.is_err() {
                return;
            }
        }
    }

    async fn hold_one(self, source: String, mut stopped: watch::Receiver<bool>) {
        let Ok(found) = self.sources.0.find(&source) else { return };
        let Some(stream) = found.stream() else { return };
        let mut pauses = Pauses::default();
        while !*stopped.borrow() {
            let opened = tokio::select! {
                _ = stopped.changed() => return,
                opened = self.open(stream) => opened,
            };
            let pause = match opened {
                Ok((socket, session)) => {
                    self.count(&source, "opened");
                    self.connected.set(&source, true);
                    tracing::info!(source, "the connection is open: events can arrive");
                    self.sweep(&source).await;
                    let since = Instant::now();
                    let connection = Connection { source: &source, stream, streams: &self };
                    let times = connection.run(socket, session, &mut stopped).await;
                    self.connected.set(&source, false);
                    pauses.after_loss(times, since.elapsed(), fastrand::f64())
                }
                Err(failure) => {
                    let is_refused = matches!(failure, Failure::GiveUp { .. });
                    self.count(&source, if is_refused { "refused" } else { "failed" });
                    let pause = pauses.after_failure(&failure, fastrand::f64());
                    let (cause, seconds) = (&failure.reason().cause, pause.as_secs());
                    tracing::error!(source, %cause, seconds, "no connection: the next attempt is after a pause");
                    pause
                }
            };
            tokio::select! {
                _ = stopped.changed() => {}
                () = sleep(pause) => {}
            }
        }
    }

    /// What was sent while there was no connection may be lost: the next tick looks for it.
    async fn sweep(&self, source: &str) {
        let soon = |it: Schedule| (it.sweep_soon(source), ());
        if let Err(error) = self.database.change_schedule(soon).await {
            tracing::error!(source, %error, "no sweep after the connection was opened: the next one is within an hour");
        }
    }

    fn count(&self, source: &str, outcome: &str) {
        let labels = [("source", source), ("outcome", outcome)];
        self.receiver.metrics.measure(&Metric::once("StreamConnections", &labels));
    }

    async fn open(&self, stream: &dyn Stream) -> Result<(WebSocket, Box<dyn Session>), Failure> {
        let endpoint = stream.endpoint().await?;
        match self.sources.client().open_websocket(endpoint.url.expose_secret()).await {
            Ok(socket) => Ok((socket, endpoint.session)),
            Err(WebSocketError::Refused { status, headers }) => {
                Err(stream.handshake_failure(status, &headers))
            }
            Err(error) => Err(Failure::retry(Class::SourceUnavailable, error.explain())),
        }
    }
}

/// An open connection.
struct Connection<'a> {
    source: &'a str,
    stream: &'a dyn Stream,
    streams: &'a Streams,
}

impl Connection<'_> {
    /// Receives events until the connection is lost or the server stops; returns its last times.
    async fn run(
        &self,
        mut socket: WebSocket,
        mut session: Box<dyn Session>,
        stopped: &mut watch::Receiver<bool>,
    ) -> Times {
        let source = self.source;
        let (mut last_received, mut last_ping) = (Instant::now(), None);
        while !*stopped.borrow() {
            let times = session.times();
            let next_ping =
                last_ping.map_or(last_received, |last_ping: Instant| last_ping + times.ping_every);
            let step = tokio::select! {
                _ = stopped.changed() => Ok(Step::Continue),
                () = sleep_until(next_ping) => {
                    last_ping = Some(Instant::now());
                    send(&mut socket, session.ping()).await.map(|()| Step::Continue)
                }
                () = sleep_until(last_received + times.silence) => Ok(Step::Silent),
                message = socket.next() => {
                    last_received = Instant::now();
                    match message {
                        Ok(message) => self.handle(message, &mut socket, &mut *session).await,
                        Err(error) => Err(error),
                    }
                }
            };
            match step {
                Ok(Step::Continue) => {}
                Ok(Step::Silent) => {
                    let seconds = times.silence.as_secs();
                    tracing::warn!(
                        source,
                        seconds,
                        "no message within the time limit: connecting again"
                    );
                    break;
                }
                Ok(Step::Close) => {
                    tracing::info!(source, "the office system closes the connection");
                    break;
                }
                Err(error) => {
                    tracing::warn!(source, %error, "connection lost: connecting again");
                    break;
                }
            }
        }
        let _ = timeout(CLOSE_TIMEOUT, socket.close()).await;
        session.times()
    }

    async fn handle(
        &self,
        message: Message,
        socket: &mut WebSocket,
        session: &mut dyn Session,
    ) -> Result<Step, WebSocketError> {
        let received = Instant::now();
        match session.receive(message, received.into_std()) {
            Received::Nothing => {}
            Received::Reply(reply) => send(socket, reply).await?,
            Received::Event { event, reply } => {
                let (source, within) = (self.source, self.stream.answer_within());
                let outcome = receive_event(source, event, within, &self.streams.receiver).await;
                send(socket, reply(&outcome, received.elapsed())).await?;
            }
            Received::Unreadable(problem) => {
                let labels = [("outcome", "unreadable"), ("reason", problem.as_str())];
                let metrics = &self.streams.receiver.metrics;
                metrics.measure(&Metric::once("StreamEventsReceived", &labels));
                tracing::error!(source = self.source, "{problem}: it was not answered");
            }
            Received::Closing => return Ok(Step::Close),
        }
        Ok(Step::Continue)
    }
}

/// What happens next to a connection.
enum Step {
    Continue,
    Silent,
    Close,
}

async fn send(socket: &mut WebSocket, message: Message) -> Result<(), WebSocketError> {
    timeout(SEND_TIMEOUT, socket.send(message)).await.unwrap_or(Err(WebSocketError::Closed))
}
