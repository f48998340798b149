//! What a queue message is about.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::Timestamp;
use crate::grant::GrantKey;
use crate::person::PersonKey;
use crate::ports::QueueMessage;
use crate::request::{BadRequest, Request, VERSION, is_identifier};
use crate::sweep::SweepKey;
use crate::trace::TraceId;

/// A queue message, by its trigger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Queued {
    /// An approval was decided.
    Decision(Request),
    /// There is something to do about a grant.
    GrantDue(GrantDue),
    /// A person left.
    PersonLeft(PersonLeft),
    /// The instances of an approval definition are to be listed.
    SweepDue(SweepDue),
}

/// There is something to do about a grant: what, stands in the ledger.
pub type GrantDue = Notice<DueTrigger>;

/// A source sent the event that a person left; the source confirms it.
pub type PersonLeft = Notice<LeftTrigger>;

/// The instances of an approval definition are to be listed: how far back, stands in the ledger.
pub type SweepDue = Notice<SweepTrigger>;

/// A message that only names something.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notice<T> {
    /// Version of this shape.
    v: u64,
    trigger: T,
    /// When the message was made; ms since the Unix epoch.
    pub made_at: Timestamp,
    /// Links log lines about it.
    pub trace_id: TraceId,
}

/// The trigger of [`GrantDue`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DueTrigger {
    /// The grant.
    GrantDue(GrantKey),
}

/// The trigger of [`PersonLeft`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LeftTrigger {
    /// The person.
    PersonLeft(PersonKey),
}

/// The trigger of [`SweepDue`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SweepTrigger {
    /// The definition.
    SweepDue(SweepKey),
}

impl GrantDue {
    /// A message about the grant, made now.
    #[must_use]
    pub fn new(key: GrantKey, now: Timestamp) -> Self {
        let trigger = DueTrigger::GrantDue(key);
        Self { v: VERSION, trigger, made_at: now, trace_id: TraceId::random() }
    }

    /// The grant.
    #[must_use]
    pub const fn key(&self) -> &GrantKey {
        let DueTrigger::GrantDue(key) = &self.trigger;
        key
    }
}

impl PersonLeft {
    /// A message about the person, made now.
    #[must_use]
    pub const fn new(key: PersonKey, trace_id: TraceId, now: Timestamp) -> Self {
        let trigger = LeftTrigger::PersonLeft(key);
        Self { v: VERSION, trigger, made_at: now, trace_id }
    }

    /// The person.
    #[must_use]
    pub const fn key(&self) -> &PersonKey {
        let LeftTrigger::PersonLeft(key) = &self.trigger;
        key
    }
}

impl SweepDue {
    /// A message about the definition, made now.
    #[must_use]
    pub fn new(key: SweepKey, now: Timestamp) -> Self {
        let trigger = SweepTrigger::SweepDue(key);
        Self { v: VERSION, trigger, made_at: now, trace_id: TraceId::random() }
    }

    /// The definition.
    #[must_use]
    pub const fn key(&self) -> &SweepKey {
        let SweepTrigger::SweepDue(key) = &self.trigger;
        key
    }
}

impl QueueMessage for Request {
    fn body(&self) -> String {
        self.to_json()
    }
}

impl<T: Serialize + Send + Sync> QueueMessage for Notice<T> {
    fn body(&self) -> String {
        serde_json::json!(self).to_string()
    }
}

impl QueueMessage for Queued {
    fn body(&self) -> String {
        match self {
            Self::Decision(request) => request.body(),
            Self::GrantDue(due) => due.body(),
            Self::PersonLeft(left) => left.body(),
            Self::SweepDue(due) => due.body(),
        }
    }
}

impl Queued {
    /// When the event was received, or the message made.
    #[must_use]
    pub const fn made_at(&self) -> Timestamp {
        match self {
            Self::Decision(request) => request.received_at,
            Self::GrantDue(due) => due.made_at,
            Self::PersonLeft(left) => left.made_at,
            Self::SweepDue(due) => due.made_at,
        }
    }

    /// Parses a queue message.
    ///
    /// # Errors
    /// As [`Request::parse`].
    pub fn parse(body: &str) -> Result<Self, BadRequest> {
        if let Some(due) = notice(body) {
            return Ok(Self::GrantDue(due));
        }
        if let Some(due) = notice::<SweepTrigger>(body) {
            let SweepKey { source, definition_id } = due.key();
            for (field, value) in [("source", source), ("definition_id", definition_id)] {
                if !is_identifier(value) {
                    return Err(BadRequest::BadIdentifier { field });
                }
            }
            return Ok(Self::SweepDue(due));
        }
        match notice::<LeftTrigger>(body) {
            Some(left) if left.key().is_valid() => Ok(Self::PersonLeft(left)),
            Some(_) => Err(BadRequest::BadIdentifier { field: "person" }),
            None => Request::parse(body).map(Self::Decision),
        }
    }
}

fn notice<T: DeserializeOwned>(body: &str) -> Option<Notice<T>> {
    serde_json::from_str(body).ok().filter(|notice: &Notice<T>| notice.v == VERSION)
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

    #[test]
    fn a_message_about_a_sweep_survives_the_queue() {
        let key = SweepKey { source: "oa".into(), definition_id: "A-1".into() };
        let due = SweepDue::new(key, Timestamp::from_millis(1));
        assert_eq!(Queued::parse(&due.body()), Ok(Queued::SweepDue(due.clone())));
        let hostile = due.body().replace("A-1", "A#1");
        let refused = BadRequest::BadIdentifier { field: "definition_id" };
        assert_eq!(Queued::parse(&hostile), Err(refused));
    }

    #[test]
    fn a_message_about_a_person_survives_the_queue() {
        let key = PersonKey::new("oa", "ou_1").unwrap();
        let left = PersonLeft::new(key, TraceId::random(), Timestamp::from_millis(1));
        assert_eq!(Queued::parse(&left.body()), Ok(Queued::PersonLeft(left.clone())));
        let hostile = left.body().replace("ou_1", "../approval");
        let refused = BadRequest::BadIdentifier { field: "person" };
        assert_eq!(Queued::parse(&hostile), Err(refused));
    }
}
