//! WebSockets (RFC 6455), opened with the same client as requests: with the same trust anchors,
//! proxy and checks of addresses.

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use greenlight_core::explain::{Explain, Explanation};
use greenlight_core::ports::HttpError;
use greenlight_core::stream::{MAX_MESSAGE_BYTES, Message};
use http::header::{CONNECTION, HeaderName, SEC_WEBSOCKET_ACCEPT, UPGRADE};
use http::{HeaderMap, HeaderValue, StatusCode};
use reqwest::Upgraded;
use thiserror::Error;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message as Framed;
use tokio_tungstenite::tungstenite::error::Error as ProtocolError;
use tokio_tungstenite::tungstenite::handshake::client::generate_key;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};

use crate::{Client, check_literal, failure};

/// An open WebSocket.
#[derive(Debug)]
pub struct WebSocket(WebSocketStream<Upgraded>);

/// A failure to open a WebSocket, or the loss of an open one.
#[derive(Debug, Error, Explain)]
#[explain("websocket")]
pub enum WebSocketError {
    /// There was no answer.
    #[error("{0}")]
    Http(HttpError),
    /// The answer is not the switch to the protocol.
    #[error("the server did not switch to the WebSocket protocol: HTTP {status}")]
    Refused {
        /// Its status.
        status: StatusCode,
        /// Its headers.
        headers: Box<HeaderMap>,
    },
    /// The answer belongs to another handshake.
    #[error("the server's `Sec-WebSocket-Accept` does not match the key of the request")]
    WrongHandshake,
    /// The server closed it.
    #[error("the server closed the connection")]
    Closed,
    /// A message exceeds [`MAX_MESSAGE_BYTES`].
    #[error("a message is larger than {MAX_MESSAGE_BYTES} bytes")]
    TooLarge,
    /// An I/O error, or a violation of RFC 6455.
    #[error("the connection broke off: {cause}")]
    Broken {
        /// Why.
        cause: Explanation,
    },
}

impl From<ProtocolError> for WebSocketError {
    fn from(error: ProtocolError) -> Self {
        match error {
            ProtocolError::ConnectionClosed | ProtocolError::AlreadyClosed => Self::Closed,
            ProtocolError::Capacity(_) => Self::TooLarge,
            ProtocolError::Io(error) => Self::Broken { cause: error.explain() },
            error => Self::Broken { cause: Explanation::quoted(error.to_string()) },
        }
    }
}

impl Client {
    /// Opens the WebSocket at `url`, `wss://…` or `ws://…`.
    ///
    /// # Errors
    /// [`WebSocketError`] when the server cannot be reached or does not switch to the protocol.
    pub async fn open_websocket(&self, url: &str) -> Result<WebSocket, WebSocketError> {
        let (host, request, key) = handshake(url).map_err(WebSocketError::Http)?;
        let failed = |error: &reqwest::Error| WebSocketError::Http(failure(&host, error));
        let request = reqwest::Request::try_from(request).map_err(|error| failed(&error))?;
        check_literal(request.url(), &host).map_err(WebSocketError::Http)?;
        let response = self.0.execute(request).await.map_err(|error| failed(&error))?;
        if response.status() != StatusCode::SWITCHING_PROTOCOLS {
            let (status, headers) = (response.status(), Box::new(response.headers().clone()));
            return Err(WebSocketError::Refused { status, headers });
        }
        let accepted = response.headers().get(SEC_WEBSOCKET_ACCEPT);
        if accepted.is_none_or(|it| it.as_bytes() != derive_accept_key(key.as_bytes()).as_bytes()) {
            return Err(WebSocketError::WrongHandshake);
        }
        let connection = response.upgrade().await.map_err(|error| failed(&error))?;
        let limits = WebSocketConfig::default()
            .read_buffer_size(16 * 1024)
            .write_buffer_size(0)
            .max_write_buffer_size(2 * MAX_MESSAGE_BYTES)
            .max_message_size(Some(MAX_MESSAGE_BYTES))
            .max_frame_size(Some(MAX_MESSAGE_BYTES));
        let socket = WebSocketStream::from_raw_socket(connection, Role::Client, Some(limits));
        Ok(WebSocket(socket.await))
    }
}

/// The request for a WebSocket: its host, itself, and the key that its response must confirm.
fn handshake(url: &str) -> Result<(String, http::Request<Bytes>, String), HttpError> {
    let over_http = match url.split_once(':') {
        Some(("wss", rest)) => format!("https:{rest}"),
        Some(("ws", rest)) => format!("http:{rest}"),
        _ => url.to_owned(),
    };
    let key = generate_key();
    let request = http::Request::get(over_http)
        .header(CONNECTION, "Upgrade")
        .header(UPGRADE, "websocket")
        .header(HeaderName::from_static("sec-websocket-version"), HeaderValue::from_static("13"))
        .header(HeaderName::from_static("sec-websocket-key"), &key)
        .body(Bytes::new());
    // The URL has a ticket in its query, and is not quoted.
    let broken = |error: http::Error| HttpError::Broken {
        host: String::new(),
        cause: Explanation::quoted(error.to_string()),
    };
    let request = request.map_err(broken)?;
    let host = request.uri().authority().map(ToString::to_string).unwrap_or_default();
    Ok((host, request, key))
}

impl WebSocket {
    /// The next message. Pings of the protocol are answered here.
    ///
    /// # Errors
    /// [`WebSocketError`] when the connection is lost.
    pub async fn next(&mut self) -> Result<Message, WebSocketError> {
        loop {
            match self.0.next().await.ok_or(WebSocketError::Closed)?? {
                Framed::Text(text) => return Ok(Message::Text(text.as_str().to_owned())),
                Framed::Binary(bytes) => return Ok(Message::Binary(bytes)),
                Framed::Ping(_) | Framed::Pong(_) => return Ok(Message::Ping),
                Framed::Close(_) => return Err(WebSocketError::Closed),
                Framed::Frame(_) => {}
            }
        }
    }

    /// Sends a message.
    ///
    /// # Errors
    /// [`WebSocketError`] when the connection is lost.
    pub async fn send(&mut self, message: Message) -> Result<(), WebSocketError> {
        let framed = match message {
            Message::Text(text) => Framed::Text(text.into()),
            Message::Binary(bytes) => Framed::Binary(bytes),
            Message::Ping => Framed::Ping(Bytes::new()),
        };
        Ok(self.0.send(framed).await?)
    }

    /// Closes the connection; what is still on its way is lost.
    pub async fn close(mut self) {
        let _ = self.0.close(None).await;
    }
}
