//! Load: many events over keep-alive connections, with latencies.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use greenlight_sources::test_request::Sent;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

/// The result of a load.
#[derive(Clone, Debug)]
pub struct Went {
    /// From the first event to the last answer.
    pub took: Duration,
    /// The latency of each event, ascending.
    pub waits: Vec<Duration>,
}

impl Went {
    /// The throughput in answers per second.
    #[must_use]
    pub fn per_second(&self) -> f64 {
        f64::from(u32::try_from(self.waits.len()).unwrap_or(u32::MAX)) / self.took.as_secs_f64()
    }

    /// The latency at a percentile.
    #[must_use]
    pub fn percentile(&self, percent: usize) -> Duration {
        let place = (self.waits.len() * percent).div_ceil(100).max(1) - 1;
        self.waits.get(place).copied().unwrap_or_default()
    }
}

/// Sends all `events` to `/api/event`. Each of the `connections` sends its next event when the one
/// before is answered.
///
/// # Panics
/// When an event is not answered 200.
pub async fn send_all(to: SocketAddr, events: Vec<Sent>, connections: usize) -> Went {
    let events = Arc::new(events);
    let next = Arc::new(AtomicUsize::new(0));
    let waits = Arc::new(Mutex::new(Vec::with_capacity(events.len())));
    let start = Instant::now();
    let mut senders = JoinSet::new();
    for _ in 0..connections {
        let (events, next, waits) = (Arc::clone(&events), Arc::clone(&next), Arc::clone(&waits));
        senders.spawn(async move {
            let mut connection = None;
            let mut own = Vec::new();
            while let Some(event) = events.get(next.fetch_add(1, Ordering::Relaxed)) {
                let asked = Instant::now();
                connection = Some(send(to, connection.take(), event).await);
                own.push(asked.elapsed());
            }
            waits.lock().expect("no thread panicked").extend(own);
        });
    }
    while let Some(sender) = senders.join_next().await {
        sender.expect("every event is answered 200");
    }
    let took = start.elapsed();
    let mut waits = std::mem::take(&mut *waits.lock().expect("no thread panicked"));
    waits.sort_unstable();
    Went { took, waits }
}

type Connection = SendRequest<Full<Bytes>>;

/// Sends an event over `kept`, or over a new connection if it is closed: not every server supports
/// keep-alive.
async fn send(to: SocketAddr, kept: Option<Connection>, event: &Sent) -> Connection {
    let mut request = event.to_request("/api/event").expect("the request is valid").map(Full::new);
    let host = to.to_string().parse().expect("the host is valid");
    request.headers_mut().insert(hyper::header::HOST, host);
    let mut connection = match kept {
        Some(kept) if !kept.is_closed() => kept,
        _ => connect(to).await,
    };
    if connection.ready().await.is_err() {
        connection = connect(to).await;
    }
    let answer = match connection.try_send_request(request).await {
        Ok(answer) => answer,
        Err(mut error) => {
            let unsent = error.take_message().expect("the unsent request is returned");
            connection = connect(to).await;
            connection.send_request(unsent).await.expect("it answers")
        }
    };
    assert_eq!(answer.status(), 200);
    answer.into_body().collect().await.expect("the answer is complete");
    connection
}

async fn connect(to: SocketAddr) -> Connection {
    let stream = TcpStream::connect(to).await.expect("it listens");
    stream.set_nodelay(true).expect("it is a TCP stream");
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.expect("it is HTTP");
    tokio::spawn(async move { drop(connection.await) });
    sender
}
