//! A reused connection.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::{Request, Response, Uri};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper::rt::{Read, Write};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;

use super::error::CallError;

/// A secret has up to 64 KiB; JSON escapes may double it.
const MAX_ANSWER_BYTES: usize = 256 * 1024;

/// Idle connections older than this are discarded: a NAT or load balancer may have dropped them
/// silently, and the function may have been frozen meanwhile.
const IDLE_AT_MOST: Duration = Duration::from_secs(30);

type Sender = SendRequest<Full<Bytes>>;

/// An idle connection.
struct Idle {
    sender: Sender,
    /// Wall-clock time: a monotonic clock stops while a function is frozen.
    since: SystemTime,
}

/// Returns whether an idle connection may be reused; not if the clock was set back.
fn is_fresh(since: SystemTime, now: SystemTime) -> bool {
    now.duration_since(since).is_ok_and(|idle| idle <= IDLE_AT_MOST)
}

/// The server to connect to.
#[derive(Clone)]
pub(super) struct Origin {
    /// The host as configured, with the port if there was one.
    pub(super) authority: String,
    /// With the scheme, for the signature.
    pub(super) url: String,
    host: String,
    port: u16,
    tls: Option<(TlsConnector, ServerName<'static>)>,
}

impl Origin {
    /// Parses an origin. `None` when `url` is not a URL, or needs TLS and `tls` is `None`.
    pub(super) fn parse(url: &str, tls: Option<&TlsConnector>) -> Option<Self> {
        let uri: Uri = url.parse().ok()?;
        let authority = uri.authority()?;
        let host = uri.host()?.trim_matches(['[', ']']).to_owned();
        let (tls, port) = match uri.scheme_str()? {
            "https" => {
                let name = ServerName::try_from(host.clone()).ok()?;
                (Some((tls?.clone(), name)), 443)
            }
            "http" => (None, 80),
            _ => return None,
        };
        Some(Self {
            authority: authority.to_string(),
            url: format!("{}://{authority}/", uri.scheme_str()?),
            port: uri.port_u16().unwrap_or(port),
            host,
            tls,
        })
    }
}

/// One connection to an origin, kept between calls and reopened when it is closed. Concurrent calls
/// use one connection each, and one of these is kept.
#[derive(Clone)]
pub(super) struct Connection {
    pub(super) origin: Arc<Origin>,
    idle: Arc<Mutex<Option<Idle>>>,
}

impl Connection {
    pub(super) fn to(origin: Origin) -> Self {
        Self { origin: Arc::new(origin), idle: Arc::default() }
    }

    /// Opens the connection ahead of the first request.
    pub(super) async fn open(&self, within: Duration) -> Result<(), CallError> {
        let sender = self.connect(within).await?;
        self.keep(sender);
        Ok(())
    }

    /// Sends a request, and reads the whole answer. Cancelling the call closes the connection.
    pub(super) async fn send(
        &self,
        mut request: Request<Full<Bytes>>,
        connect_within: Duration,
    ) -> Result<Response<Bytes>, CallError> {
        if let Some(mut sender) = self.take()
            && sender.ready().await.is_ok()
        {
            match sender.try_send_request(request).await {
                Ok(answer) => return self.read(answer, sender).await,
                Err(mut error) => match error.take_message() {
                    // The server closed the idle connection before anything was sent.
                    Some(unsent) => request = unsent,
                    None => return Err(CallError::Broken),
                },
            }
        }
        let mut sender = self.connect(connect_within).await?;
        let answer = sender.send_request(request).await.map_err(|_| CallError::Broken)?;
        self.read(answer, sender).await
    }

    async fn read(
        &self,
        answer: Response<Incoming>,
        sender: Sender,
    ) -> Result<Response<Bytes>, CallError> {
        let (head, body) = answer.into_parts();
        let body = Limited::new(body, MAX_ANSWER_BYTES).collect().await;
        let body = body.map_err(|_| CallError::Broken)?.to_bytes();
        self.keep(sender);
        Ok(Response::from_parts(head, body))
    }

    async fn connect(&self, within: Duration) -> Result<Sender, CallError> {
        let Origin { host, port, tls, .. } = &*self.origin;
        let connecting = async {
            let stream = TcpStream::connect((host.as_str(), *port)).await?;
            stream.set_nodelay(true)?;
            match tls {
                None => Ok(drive(stream).await),
                Some((tls, name)) => Ok(drive(tls.connect(name.clone(), stream).await?).await),
            }
        };
        let connected: std::io::Result<_> =
            timeout(within, connecting).await.map_err(|_| CallError::TooLate)?;
        connected.map_err(CallError::NoConnection)?.map_err(|_| CallError::Broken)
    }

    fn take(&self) -> Option<Sender> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).take()?;
        is_fresh(idle.since, SystemTime::now()).then_some(idle.sender)
    }

    fn keep(&self, sender: Sender) {
        *self.idle.lock().unwrap_or_else(PoisonError::into_inner) =
            Some(Idle { sender, since: SystemTime::now() });
    }
}

/// Drives a connection in the background, until one side closes it.
async fn drive<S>(stream: S) -> hyper::Result<Sender>
where
    TokioIo<S>: Read + Write + Unpin + Send + 'static,
{
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    // The call that waits for an answer gets the error.
    tokio::spawn(async move { drop(connection.await) });
    Ok(sender)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_is_not_trusted_after_a_while() {
        let since = SystemTime::UNIX_EPOCH + Duration::from_hours(1);
        assert!(is_fresh(since, since) && is_fresh(since, since + IDLE_AT_MOST));
        assert!(!is_fresh(since, since + IDLE_AT_MOST + Duration::from_millis(1)));
        assert!(!is_fresh(since, since - Duration::from_secs(1)));
    }
}
