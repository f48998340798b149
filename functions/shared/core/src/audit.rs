//! What can be told afterwards: of each request its story, of each device who has it and why, and how
//! things stand.
//!
//! An attempt leaves its [`AttemptRecord`] with the ledger when it ends; a store files them under [`Subject`]s,
//! so that an operator finds a request by whatever is at hand: event id, instance, device, person.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::Timestamp;
use crate::ledger::{Effect, EffectKey, State};
use crate::mac::Eui48;
use crate::request::Request;
use crate::retry::RetryState;

/// What an attempt knows of its request when it ends.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AttemptRecord {
    /// The flow.
    pub flow: String,
    /// Whether the source was asked: what follows is not known before.
    pub is_read: bool,
    /// Who asked, as the source names people; empty when it does not say.
    pub applicant: String,
    /// The number that people see on the form; empty when there is none.
    pub form_number: String,
    /// The good devices of the form.
    pub devices: BTreeSet<Eui48>,
    /// What was done, by this attempt and by those before it.
    pub effects: BTreeMap<EffectKey, Effect>,
    /// Whether an earlier attempt ended without everything done.
    pub has_waited: bool,
}

impl AttemptRecord {
    /// What `request` is filed under.
    #[must_use]
    pub fn subjects(&self, request: &Request) -> BTreeSet<Subject> {
        let person = Some(&self.applicant).filter(|applicant| !applicant.is_empty());
        let named = [
            Subject::Event(request.event_id.clone()),
            Subject::Instance(request.instance_id.clone()),
        ];
        let devices = self.devices.iter().copied().map(Subject::Device);
        named.into_iter().chain(devices).chain(person.cloned().map(Subject::Person)).collect()
    }

    /// What became of devices at targets, once it is known who asked. By the operation's name: `remove` takes a
    /// device off, `find` only looks, and everything else puts it on.
    pub fn changes(&self) -> impl Iterator<Item = Change<'_>> {
        let effects = self.effects.iter().filter(|_| self.is_read);
        effects.filter_map(|(key, effect)| {
            let (target, operation, device) = key.parts()?;
            let is_held = match operation {
                "find" => return None,
                operation => operation != "remove",
            };
            Some(Change { target, device, is_held, at: effect.at })
        })
    }
}

/// An effect, as it changes who has which device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change<'a> {
    /// The target.
    pub target: &'a str,
    /// The device.
    pub device: Eui48,
    /// Whether the device stands there since.
    pub is_held: bool,
    /// When it was done.
    pub at: Timestamp,
}

/// What a request can be looked for by.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Subject {
    /// An event that told of it.
    Event(String),
    /// The approval instance.
    Instance(String),
    /// A device of its form.
    Device(Eui48),
    /// Who asked, as the source names people.
    Person(String),
}

impl Subject {
    /// What `text` may mean: a device when it is a MAC address, in any spelling, else everything else.
    #[must_use]
    pub fn guess(text: &str) -> Vec<Self> {
        let text = text.trim();
        match Eui48::parse(text) {
            Ok(device) => vec![Self::Device(device)],
            Err(_) => {
                [Self::Event, Self::Instance, Self::Person].map(|of| of(text.to_owned())).into()
            }
        }
    }

    /// What the stores file under.
    #[must_use]
    pub fn key(&self) -> String {
        match self {
            Self::Event(id) => format!("event#{id}"),
            Self::Instance(code) => format!("instance#{code}"),
            Self::Device(device) => format!("device#{device}"),
            Self::Person(person) => format!("person#{person}"),
        }
    }
}

/// The day of `moment` (UTC), which requests are filed under by the time of their first claim.
#[must_use]
pub const fn day(moment: Timestamp) -> i64 {
    moment.as_seconds().div_euclid(86_400)
}

/// All that the ledger can tell of one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestHistory {
    /// What the ledger files it under: source, instance and decision.
    pub key: String,
    /// The approval definition.
    pub definition_id: String,
    /// The event that told of it last.
    pub event_id: String,
    /// When that event reached us; `None` for a request of an older greenlight.
    pub received_at: Option<Timestamp>,
    /// When it was claimed for the first time; `None` for a request of an older greenlight.
    pub first_claimed_at: Option<Timestamp>,
    /// The flow, once an attempt ended.
    pub flow: Option<String>,
    /// Who asked, once the source was asked.
    pub applicant: Option<String>,
    /// The number on the form, once the source was asked.
    pub form_number: Option<String>,
    /// Where it stands.
    pub state: State,
    /// How often it was claimed.
    pub attempt: u32,
    /// What was done.
    pub effects: BTreeMap<EffectKey, Effect>,
    /// What went wrong last, if anything ever did.
    pub last_failure: Option<LastFailure>,
    /// What its last attempt left to the next one, if one ended without everything done.
    pub retry: Option<RetryState>,
}

