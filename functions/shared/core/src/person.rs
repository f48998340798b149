//! What the ledger keeps about a person: whether the person left, and how much access the limits
//! of flows count.

#![warn(missing_docs)]

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::Timestamp;
use crate::request::is_identifier;

/// A person, as a source identifies people.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PersonKey {
    /// The source, as `[sources.NAME]`.
    pub source: String,
    /// The identifier of the person there: of Feishu, the `open_id`.
    pub person: String,
}

impl PersonKey {
    /// The key of `person` at `source`; `None` for a text that no system uses as an identifier: it
    /// would become part of a URL and of a key.
    #[must_use]
    pub fn new(source: &str, person: &str) -> Option<Self> {
        let key = Self { source: source.to_owned(), person: person.to_owned() };
        key.is_valid().then_some(key)
    }

    pub(crate) fn is_valid(&self) -> bool {
        is_identifier(&self.source) && is_identifier(&self.person)
    }
}

/// What a source says about a person.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// The person is a member of the organisation.
    Present,
    /// The person left it.
    Left,
    /// The source does not say: it does not know the person, or may not tell.
    Unknown,
}

/// The ledger's record of one person.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PersonRecord {
    /// When the ledger recorded that the person left, if it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub left_at: Option<Timestamp>,
    /// By flow with a limit: the subjects that count. One whose access has ended is dropped when
    /// the limit is reached.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub places: BTreeMap<String, BTreeMap<String, Place>>,
}

/// The place of a subject within the limit of a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// Until then a worker may be about to record the hold for which it was taken.
    pub reserved_until: Timestamp,
}

/// The access for which a place is taken.
#[derive(Clone, Debug)]
pub struct Wanted<'a> {
    /// The flow.
    pub flow: &'a str,
    /// As [`crate::subject::Subject::key`] writes it.
    pub subject: &'a str,
    /// The number of subjects that the person may hold by the flow; `None` for any number.
    pub per_owner: Option<usize>,
    /// When the lease of the worker expires.
    pub reserved_until: Timestamp,
}

/// The reason for which a person gets no access.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NoPlace {
    /// The person left, as far as the ledger knows.
    Left,
    /// All places are taken, by these subjects.
    Full(Vec<String>),
}

impl PersonRecord {
    /// Records that the person left.
    #[must_use]
    pub fn leave(mut self, now: Timestamp) -> Self {
        self.left_at = self.left_at.or(Some(now));
        self
    }

    /// Records that the person is a member again.
    #[must_use]
    pub fn come_back(mut self) -> Self {
        self.left_at = None;
        self
    }

    /// Takes a place, before the hold is recorded. A subject has one, whatever the number of
    /// approvals and targets.
    pub fn take(mut self, wanted: &Wanted<'_>) -> (Self, Result<(), NoPlace>) {
        if self.left_at.is_some() {
            return (self, Err(NoPlace::Left));
        }
        let Some(per_owner) = wanted.per_owner else { return (self, Ok(())) };
        let places = self.places.entry(wanted.flow.to_owned()).or_default();
        if !places.contains_key(wanted.subject) && places.len() >= per_owner {
            let taken = places.keys().cloned().collect();
            return (self, Err(NoPlace::Full(taken)));
        }
        let place = places.entry(wanted.subject.to_owned());
        let place = place.or_insert(Place { reserved_until: wanted.reserved_until });
        place.reserved_until = place.reserved_until.max(wanted.reserved_until);
        (self, Ok(()))
    }

    /// Frees the place of a subject whose hold was recorded, and has ended.
    #[must_use]
    pub fn free(mut self, flow: &str, subject: &str) -> Self {
        if let Some(places) = self.places.get_mut(flow) {
            places.remove(subject);
        }
        self.places.retain(|_, places| !places.is_empty());
        self
    }

    /// Gives the places of these subjects up: they have no access by the flow. A place that was
    /// just taken stays, as its hold may not be recorded yet.
    #[must_use]
    pub fn give_up(mut self, flow: &str, subjects: &[String], now: Timestamp) -> Self {
        if let Some(places) = self.places.get_mut(flow) {
            places
                .retain(|subject, place| !subjects.contains(subject) || now < place.reserved_until);
        }
        self.places.retain(|_, places| !places.is_empty());
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(millis: i64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    fn wanted(subject: &str) -> Wanted<'_> {
        Wanted { flow: "laptops", subject, per_owner: Some(2), reserved_until: at(10) }
    }

    fn taken(subjects: &[&str]) -> PersonRecord {
        subjects.iter().fold(PersonRecord::default(), |record, subject| {
            let (record, taken) = record.take(&wanted(subject));
            taken.unwrap();
            record
        })
    }

    #[test]
    fn a_place_is_taken_once_per_subject_and_flow() {
        let record = taken(&["a", "b", "a"]);
        let (record, full) = record.take(&wanted("c"));
        assert_eq!(full, Err(NoPlace::Full(vec!["a".into(), "b".into()])));
        let (_, other) = record.take(&Wanted { flow: "phones", ..wanted("c") });
        assert_eq!(other, Ok(()));
    }

    #[test]
    fn a_place_that_was_just_taken_is_not_given_up() {
        let record = taken(&["a", "b"]);
        let subjects = ["a".to_owned()];
        let record = record.give_up("laptops", &subjects, at(9));
        assert_eq!(record, taken(&["a", "b"]));
        let record = record.give_up("laptops", &subjects, at(10));
        assert_eq!(record, taken(&["b"]));
        assert_eq!(record.free("laptops", "b"), PersonRecord::default());
    }

    #[test]
    fn a_person_who_left_gets_nothing_before_a_return() {
        let record = PersonRecord::default().leave(at(5)).leave(at(6));
        assert_eq!(record.left_at, Some(at(5)), "the event can come again");
        assert_eq!(record.clone().take(&wanted("a")).1, Err(NoPlace::Left));
        assert_eq!(record.come_back().take(&wanted("a")).1, Ok(()));
    }
}
