//! The stream half of sources: a connection that the host opens and holds, over which events come.
//!
//! A [`Stream`] and its [`Session`] are the protocol of an office system, without I/O of the
//! connection: the host sends and receives their messages, and keeps their times.

#![warn(missing_docs)]

use std::fmt;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{HeaderMap, StatusCode};
use secrecy::SecretString;
use thiserror::Error;

use crate::Failure;
use crate::event::Inbound;
use crate::webhook::Outcome;
use crate::webhook_request::Rejection;

/// The largest message on a connection, and the largest event that is joined from several, in
/// bytes: events have about one kilobyte.
pub const MAX_MESSAGE_BYTES: usize = 4 * 1024 * 1024;

/// The pause after a refusal that only a person can change.
const REFUSED_PAUSE: Duration = Duration::from_mins(10);

/// The first pause after a failure; it doubles with each one, up to
/// [`Times::reconnect_every`].
const FIRST_PAUSE: Duration = Duration::from_secs(1);

/// A connection that is lost sooner counts as a failure.
const MIN_STABLE: Duration = Duration::from_secs(30);

/// The stream half of a source.
pub trait Stream: Send + Sync {
    /// Asks the office system where to connect.
    ///
    /// # Errors
    /// [`Failure::GiveUp`] when only a person can change the cause.
    fn endpoint(&self) -> BoxFuture<'_, Result<Endpoint, Failure>>;

    /// The failure that the response to a handshake means, if it is not the switch of protocols.
    fn handshake_failure(&self, status: StatusCode, headers: &HeaderMap) -> Failure;

    /// The time limit for the reply to an event: less than the office system waits.
    fn answer_within(&self) -> Duration;
}

/// The address of a connection, and the protocol on it.
pub struct Endpoint {
    /// `wss://…`; its query authenticates the host.
    pub url: SecretString,
    /// The protocol on that connection.
    pub session: Box<dyn Session>,
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Endpoint")
    }
}

/// The protocol on one connection.
pub trait Session: Send {
    /// The current times; the office system may change them with any message.
    fn times(&self) -> Times;

    /// The ping that the host sends on opening, and then every [`Times::ping_every`].
    fn ping(&self) -> Message;

    /// What follows from a message of the office system, received `now`.
    fn receive(&mut self, message: Message, now: Instant) -> Received;
}

/// A message on a connection.
#[derive(Clone, PartialEq, Eq)]
pub enum Message {
    /// Text in UTF-8.
    Text(String),
    /// Bytes.
    Binary(Bytes),
    /// A ping or pong of the WebSocket itself, which answers it, too.
    Ping,
}

/// Without the content, which may be of a form.
impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => write!(f, "Text({} bytes)", text.len()),
            Self::Binary(bytes) => write!(f, "Binary({} bytes)", bytes.len()),
            Self::Ping => f.write_str("Ping"),
        }
    }
}

/// What follows from a message.
pub enum Received {
    /// Nothing: it was for the session.
    Nothing,
    /// A reply, at once.
    Reply(Message),
    /// An event.
    Event {
        /// The event; a rejection if it is not for this source.
        event: Result<Inbound, Rejection>,
        /// Makes the reply to it.
        reply: MakeReply,
    },
    /// It cannot be read. No reply: the office system sends an event again that got none.
    Unreadable(MessageProblem),
    /// The office system is about to close the connection.
    Closing,
}

/// Makes the reply to an event from its outcome and the time that it took.
pub type MakeReply = Box<dyn FnOnce(&Outcome, Duration) -> Message + Send>;

/// The reason for which a message cannot be read. The number of its values is bounded: they are
/// labels of metrics, too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum MessageProblem {
    /// Not of the documented shape.
    #[error("a message on the connection is not of the documented shape")]
    Shape,
    /// An event in more pieces than are joined.
    #[error("an event on the connection claims more pieces than are joined")]
    TooManyPieces,
    /// An event with a piece that does not belong to the others.
    #[error("an event on the connection has a piece that does not belong to the others")]
    WrongPiece,
    /// An event that is larger than [`MAX_MESSAGE_BYTES`].
    #[error("an event on the connection is larger than {MAX_MESSAGE_BYTES} bytes")]
    TooLarge,
}

