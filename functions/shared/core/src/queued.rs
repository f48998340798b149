//! What a queue message is about.

use serde::{Deserialize, Serialize};

use crate::Timestamp;
use crate::grant::GrantKey;
use crate::ports::QueueMessage;
use crate::request::{BadRequest, Request, VERSION};
use crate::trace::TraceId;

/// A queue message, by its trigger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Queued {
    /// An approval was decided.
    Decision(Request),
    /// There is something to do about a grant.
    GrantDue(GrantDue),
}

/// There is something to do about a grant: what, stands in the ledger.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GrantDue {
    /// Version of this shape.
    v: u64,
    trigger: Trigger,
    /// When the message was made; ms since the Unix epoch.
    pub made_at: Timestamp,
    /// Links log lines about it.
    pub trace_id: TraceId,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Trigger {
    GrantDue(GrantKey),
}

impl GrantDue {
    /// A message about the grant, made now.
    #[must_use]
    pub fn new(key: GrantKey, now: Timestamp) -> Self {
        let trigger = Trigger::GrantDue(key);
        Self { v: VERSION, trigger, made_at: now, trace_id: TraceId::random() }
    }

    /// The grant.
    #[must_use]
    pub const fn key(&self) -> &GrantKey {
        let Trigger::GrantDue(key) = &self.trigger;
        key
    }
}

impl QueueMessage for Request {
    fn body(&self) -> String {
        self.to_json()
    }
}

impl QueueMessage for GrantDue {
    fn body(&self) -> String {
        serde_json::json!(self).to_string()
    }
}

impl Queued {
    /// When the event was received, or the message made.
    #[must_use]
    pub const fn made_at(&self) -> Timestamp {
        match self {
            Self::Decision(request) => request.received_at,
            Self::GrantDue(due) => due.made_at,
        }
    }

    /// Parses a queue message.
    ///
    /// # Errors
    /// As [`Request::parse`].
    pub fn parse(body: &str) -> Result<Self, BadRequest> {
        match serde_json::from_str::<GrantDue>(body) {
            Ok(due) if due.v == VERSION => Ok(Self::GrantDue(due)),
            _ => Request::parse(body).map(Self::Decision),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_about_a_grant_survives_the_queue() {
        let key = GrantKey { target: "nac".into(), subject: "mac:00:00:5e:00:53:01".into() };
        let due = GrantDue::new(key.clone(), Timestamp::from_millis(1));
        assert_eq!(due.key(), &key);
        assert_eq!(Queued::parse(&due.body()), Ok(Queued::GrantDue(due.clone())));
        let other = due.body().replace("\"v\":2", "\"v\":3");
        assert_eq!(Queued::parse(&other), Err(BadRequest::UnknownVersion { found: 3 }));
        let no_trigger = due.body().replace("grant_due", "reminder");
        assert!(matches!(Queued::parse(&no_trigger), Err(BadRequest::NotARequest { .. })));
    }
}
