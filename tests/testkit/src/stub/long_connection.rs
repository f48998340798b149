//! Feishu's side of long connections: offers them, pushes events over them, and reads the replies.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Json;
use axum::body::Bytes;
use axum::extract::Request;
use axum::response::Response;
use futures_util::{SinkExt, StreamExt};
use greenlight_sources::feishu::FeishuApp;
use greenlight_sources::feishu::frame::{CONTROL, DATA, Frame, Header, key};
use prost::Message as _;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio_tungstenite::tungstenite::Message;

use super::connections::Connections;
use super::websocket::{self, Socket};

/// The `service_id` of every connection.
const SERVICE: i32 = 33_554_678;

/// The long connections of an app.
#[derive(Debug, Default)]
pub(super) struct LongConnections {
    pub(super) all: Connections<Vec<Frame>, i64>,
    settings: Mutex<Settings>,
}

#[derive(Debug)]
struct Settings {
    /// The code of the answer to the question for a connection.
    code: i64,
    /// Whether pings are answered.
    answers_pings: bool,
    /// The interval of pings, in seconds.
    ping_every: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self { code: 0, answers_pings: true, ping_every: 90 }
    }
}

impl LongConnections {
    fn lock(&self) -> MutexGuard<'_, Settings> {
        self.settings.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// `POST /callback/ws/endpoint`
    pub(super) fn offer(&self, app: &FeishuApp, address: &str, body: &Bytes) -> Json<Value> {
        self.all.asked();
        let body: Value = serde_json::from_slice(body).unwrap_or_default();
        let settings = self.lock();
        if settings.code != 0 {
            return Json(json!({"code": settings.code, "msg": "refused", "data": {}}));
        }
        if body["AppID"] != app.app_id || body["AppSecret"] != app.app_secret {
            return Json(json!({"code": 514, "msg": "auth failed", "data": {}}));
        }
        let url = format!(
            "ws://{address}/ws/v2?device_id=7300000000000000001&service_id={SERVICE}&fpid=493\
             &access_key=k&ticket=t"
        );
        let config = config(settings.ping_every);
        Json(json!({"code": 0, "msg": "", "data": {"URL": url, "ClientConfig": config}}))
    }

    /// `GET /ws/v2`
    pub(super) fn accept(self: &Arc<Self>, request: Request) -> Response {
        let connections = Arc::clone(self);
        websocket::accept(request, async move |socket| connections.serve(socket).await)
    }

    async fn serve(&self, mut socket: Socket) {
        let (sender, mut frames) = mpsc::unbounded_channel();
        // Before its first ping a client may not listen yet.
        let mut opening = Some(sender);
        let mut id = None;
        loop {
            tokio::select! {
                pushed = frames.recv() => {
                    let Some(pushed) = pushed else { break };
                    for frame in pushed {
                        if socket.send(message(&frame)).await.is_err() {
                            break;
                        }
                    }
                }
                received = socket.next() => match received {
                    Some(Ok(Message::Binary(bytes))) => {
                        let Ok(frame) = Frame::decode(bytes) else { break };
                        if let Some(sender) = opening.take() {
                            id = Some(self.all.add(sender));
                        }
                        if let Some(reply) = self.take(&frame) {
                            let _ = socket.send(message(&reply)).await;
                        }
                    }
                    Some(Ok(Message::Close(_)) | Err(_)) | None => break,
                    Some(Ok(_)) => {}
                },
            }
        }
        let _ = socket.close(None).await;
        if let Some(id) = id {
            self.all.remove(id);
        }
    }

    /// A ping is answered; a reply goes to the one that awaits it.
    fn take(&self, frame: &Frame) -> Option<Frame> {
        if frame.method == CONTROL {
            let settings = self.lock();
            let payload = config(settings.ping_every).to_string();
            return settings.answers_pings.then(|| Frame {
                headers: vec![Header::new(key::TYPE, "pong")],
                payload: Some(payload.into()),
                ..frame.clone()
            });
        }
        let reply: Value = serde_json::from_slice(frame.payload.as_deref()?).ok()?;
        self.all.take_reply(frame.header(key::MESSAGE_ID)?, reply["code"].as_i64()?);
        None
    }

    /// Sends an event over the newest connection, in pieces of which the last comes first; returns
    /// the code of its reply, `None` if there is none. Feishu sends it over any one of them.
    pub(super) async fn push(&self, event: &[u8], pieces: usize) -> Option<i64> {
        self.all.ask(|message_id| frames(event, pieces, message_id)).await
    }

    pub(super) fn set_code(&self, code: i64) {
        self.lock().code = code;
    }

    pub(super) fn set_pings(&self, every: u64, are_answered: bool) {
        let mut settings = self.lock();
        (settings.ping_every, settings.answers_pings) = (every, are_answered);
    }
}

fn config(ping_every: u64) -> Value {
    json!({"ReconnectCount": -1, "ReconnectInterval": 1, "ReconnectNonce": 0,
        "PingInterval": ping_every})
}

fn message(frame: &Frame) -> Message {
    Message::Binary(frame.encode_to_vec().into())
}

/// The frames of an event, with every header that the official clients need.
fn frames(event: &[u8], pieces: usize, message_id: &str) -> Vec<Frame> {
    let size = event.len().div_ceil(pieces).max(1);
    let sum = event.len().div_ceil(size).to_string();
    let frame = |(seq, piece): (usize, &[u8])| {
        let headers = [
            (key::TYPE, "event"),
            (key::MESSAGE_ID, message_id),
            (key::SUM, &sum),
            (key::SEQ, &seq.to_string()),
            ("trace_id", "tr-1"),
            ("timestamp", "1700000000000"),
        ];
        Frame {
            seq_id: seq as u64 + 1,
            log_id: 42,
            service: SERVICE,
            method: DATA,
            headers: headers.map(|(key, value)| Header::new(key, value)).to_vec(),
            payload: Some(Bytes::copy_from_slice(piece)),
            log_id_new: Some("lognew-1".to_owned()),
            ..Frame::default()
        }
    };
    event.chunks(size).enumerate().map(frame).rev().collect()
}
