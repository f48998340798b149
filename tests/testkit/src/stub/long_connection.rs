//! Feishu's side of long connections: offers them, pushes events over them, and reads the replies.

use std::collections::HashMap;
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
use tokio::sync::{mpsc, oneshot, watch};
use tokio_tungstenite::tungstenite::Message;

use super::websocket::{self, Socket};

/// The `service_id` of every connection.
const SERVICE: i32 = 33_554_678;

/// The long connections of an app.
#[derive(Debug)]
pub(super) struct LongConnections {
    state: Mutex<State>,
    /// The number of open connections.
    open: watch::Sender<usize>,
    /// The number of questions for a connection.
    asked: watch::Sender<usize>,
}

#[derive(Debug)]
struct State {
    /// The messages to each open connection, by its number; an end closes it.
    connections: HashMap<u64, mpsc::UnboundedSender<Vec<Frame>>>,
    /// Who waits for the reply to an event.
    waiting: HashMap<String, oneshot::Sender<i64>>,
    /// Numbers connections and events.
    next: u64,
    /// The code of the answer to the question for a connection.
    code: i64,
    /// Whether pings are answered.
    answers_pings: bool,
    /// The interval of pings, in seconds.
    ping_every: u64,
}

impl Default for LongConnections {
    fn default() -> Self {
        let state = State {
            connections: HashMap::new(),
            waiting: HashMap::new(),
            next: 0,
            code: 0,
            answers_pings: true,
            ping_every: 90,
        };
        let zero = || watch::channel(0).0;
        Self { state: Mutex::new(state), open: zero(), asked: zero() }
    }
}

impl LongConnections {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// `POST /callback/ws/endpoint`
    pub(super) fn offer(&self, app: &FeishuApp, address: &str, body: &Bytes) -> Json<Value> {
        self.asked.send_modify(|asked| *asked += 1);
        let body: Value = serde_json::from_slice(body).unwrap_or_default();
        let state = self.lock();
        if state.code != 0 {
            return Json(json!({"code": state.code, "msg": "refused", "data": {}}));
        }
        if body["AppID"] != app.app_id || body["AppSecret"] != app.app_secret {
            return Json(json!({"code": 514, "msg": "auth failed", "data": {}}));
        }
        let url = format!(
            "ws://{address}/ws/v2?device_id=7300000000000000001&service_id={SERVICE}&fpid=493\
             &access_key=k&ticket=t"
        );
        let config = config(state.ping_every);
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
        let mut id = 0;
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
                            id = self.open(sender);
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
        self.lock().connections.remove(&id);
        if opening.is_none() {
            self.open.send_modify(|open| *open -= 1);
        }
    }

    /// Adds a connection, and returns its number.
    fn open(&self, sender: mpsc::UnboundedSender<Vec<Frame>>) -> u64 {
        let mut state = self.lock();
        state.next += 1;
        let id = state.next;
        state.connections.insert(id, sender);
        self.open.send_modify(|open| *open += 1);
        id
    }

    /// A ping is answered; a reply goes to those who wait for it.
    fn take(&self, frame: &Frame) -> Option<Frame> {
        let mut state = self.lock();
        if frame.method == CONTROL {
            let payload = config(state.ping_every).to_string();
            return state.answers_pings.then(|| Frame {
                headers: vec![Header::new(key::TYPE, "pong")],
                payload: Some(payload.into()),
                ..frame.clone()
            });
        }
        let waiting = state.waiting.remove(frame.header(key::MESSAGE_ID)?)?;
        let reply: Value = serde_json::from_slice(frame.payload.as_deref()?).ok()?;
        let _ = waiting.send(reply["code"].as_i64()?);
        None
    }

    /// Sends an event over one of the open connections, in pieces of which the last comes first;
    /// returns the code of its reply, `None` if there is none.
    pub(super) async fn push(&self, event: &[u8], pieces: usize) -> Option<i64> {
        let reply = {
            let mut state = self.lock();
            state.next += 1;
            let message_id = format!("m-{}", state.next);
            let (sender, reply) = oneshot::channel();
            state.waiting.insert(message_id.clone(), sender);
            // As at Feishu, any one of them gets it.
            let connection = state.connections.values().next()?;
            connection.send(frames(event, pieces, &message_id)).ok()?;
            reply
        };
        reply.await.ok()
    }

    /// Sends frames as they are, to every open connection.
    pub(super) fn push_raw(&self, frames: &[Frame]) {
        for connection in self.lock().connections.values() {
            let _ = connection.send(frames.to_vec());
        }
    }

    /// Closes all connections.
    pub(super) fn close(&self) {
        let mut state = self.lock();
        state.connections.clear();
        state.waiting.clear();
    }

    pub(super) fn set_code(&self, code: i64) {
        self.lock().code = code;
    }

    pub(super) fn set_pings(&self, every: u64, are_answered: bool) {
        let mut state = self.lock();
        (state.ping_every, state.answers_pings) = (every, are_answered);
    }

    pub(super) async fn wait_until_open(&self, count: usize) {
        let _ = self.open.subscribe().wait_for(|open| *open == count).await;
    }

    pub(super) async fn wait_until_asked(&self, count: usize) {
        let _ = self.asked.subscribe().wait_for(|asked| *asked >= count).await;
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
