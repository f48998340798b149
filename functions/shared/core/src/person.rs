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
    /// By approval definition whose flow has a limit: the subjects that count. One whose access has
    /// ended is dropped when the limit is reached.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub counted: BTreeMap<String, BTreeMap<String, Counted>>,
}

/// A subject that counts for the limit of a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counted {
    /// Until then a worker may be about to record a hold of it.
    pub reserved_until: Timestamp,
}

/// The access for which a subject is counted.
#[derive(Clone, Debug)]
pub struct Wanted<'a> {
    /// The approval definition of the flow: a flow may be renamed.
    pub definition_id: &'a str,
    /// As [`crate::subject::Subject::key`] writes it.
    pub subject: &'a str,
    /// The number of subjects that the person may hold by the flow; `None` for any number.
    pub per_owner: Option<usize>,
    /// Whether it may exceed the limit by one, as another access ends when this one is given.
    pub exceeds: bool,
    /// When the lease of the worker expires.
    pub reserved_until: Timestamp,
}

/// How a subject counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Counting {
    /// Within the limit, or there is none.
    Within,
    /// It exceeds the limit by one: one of these others is to end.
    Exceeding(BTreeMap<String, Counted>),
}

/// The reason for which a person gets no access.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotCounted {
    /// The person left then, as far as the ledger knows.
    Left(Timestamp),
    /// As many other subjects count as the limit allows: these.
    Full(BTreeMap<String, Counted>),
}

impl PersonRecord {
    /// Records that the person left, as a message says that was first received then. A leaving
    /// that was recorded before that is another one.
    #[must_use]
    pub fn leave(mut self, first_received: Timestamp, now: Timestamp) -> Self {
        let recorded = self.left_at.filter(|at| *at >= first_received);
        self.left_at = Some(recorded.unwrap_or(now));
        self
    }

    /// Drops all subjects that count: the person left, and every hold has ended.
    #[must_use]
    pub fn drop_counted(mut self) -> Self {
        self.counted.clear();
        self
    }

    /// Records that the person who left then is a member again.
    #[must_use]
    pub fn rejoin(mut self, left_at: Timestamp) -> Self {
        self.left_at.take_if(|at| *at == left_at);
        self
    }

    /// Counts a subject, before its hold is recorded; once, whatever the number of approvals and
    /// targets.
    pub fn count(mut self, wanted: &Wanted<'_>) -> (Self, Result<Counting, NotCounted>) {
        if let Some(left_at) = self.left_at {
            return (self, Err(NotCounted::Left(left_at)));
        }
        let Some(per_owner) = wanted.per_owner else { return (self, Ok(Counting::Within)) };
        let subjects = self.counted.entry(wanted.definition_id.to_owned()).or_default();
        let most = per_owner + usize::from(wanted.exceeds);
        if !subjects.contains_key(wanted.subject) && subjects.len() >= most {
            let full = NotCounted::Full(subjects.clone());
            return (self, Err(full));
        }
        let counted = subjects.entry(wanted.subject.to_owned());
        let counted = counted.or_insert(Counted { reserved_until: wanted.reserved_until });
        counted.reserved_until = counted.reserved_until.max(wanted.reserved_until);
        if subjects.len() <= per_owner {
            return (self, Ok(Counting::Within));
        }
        let mut others = subjects.clone();
        others.remove(wanted.subject);
        (self, Ok(Counting::Exceeding(others)))
    }

    /// Drops these subjects, of which the person holds nothing by the flow. One that is reserved
    /// stays: its hold may be recorded at this moment.
    #[must_use]
    pub fn drop_unheld(mut self, definition_id: &str, subjects: &[String], now: Timestamp) -> Self {
        if let Some(counted) = self.counted.get_mut(definition_id) {
            counted.retain(|subject, it| !subjects.contains(subject) || now < it.reserved_until);
        }
        self.counted.retain(|_, counted| !counted.is_empty());
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
        let (definition_id, per_owner, reserved_until) = ("laptops", Some(2), at(10));
        Wanted { definition_id, subject, per_owner, exceeds: false, reserved_until }
    }

    fn counted(subjects: &[&str]) -> PersonRecord {
        subjects.iter().fold(PersonRecord::default(), |record, subject| {
            let (record, counted) = record.count(&wanted(subject));
            counted.unwrap();
            record
        })
    }

    #[test]
    fn a_subject_counts_once_per_flow() {
        let record = counted(&["a", "b", "a"]);
        let (record, full) = record.count(&wanted("c"));
        let Err(NotCounted::Full(others)) = full else { panic!("{full:?}") };
        assert_eq!(others.into_keys().collect::<Vec<_>>(), ["a", "b"]);
        let (record, other) = record.count(&Wanted { definition_id: "phones", ..wanted("c") });
        assert_eq!(other, Ok(Counting::Within));
        let (record, more) = record.count(&Wanted { exceeds: true, ..wanted("c") });
        let Ok(Counting::Exceeding(others)) = more else { panic!("{more:?}") };
        assert_eq!(others.into_keys().collect::<Vec<_>>(), ["a", "b"]);
        let (_, even_more) = record.count(&Wanted { exceeds: true, ..wanted("d") });
        assert!(matches!(even_more, Err(NotCounted::Full(_))), "one at a time");
    }

    #[test]
    fn a_subject_that_is_reserved_is_not_dropped() {
        let record = counted(&["a", "b"]);
        let subjects = ["a".to_owned()];
        let record = record.drop_unheld("laptops", &subjects, at(9));
        assert_eq!(record, counted(&["a", "b"]));
        let record = record.drop_unheld("laptops", &subjects, at(10));
        assert_eq!(record, counted(&["b"]));
        let left = record.leave(at(10), at(10)).drop_counted();
        assert_eq!(left.rejoin(at(10)), PersonRecord::default());
    }

    #[test]
    fn a_person_who_left_gets_nothing_before_rejoining() {
        let record = PersonRecord::default().leave(at(4), at(5)).leave(at(4), at(6));
        assert_eq!(record.left_at, Some(at(5)), "the event can come again");
        assert_eq!(record.clone().count(&wanted("a")).1, Err(NotCounted::Left(at(5))));
        let again = record.clone().leave(at(8), at(9)).rejoin(at(5));
        assert_eq!(again.left_at, Some(at(9)), "the person left again meanwhile");
        assert_eq!(record.rejoin(at(5)).count(&wanted("a")).1, Ok(Counting::Within));
    }
}
