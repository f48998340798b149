//! The open connections of a stub, and the replies that are awaited over them.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::{mpsc, oneshot, watch};

/// Connections that carry messages `M` to the client and replies `R` back.
#[derive(Debug)]
pub(super) struct Connections<M, R> {
    state: Mutex<State<M, R>>,
    /// The number of open connections. Changed under the lock of `state`.
    open: watch::Sender<usize>,
    /// The number of connections that were opened, with those that are closed.
    opened: watch::Sender<u64>,
    /// The number of times that a connection was asked for.
    asked: watch::Sender<usize>,
}

#[derive(Debug)]
struct State<M, R> {
    open: BTreeMap<u64, mpsc::UnboundedSender<M>>,
    awaited: HashMap<String, oneshot::Sender<R>>,
    next_message: u64,
}

impl<M, R> Default for Connections<M, R> {
    fn default() -> Self {
        let state = State { open: BTreeMap::new(), awaited: HashMap::new(), next_message: 0 };
        Self {
            state: Mutex::new(state),
            open: watch::channel(0).0,
            opened: watch::channel(0).0,
            asked: watch::channel(0).0,
        }
    }
}

impl<M: Clone, R> Connections<M, R> {
    fn lock(&self) -> MutexGuard<'_, State<M, R>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a question for a connection.
    pub(super) fn asked(&self) {
        self.asked.send_modify(|asked| *asked += 1);
    }

    /// Adds a connection, whose messages `sender` takes; returns its number.
    pub(super) fn add(&self, sender: mpsc::UnboundedSender<M>) -> u64 {
        let mut state = self.lock();
        let id = *self.opened.borrow() + 1;
        state.open.insert(id, sender);
        self.open.send_replace(state.open.len());
        self.opened.send_replace(id);
        id
    }

    /// Removes a connection that has ended.
    pub(super) fn remove(&self, id: u64) {
        let mut state = self.lock();
        state.open.remove(&id);
        self.open.send_replace(state.open.len());
    }

    /// Ends all connections; no awaited reply will come.
    pub(super) fn close(&self) {
        let mut state = self.lock();
        state.open.clear();
        state.awaited.clear();
        self.open.send_replace(0);
    }

    /// Sends a message over the newest connection and returns its reply, `None` if the connection
    /// ends before. `message` makes it of its id.
    pub(super) async fn ask(&self, message: impl FnOnce(&str) -> M) -> Option<R> {
        let reply = {
            let mut state = self.lock();
            state.next_message += 1;
            let message_id = format!("m-{}", state.next_message);
            let (_, newest) = state.open.last_key_value()?;
            newest.send(message(&message_id)).ok()?;
            let (sender, reply) = oneshot::channel();
            state.awaited.insert(message_id, sender);
            reply
        };
        reply.await.ok()
    }

    /// Sends a message over all connections, without a reply.
    pub(super) fn send_to_all(&self, message: &M) {
        for connection in self.lock().open.values() {
            let _ = connection.send(message.clone());
        }
    }

    /// Hands a reply to the one that awaits it.
    pub(super) fn take_reply(&self, message_id: &str, reply: R) {
        if let Some(awaited) = self.lock().awaited.remove(message_id) {
            let _ = awaited.send(reply);
        }
    }

    /// Returns when so many connections are open.
    pub(super) async fn wait_until_open(&self, count: usize) {
        let _ = self.open.subscribe().wait_for(|open| *open == count).await;
    }

    /// Returns when so many connections have been opened, those that are closed again among them.
    pub(super) async fn wait_until_opened(&self, count: u64) {
        let _ = self.opened.subscribe().wait_for(|opened| *opened >= count).await;
    }

    /// Returns when a connection was asked for so often.
    pub(super) async fn wait_until_asked(&self, count: usize) {
        let _ = self.asked.subscribe().wait_for(|asked| *asked >= count).await;
    }
}
