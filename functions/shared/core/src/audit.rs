//! The audit data: the history of each request, the grants of each subject with their reason, and
//! the status of the system.
//!
//! When an attempt ends it leaves an [`AttemptRecord`] in the ledger. A store indexes it by
//! [`Lookup`], so that an operator finds a request by event id, instance, subject or person.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::Timestamp;
use crate::explain::Explanation;
use crate::grant::{GrantRecord, Hold, HoldId};
use crate::instance::Instance;
use crate::ledger::{Effect, EffectKey, State};
use crate::request::Request;
use crate::retry::RetryState;
use crate::subject::{self, PERSON, Subject};

/// The data that an attempt files about its request when it ends.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AttemptRecord {
    pub flow: String,
    /// Whether the source was read; the fields below are unknown before that.
    pub is_read: bool,
    /// The applicant, by the source's name for people; empty when the source names none.
    pub applicant: String,
    /// The form number that people see; empty when there is none.
    pub form_number: String,
    /// The valid subjects of the form.
    pub subjects: BTreeSet<Subject>,
    /// The people who hold what is granted, where that is not the applicant.
    pub owners: BTreeMap<EffectKey, String>,
    /// The effects that were done, by this attempt and by earlier ones.
    pub effects: BTreeMap<EffectKey, Effect>,
    /// Whether an earlier attempt ended with work left.
    pub has_waited: bool,
}

impl AttemptRecord {
    /// Takes what the source says about the request.
    pub(crate) fn see(&mut self, instance: &Instance) {
        self.is_read = true;
        self.applicant.clone_from(&instance.applicant);
        self.form_number.clone_from(&instance.form_number);
    }

    /// The keys under which `request` is filed.
    #[must_use]
    pub fn lookups(&self, request: &Request) -> BTreeSet<Lookup> {
        let people = self.owners.values().chain([&self.applicant]);
        let people =
            people.filter(|person| !person.is_empty()).map(|person| Lookup::person(person));
        let named = [Lookup::event(&request.event_id), Lookup::instance(&request.instance_id)];
        let subjects = self.subjects.iter().map(Lookup::subject);
        named.into_iter().chain(subjects).chain(people).collect()
    }
}

/// A key to search requests by.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Lookup {
    kind: &'static str,
    value: String,
}

/// The kinds of lookups that are no kinds of subjects.
const EVENT: &str = "event";
const INSTANCE: &str = "instance";

impl Lookup {
    /// An event about the request.
    #[must_use]
    pub fn event(id: &str) -> Self {
        Self { kind: EVENT, value: id.to_owned() }
    }

    /// The approval instance.
    #[must_use]
    pub fn instance(id: &str) -> Self {
        Self { kind: INSTANCE, value: id.to_owned() }
    }

    /// The applicant, or the owner of a grant, by the source's name for people.
    #[must_use]
    pub fn person(id: &str) -> Self {
        Self { kind: subject::SubjectKind::name(&PERSON), value: id.to_owned() }
    }

    /// A subject of the form.
    #[must_use]
    pub fn subject(subject: &Subject) -> Self {
        Self { kind: subject.kind().name(), value: subject.value().to_owned() }
    }

    /// The possible meanings of `text`: a subject in any notation, a person, an event or an
    /// instance. Twelve digits can be an address and the number of an instance.
    #[must_use]
    pub fn guess(text: &str) -> Vec<Self> {
        let text = text.trim();
        let of = |kind: &&'static _| Subject::parse(*kind, text).ok();
        let subjects = subject::KINDS.iter().filter_map(of).map(|subject| Self::subject(&subject));
        subjects.chain([Self::event(text), Self::instance(text)]).collect()
    }

    /// Whether it names a request, and nothing that several requests can be about.
    #[must_use]
    pub fn is_of_request(&self) -> bool {
        matches!(self.kind, EVENT | INSTANCE)
    }

    /// Whether it is the subject with this key.
    #[must_use]
    pub fn is_of_subject(&self, subject: &str) -> bool {
        subject::key_parts(subject) == Some((self.kind, &self.value))
    }

    /// Whether it has this value, whatever its kind.
    #[must_use]
    pub fn has_value(&self, text: &str) -> bool {
        self.value == text
    }

    /// The key under which the stores file it: `mac#00:00:5e:00:53:01`.
    #[must_use]
    pub fn key(&self) -> String {
        format!("{}#{}", self.kind, self.value)
    }
}