/// What went wrong in an attempt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastFailure {
    /// The class of the reason, see [`crate::Class`].
    pub class: String,
    /// The reason, with what the target answered.
    pub reason: String,
    /// The target that it is about, if it is about one.
    pub target: Option<String>,
    /// When the attempt ended.
    pub at: Timestamp,
}

impl RequestHistory {
    /// Source, instance and decision.
    #[must_use]
    pub fn key_parts(&self) -> Option<[&str; 3]> {
        let mut parts = self.key.split('#');
        let found = [parts.next()?, parts.next()?, parts.next()?];
        parts.next().is_none().then_some(found)
    }

    /// The approval instance.
    #[must_use]
    pub fn instance_id(&self) -> &str {
        self.key_parts().map_or("?", |[_, instance, _]| instance)
    }

    /// Where it stands at `now`.
    #[must_use]
    pub fn status(&self, now: Timestamp) -> RequestStatus {
        match &self.state {
            State::Running(lease) if now < lease.until => RequestStatus::Running,
            State::Running(_) => RequestStatus::Retrying,
            State::Done { .. } => RequestStatus::Succeeded,
            State::Failed { .. } => RequestStatus::Failed,
        }
    }

    /// When its next attempt begins, if it waits for one; earlier when the queue is redriven.
    #[must_use]
    pub fn next_attempt(&self, now: Timestamp) -> Option<Timestamp> {
        let is_waiting = self.status(now) == RequestStatus::Retrying;
        self.retry
            .as_ref()
            .filter(|retry| is_waiting && !retry.gave_up)
            .map(RetryState::next_attempt)
    }

    /// From the event to the end; `None` while it has not ended, or when it is not known when the event came.
    #[must_use]
    pub fn took(&self) -> Option<Duration> {
        let (State::Done { at, .. } | State::Failed { at, .. }) = self.state else { return None };
        Some(at.since(self.received_at?))
    }
}

/// Where a request stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RequestStatus {
    /// A worker is at it.
    Running,
    /// It will be tried again.
    Retrying,
    /// Everything was done.
    Succeeded,
    /// It is in the dead-letter queue, or was.
    Failed,
}

impl RequestStatus {
    /// All.
    pub const ALL: [Self; 4] = [Self::Running, Self::Retrying, Self::Succeeded, Self::Failed];

    /// The word for it.
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

/// A device that stands on a whitelist because of an approval.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// The target.
    pub target: String,
    /// The device.
    pub device: String,
    /// The request, which says why.
    pub request: String,
    /// Who asked.
    pub applicant: String,
    /// Since when.
    pub since: Timestamp,
}

/// The flows that a worker runs, as it kept them when it started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeployedFlows {
    /// The text of `flows.toml`, with `${NAME}` as it stands there.
    pub text: String,
    /// The SHA-256 of all connectors, in hexadecimal digits.
    pub connectors: String,
    /// When a worker started with them for the first time.
    pub since: Timestamp,
}

/// A message in the dead-letter queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredDeadLetter {
    /// Names it: a number on one machine, SQS's message id on AWS.
    pub id: String,
    /// The body as it came.
    pub body: String,
    /// Why it is one; `None` when the queue moved it by itself and the ledger does not know the request.
    pub last_failure: Option<LastFailure>,
    /// How often it was received; `None` when that is not known.
    pub receive_count: Option<u32>,
    /// When the queue gave it out for the first time, where that is known.
    pub first_received: Option<Timestamp>,
}

/// Dead letters that somebody else received: they are hidden from us for a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Elsewhere {
    /// How many, as the queue counts them.
    pub count: usize,
    /// When they are usually visible again; a receiver can hide them for up to 12 hours.
    pub until: Timestamp,
}

impl StoredDeadLetter {
    /// The class of its reason; `unknown` when it has none.
    #[must_use]
    pub fn class(&self) -> &str {
        self.last_failure.as_ref().map_or("unknown", |last_failure| &last_failure.class)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mac_address_in_any_spelling_means_a_device() {
        let device = Subject::Device(Eui48::parse("00:00:5e:00:53:01").unwrap());
        assert_eq!(Subject::guess(" 0000.5E00.5301 "), [device]);
        let keys: Vec<_> = Subject::guess("I-1").iter().map(Subject::key).collect();
        assert_eq!(keys, ["event#I-1", "instance#I-1", "person#I-1"]);
    }

    #[test]
    fn an_effect_says_what_it_changed() {
        let device = Eui48::parse("00:00:5e:00:53:01").unwrap();
        let key = EffectKey::new("a/b", "add", device);
        assert_eq!(key.parts(), Some(("a/b", "add", device)));
        assert_eq!(EffectKey::from("x").parts(), None);
    }
}
