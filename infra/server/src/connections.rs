//! The listener: connections are bounded in number, in time and in memory.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::Instant;
use tower_service::Service as _;

/// The most connections at a time. With one more, the oldest that has not sent a whole request yet
/// is closed, so that connections which send nothing never block a sender.
pub(crate) const MAX_CONNECTIONS: usize = 512;

/// The time limit for the header section of a request, and for the next request on the same
/// connection.
const HEADER_TIMEOUT: Duration = Duration::from_secs(5);

/// The longest header section, in bytes. Events have about one kilobyte.
const MAX_HEADER_BYTES: usize = 16 * 1024;

/// Open files that connections leave to the database, the log and calls to other systems.
const RESERVED_FILES: u64 = 64;

/// The fewest connections that are allowed, however low the limit of open files is.
const MIN_CONNECTIONS: u64 = 16;

/// The wait for a closed connection to release its file.
const CLOSE_TIMEOUT: Duration = Duration::from_millis(100);

/// The time for running requests to finish after the listener stops.
const STOP_TIMEOUT: Duration = Duration::from_secs(3);

/// The wait after a failure to accept when no connection could be closed instead.
const ACCEPT_BACKOFF: Duration = Duration::from_secs(1);

/// The shortest interval between log lines about failures to accept.
const ACCEPT_ERROR_LOG_INTERVAL: Duration = Duration::from_secs(10);

/// Whether the connection of a request may be closed for another one: it may until the whole
/// request is there and its handler protects it. Handlers find it among the request's extensions.
#[derive(Clone, Debug, Default)]
pub(crate) struct Busy(Arc<AtomicBool>);

impl Busy {
    /// Protects the connection until the value is dropped.
    pub(crate) fn protect(&self) -> impl Drop + Send + use<> {
        self.0.store(true, Ordering::Relaxed);
        Protected(self.clone())
    }

    fn is_protected(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

struct Protected(Busy);

impl Drop for Protected {
    fn drop(&mut self) {
        (self.0.0).store(false, Ordering::Relaxed);
    }
}

/// Answers `most` connections with `app` until `stopped` is true, and then ends within
/// [`STOP_TIMEOUT`].
pub async fn serve(
    listener: TcpListener,
    app: Router,
    most: usize,
    mut stopped: watch::Receiver<bool>,
) {
    let mut connections = Connections::default();
    let mut last_logged: Option<Instant> = None;
    loop {
        let accepted = tokio::select! {
            () = is_stopped(&mut stopped) => break,
            Some(ended) = connections.tasks.join_next_with_id() => {
                connections.forget(&ended);
                continue;
            }
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, _)) => {
                if connections.open.len() >= most && !connections.close_oldest_idle() {
                    // All connections are answering requests: the new one is closed, and its sender
                    // tries again.
                    continue;
                }
                connections.start(stream, app.clone(), stopped.clone());
            }
            Err(error) if is_about_one_connection(&error) => {}
            Err(error) => {
                let is_due = |at: Instant| at.elapsed() >= ACCEPT_ERROR_LOG_INTERVAL;
                if last_logged.is_none_or(is_due) {
                    last_logged = Some(Instant::now());
                    let open = connections.open.len();
                    tracing::error!(%error, open, "no more connections can be accepted: is the limit of open files too low?");
                }
                if connections.close_oldest_idle() {
                    // Its file is free when its task has ended.
                    let ended = connections.tasks.join_next_with_id();
                    if let Ok(Some(ended)) = tokio::time::timeout(CLOSE_TIMEOUT, ended).await {
                        connections.forget(&ended);
                    }
                } else {
                    tokio::time::sleep(ACCEPT_BACKOFF).await;
                }
            }
        }
    }
    drop(listener);
    connections.close_idle();
    let ends = async { while connections.tasks.join_next().await.is_some() {} };
    // Connections that are still open after that are dropped with their tasks.
    let _ = tokio::time::timeout(STOP_TIMEOUT, ends).await;
}

/// The number of connections that the limit of open files allows; raises the limit first.
pub(crate) fn max_connections() -> usize {
    #[cfg(unix)]
    let allowed = {
        use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
        let wanted = MAX_CONNECTIONS as u64 + RESERVED_FILES;
        let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
        if current.is_some_and(|current| current < wanted) {
            let current = Some(maximum.map_or(wanted, |maximum| maximum.min(wanted)));
            let _ = setrlimit(Resource::Nofile, Rlimit { current, maximum });
        }
        let current = getrlimit(Resource::Nofile).current.unwrap_or(wanted);
        current.saturating_sub(RESERVED_FILES).max(MIN_CONNECTIONS)
    };
    #[cfg(not(unix))]
    let allowed = MAX_CONNECTIONS as u64;
    usize::try_from(allowed).unwrap_or(MAX_CONNECTIONS).min(MAX_CONNECTIONS)
}

/// The connections that are open, oldest first.
#[derive(Default)]
struct Connections {
    open: BTreeMap<u64, (Busy, AbortHandle)>,
    numbers: BTreeMap<tokio::task::Id, u64>,
    tasks: JoinSet<()>,
    next: u64,
}

impl Connections {
    fn start(&mut self, stream: TcpStream, app: Router, stopped: watch::Receiver<bool>) {
        let busy = Busy::default();
        let task = self.tasks.spawn(answer(stream, app, busy.clone(), stopped));
        self.numbers.insert(task.id(), self.next);
        self.open.insert(self.next, (busy, task));
        self.next += 1;
    }

    fn forget(&mut self, ended: &Result<(tokio::task::Id, ()), tokio::task::JoinError>) {
        let id = ended.as_ref().map_or_else(tokio::task::JoinError::id, |(id, ())| *id);
        if let Some(number) = self.numbers.remove(&id) {
            self.open.remove(&number);
        }
    }

    /// Closes the oldest connection that is not protected; `false` if there is none.
    fn close_oldest_idle(&mut self) -> bool {
        let oldest = self.open.iter().find(|(_, (busy, _))| !busy.is_protected());
        let Some(number) = oldest.map(|(number, _)| *number) else { return false };
        if let Some((_, task)) = self.open.remove(&number) {
            task.abort();
        }
        true
    }

    fn close_idle(&mut self) {
        for (busy, task) in self.open.values() {
            if !busy.is_protected() {
                task.abort();
            }
        }
    }
}

/// Serves one connection until it ends or the listener stops.
async fn answer(stream: TcpStream, app: Router, busy: Busy, mut stopped: watch::Receiver<bool>) {
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(busy.clone());
        let mut app = app.clone();
        async move { app.call(request.map(Body::new)).await }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .max_buf_size(MAX_HEADER_BYTES)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = std::pin::pin!(connection);
    // An error means that the sender closed the connection, or sent no HTTP.
    tokio::select! {
        _ = connection.as_mut() => {}
        () = is_stopped(&mut stopped) => {
            connection.as_mut().graceful_shutdown();
            let _ = connection.await;
        }
    }
}

/// Returns when the listener is to stop.
async fn is_stopped(stopped: &mut watch::Receiver<bool>) {
    let _ = stopped.wait_for(|stopped| *stopped).await;
}

/// Whether an error concerns only the connection that was about to be accepted.
fn is_about_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}