/// The day of `moment` (UTC); requests are filed under the day of their first claim.
#[must_use]
pub const fn day(moment: Timestamp) -> i64 {
    moment.as_seconds().div_euclid(86_400)
}

/// Everything that the ledger knows about one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestHistory {
    /// The key in the ledger: source, definition, instance and decision.
    pub key: String,
    /// The approval definition.
    pub definition_id: String,
    /// The last event about it.
    pub event_id: String,
    /// When that event was received; `None` if no claim of the request is stored.
    pub received_at: Option<Timestamp>,
    /// When it was claimed for the first time; `None` if no claim of it is stored.
    pub first_claimed_at: Option<Timestamp>,
    /// The flow, once an attempt has ended.
    pub flow: Option<String>,
    /// The applicant, once the source was read.
    pub applicant: Option<String>,
    /// The form number, once the source was read.
    pub form_number: Option<String>,
    /// The state in the ledger.
    pub state: State,
    /// The number of claims.
    pub attempt: u32,
    /// The effects that were done.
    pub effects: BTreeMap<EffectKey, Effect>,
    /// The last failure, if there was one.
    pub last_failure: Option<LastFailure>,
    /// The retry state, if the last attempt ended with work left.
    pub retry: Option<RetryState>,
}

/// The failure of an attempt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastFailure {
    /// The class of the reason, see [`crate::Class`].
    pub class: String,
    /// The cause, with the response of the target.
    pub cause: Explanation,
    /// The target that caused it, if one did.
    pub target: Option<String>,
    /// When the attempt ended.
    pub at: Timestamp,
}

impl RequestHistory {
    /// Source, definition, instance and decision.
    #[must_use]
    pub fn key_parts(&self) -> Option<[&str; 4]> {
        let mut parts = self.key.split('#');
        let found = [parts.next()?, parts.next()?, parts.next()?, parts.next()?];
        parts.next().is_none().then_some(found)
    }

    /// The approval instance.
    #[must_use]
    pub fn instance_id(&self) -> &str {
        self.key_parts().map_or("?", |[_, _, instance, _]| instance)
    }

    /// The status at `now`.
    #[must_use]
    pub fn status(&self, now: Timestamp) -> RequestStatus {
        match &self.state {
            State::Running(lease) if now < lease.until => RequestStatus::Running,
            State::Running(_) => RequestStatus::Retrying,
            State::Done { .. } => RequestStatus::Succeeded,
            State::Failed { .. } => RequestStatus::Failed,
        }
    }

    /// When the next attempt begins, if the request waits for one; a redrive can start it earlier.
    #[must_use]
    pub fn next_attempt(&self, now: Timestamp) -> Option<Timestamp> {
        let is_waiting = self.status(now) == RequestStatus::Retrying;
        self.retry
            .as_ref()
            .filter(|retry| is_waiting && !retry.gave_up)
            .map(RetryState::next_attempt)
    }

    /// The time from the event to the end; `None` while the request is open, or when the time of
    /// the event is unknown.
    #[must_use]
    pub fn took(&self) -> Option<Duration> {
        let (State::Done { at, .. } | State::Failed { at, .. }) = self.state else { return None };
        Some(at.since(self.received_at?))
    }
}

/// Keeps the requests that wait for an attempt, the one with the next attempt first.
#[must_use]
pub fn waiting_at(mut histories: Vec<RequestHistory>, now: Timestamp) -> Vec<RequestHistory> {
    histories.retain(|history| history.next_attempt(now).is_some());
    histories.sort_by_key(|history| history.next_attempt(now));
    histories
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RequestStatus {
    /// A worker holds its lease.
    Running,
    /// It waits for its next attempt.
    Retrying,
    /// Every effect was done.
    Succeeded,
    /// It is, or was, in the dead-letter queue.
    Failed,
}

impl RequestStatus {
    /// Every status.
    pub const ALL: [Self; 4] = [Self::Running, Self::Retrying, Self::Succeeded, Self::Failed];

    /// The status for the stored name of a [`State`]; a request that has not ended counts as
    /// running, as its name alone does not tell whether the lease is still held.
    #[must_use]
    pub fn of_state_name(name: &str) -> Self {
        match name {
            "done" => Self::Succeeded,
            "failed" => Self::Failed,
            _ => Self::Running,
        }
    }

    /// The name in tables, metrics and JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Retrying => "retrying",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
        }
    }
}

/// The access of a subject at a target, with the approvals that hold it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    pub target: String,
    /// As [`Subject::key`] writes it.
    pub subject: String,
    pub record: GrantRecord,
}

