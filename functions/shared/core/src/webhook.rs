//! The webhook half of sources: a request comes in, and its outcome goes back as the office system
//! expects it.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::time::Duration;

use serde_json::json;
use thiserror::Error;

use crate::Timestamp;
use crate::event::Inbound;
use crate::ports::QueueError;
use crate::queued::Queued;
use crate::request::BadRequest;
use crate::secret::Secret;
use crate::webhook_request::{Rejection, WebhookRequest};

/// The webhook half of a source.
pub trait Webhook: Debug + Send + Sync {
    /// The event in `request`, if the office system sent it.
    ///
    /// # Errors
    /// [`Rejection`] if it did not, or if the body is not of the documented shape.
    fn parse(
        &self,
        request: &WebhookRequest,
        secret: &Secret,
        now: Timestamp,
    ) -> Result<Inbound, Rejection>;

    /// The reply that the office system expects to `outcome`; some sign or encrypt it.
    fn reply(&self, outcome: &Outcome, _secret: &Secret, _now: Timestamp) -> Reply {
        Reply::json(outcome)
    }

    /// The time limit for a reply: less than the office system waits.
    fn answer_within(&self) -> Duration;
}

/// The webhook halves of all sources, by name.
#[derive(Debug)]
pub struct Webhooks {
    by_source: BTreeMap<String, Box<dyn Webhook>>,
    default: Option<String>,
}

impl Webhooks {
    /// `default` is the source of requests whose path names none.
    #[must_use]
    pub const fn new(
        by_source: BTreeMap<String, Box<dyn Webhook>>,
        default: Option<String>,
    ) -> Self {
        Self { by_source, default }
    }

    /// The source for a request, with its name.
    #[must_use]
    pub fn find(&self, name: Option<&str>) -> Option<(&str, &dyn Webhook)> {
        let name = name.or(self.default.as_deref())?;
        let (name, webhook) = self.by_source.get_key_value(name)?;
        Some((name.as_str(), &**webhook))
    }
}

/// The outcome of a webhook request.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// A URL check: the text is sent back.
    Challenge(String),
    /// An approval was decided, or a person left: the message is in the queue. The worker looks for
    /// the flow.
    Enqueued(Queued),
    /// Authentic, and nothing to do.
    Ignored(Ignored),
    /// Not authentic, or not readable.
    Rejected(Rejection),
    /// An approval was decided, but the queue did not take the request: the sender must retry.
    NotEnqueued(QueueError),
}

/// The reason for which an authentic event is ignored.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Ignored {
    /// Of a type that greenlight does not use.
    #[error("events of the type `{0}` are not of interest")]
    EventType(String),
    /// The instance did not end, or not with a decision that can start a flow.
    #[error("the approval's new status is not of interest")]
    Status,
    /// Authentic, of a type that greenlight uses, but not of the documented shape: needs a
    /// developer.
    #[error("an event of the type `{0}` is not of the documented shape")]
    Unreadable(String),
    /// Authentic, and without what the configuration of its source expects.
    #[error(
        "the event does not match `{0}` of its source in flows.toml: there is no value at its place, \
         or the value is not listed"
    )]
    Unmapped(&'static str),
    /// Authentic and of a type that greenlight uses, but with an invalid identifier.
    #[error(transparent)]
    BadIdentifier(BadRequest),
}

impl Outcome {
    /// The name in logs and metrics.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Challenge(_) => "challenge",
            Self::Enqueued(_) => "enqueued",
            Self::Ignored(reason) if reason.is_failure() => "unreadable",
            Self::Ignored(_) => "ignored",
            Self::Rejected(_) => "rejected",
            Self::NotEnqueued(_) => "not_enqueued",
        }
    }
}

impl Ignored {
    /// Whether the event may be one that was meant: it raises an alarm.
    pub(crate) const fn is_failure(&self) -> bool {
        matches!(self, Self::Unreadable(_) | Self::Unmapped(_) | Self::BadIdentifier(_))
    }

    /// The name in metrics.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::EventType(_) => "event_type",
            Self::Status => "status",
            Self::Unreadable(_) => "shape",
            Self::Unmapped(_) => "mapping",
            Self::BadIdentifier(_) => "identifier",
        }
    }
}

/// An HTTP response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    pub status: u16,
    pub content_type: &'static str,
    pub body: String,
}

impl Reply {
    /// 200 for every authentic request, used or not, unless it was not enqueued; `msg` says in JSON
    /// what happened.
    #[must_use]
    pub fn json(outcome: &Outcome) -> Self {
        let (status, msg) = match outcome {
            Outcome::Challenge(_) | Outcome::Enqueued(_) | Outcome::Ignored(_) => {
                (200, "success".to_owned())
            }
            Outcome::Rejected(rejection) => (rejection.status(), rejection.to_string()),
            Outcome::NotEnqueued(_) => (503, "try again later".to_owned()),
        };
        Self::of_json(status, &json!({ "msg": msg }))
    }

    /// A text.
    #[must_use]
    pub const fn of_text(status: u16, body: String) -> Self {
        Self { status, content_type: "text/plain; charset=utf-8", body }
    }

    /// A JSON document.
    #[must_use]
    pub fn of_json(status: u16, body: &serde_json::Value) -> Self {
        Self { status, content_type: "application/json", body: body.to_string() }
    }
}