impl MessageProblem {
    /// The name in metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Shape => "shape",
            Self::TooManyPieces => "too_many_pieces",
            Self::WrongPiece => "wrong_piece",
            Self::TooLarge => "too_large",
        }
    }
}

/// The times of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Times {
    /// The interval of pings.
    pub ping_every: Duration,
    /// The longest silence of the office system: after it the connection counts as lost.
    pub silence: Duration,
    /// The longest pause before the first attempt to connect again; the pause is drawn, so that
    /// the clients of an office system that restarts do not all come at once.
    pub reconnect_within: Duration,
    /// The longest pause between further attempts.
    pub reconnect_every: Duration,
}

impl Default for Times {
    fn default() -> Self {
        Self {
            ping_every: Duration::from_mins(1),
            silence: Duration::from_secs(150),
            reconnect_within: Duration::from_secs(5),
            reconnect_every: Duration::from_mins(1),
        }
    }
}

/// The pauses between attempts to connect.
#[derive(Clone, Copy, Debug, Default)]
pub struct Pauses {
    times: Times,
    /// The failures since the last connection.
    failures: u32,
}

impl Pauses {
    /// The pause after a connection with these times was lost, which was open for `life`. `drawn`
    /// is a random number in `0.0..1.0`.
    #[must_use]
    pub fn after_loss(&mut self, times: Times, life: Duration, drawn: f64) -> Duration {
        self.times = times;
        if life < MIN_STABLE {
            return self.doubled(drawn);
        }
        self.failures = 0;
        times.reconnect_within.mul_f64(drawn)
    }

    /// The pause after an attempt to connect failed. `drawn` is a random number in `0.0..1.0`.
    #[must_use]
    pub fn after_failure(&mut self, failure: &Failure, drawn: f64) -> Duration {
        match failure {
            Failure::GiveUp { .. } => REFUSED_PAUSE,
            Failure::Retry { after: Some(after), .. } => (*after).min(REFUSED_PAUSE),
            Failure::Retry { after: None, .. } => self.doubled(drawn),
        }
    }

    /// Doubles the pause, up to [`Times::reconnect_every`]; returns a random part of it, at least
    /// half.
    fn doubled(&mut self, drawn: f64) -> Duration {
        let pause = FIRST_PAUSE * 2_u32.saturating_pow(self.failures.min(16));
        self.failures = self.failures.saturating_add(1);
        let pause = pause.min(self.times.reconnect_every.max(FIRST_PAUSE));
        pause.mul_f64(0.5 + drawn / 2.0)
    }
}

#[cfg(test)]
mod tests {
    use crate::Class;
    use crate::explain::Explanation;

    use super::*;

    #[test]
    fn pauses_double_up_to_the_interval_and_a_refusal_waits_ten_minutes() {
        let seconds = Duration::from_secs;
        let times = Times { reconnect_every: seconds(10), ..Times::default() };
        let (long, short) = (MIN_STABLE, MIN_STABLE / 2);
        let mut pauses = Pauses::default();
        assert_eq!(pauses.after_loss(times, long, 0.5), times.reconnect_within / 2);
        let busy = Failure::retry(Class::SourceUnavailable, Explanation::quoted("busy"));
        // The longest that can be drawn, nearly.
        let drawn = [0; 5].map(|_| pauses.after_failure(&busy, 1.0));
        assert_eq!(drawn, [1, 2, 4, 8, 10].map(seconds));
        assert_eq!(pauses.after_failure(&busy, 0.0), seconds(5));
        let refused = Failure::give_up(Class::SourceRejected, Explanation::quoted("refused"));
        assert_eq!(pauses.after_failure(&refused, 0.0), REFUSED_PAUSE);
        assert_eq!(pauses.after_loss(times, long, 0.0), Duration::ZERO);
        let drawn = [0; 3].map(|_| pauses.after_loss(times, short, 1.0));
        assert_eq!(drawn, [1, 2, 4].map(seconds), "connections that are lost at once");
    }
}