impl Grant {
    /// The kind and the canonical value of the subject.
    #[must_use]
    pub fn kind_and_value(&self) -> (&str, &str) {
        subject::key_parts(&self.subject).unwrap_or(("", &self.subject))
    }

    /// Whether `text` names its subject, in any notation.
    #[must_use]
    pub fn is_of(&self, text: &str) -> bool {
        Lookup::guess(text).iter().any(|lookup| lookup.is_of_subject(&self.subject))
    }

    /// The holds that keep the access, the oldest first; all that ended when none keeps it.
    #[must_use]
    pub fn holders(&self) -> Vec<(&HoldId, &Hold)> {
        let is_held = self.record.is_held();
        let holds = self.record.holds.iter().filter(|(_, hold)| hold.is_live() == is_held);
        let mut holds: Vec<_> = holds.collect();
        holds.sort_by_key(|(id, hold)| (hold.since, *id));
        holds
    }
}

/// The flows that a worker runs, recorded at its start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeployedFlows {
    /// The text of `flows.toml`, with `${NAME}` not replaced.
    pub text: String,
    /// The SHA-256 of all connectors, in hexadecimal digits.
    pub connectors: String,
    /// When a worker first started with them.
    pub since: Timestamp,
}

/// A message in the dead-letter queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredDeadLetter {
    /// The id: a number on one machine, the SQS message id on AWS.
    pub id: String,
    /// The message body, unchanged.
    pub body: String,
    /// The failure; `None` when the queue itself moved the message and the ledger does not know the
    /// request.
    pub last_failure: Option<LastFailure>,
    /// The number of receives; `None` when it is unknown.
    pub receive_count: Option<u32>,
    /// When the queue first delivered it, where that is known.
    pub first_received: Option<Timestamp>,
}

/// Dead letters that another receiver holds; they are hidden until it returns them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Elsewhere {
    /// The number, as the queue counts them.
    pub count: usize,
    /// When they are usually visible again; a receiver can hide them for up to 12 hours.
    pub until: Timestamp,
}

impl StoredDeadLetter {
    /// The class of the reason; `unknown` when there is none.
    #[must_use]
    pub fn class(&self) -> &str {
        self.last_failure.as_ref().map_or("unknown", |last_failure| &last_failure.class)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lease::Lease;

    #[test]
    fn guess_has_every_meaning_of_a_text() {
        let keys = |text| -> Vec<_> { Lookup::guess(text).iter().map(Lookup::key).collect() };
        assert_eq!(keys(" 0000.5E00.5301 ")[0], "mac#00:00:5e:00:53:01");
        assert_eq!(keys("2001:DB8::0:7")[0], "ip#2001:db8::7");
        assert_eq!(keys("Li@example.com")[0], "email#li@example.com");
        assert_eq!(keys("I-1"), ["person#I-1", "text#I-1", "event#I-1", "instance#I-1"]);
        let twelve_digits = keys("202611290001");
        assert!(twelve_digits.contains(&"instance#202611290001".to_owned()), "{twelve_digits:?}");
    }

    fn history(key: &str, state: State, retry: Option<RetryState>) -> RequestHistory {
        RequestHistory {
            key: key.to_owned(),
            definition_id: String::new(),
            event_id: String::new(),
            received_at: None,
            first_claimed_at: None,
            flow: None,
            applicant: None,
            form_number: None,
            state,
            attempt: 1,
            effects: BTreeMap::new(),
            last_failure: None,
            retry,
        }
    }

    #[test]
    fn requests_that_wait_are_those_with_a_next_attempt_the_soonest_first() {
        let running =
            |until| State::Running(Lease { id: "a".into(), until: Timestamp::from_millis(until) });
        let done = State::Done { at: Timestamp::default(), by: "a".into() };
        let waits = |wait_ms| Some(RetryState { wait_ms, ..RetryState::default() });
        let gave_up = waits(1).map(|retry| RetryState { gave_up: true, ..retry });
        let histories = vec![
            history("late", running(0), waits(20)),
            history("held", running(9), waits(1)),
            history("gave up", running(0), gave_up),
            history("done", done, waits(1)),
            history("never released", running(0), None),
            history("soon", running(0), waits(10)),
        ];
        let waiting = waiting_at(histories, Timestamp::from_millis(5));
        let keys: Vec<_> = waiting.iter().map(|history| history.key.as_str()).collect();
        assert_eq!(keys, ["soon", "late"]);
    }
}
