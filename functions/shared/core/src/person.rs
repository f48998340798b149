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
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counted {
    /// Until then a worker may be about to record a hold of it.
    pub reserved_until: Timestamp,
    /// The subject that it counts instead of, until that one's access has ended. It counts again if
    /// this one is not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instead_of: Option<String>,
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
    /// When the lease of the worker expires.
    pub reserved_until: Timestamp,
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

    /// Drops all subjects that count: the person left then, and every hold has ended.
    #[must_use]
    pub fn drop_counted(mut self, left_at: Option<Timestamp>) -> Self {
        if self.left_at == left_at {
            self.counted.clear();
        }
        self
    }

    /// Records that the person who left then is a member again.
    #[must_use]
    pub fn rejoin(mut self, left_at: Timestamp) -> Self {
        self.left_at.take_if(|at| *at == left_at);
        self
    }

    /// Counts a subject, before its hold is recorded; once, whatever the number of approvals and
    /// targets. The result is the subject that it counts instead of.
    pub fn count(mut self, wanted: &Wanted<'_>) -> (Self, Result<Option<String>, NotCounted>) {
        if let Some(left_at) = self.left_at {
            return (self, Err(NotCounted::Left(left_at)));
        }
        let Some(per_owner) = wanted.per_owner else { return (self, Ok(None)) };
        let subjects = self.counted.entry(wanted.definition_id.to_owned()).or_default();
        if !subjects.contains_key(wanted.subject) && subjects.len() >= per_owner {
            let full = NotCounted::Full(subjects.clone());
            return (self, Err(full));
        }
        let (reserved_until, instead_of) = (wanted.reserved_until, None);
        let counted = subjects.entry(wanted.subject.to_owned());
        let counted = counted.or_insert(Counted { reserved_until, instead_of });
        counted.reserved_until = counted.reserved_until.max(reserved_until);
        let instead_of = counted.instead_of.clone();
        (self, Ok(instead_of))
    }

    /// Counts a subject instead of another one, unless that one has changed since it was `seen`.
    #[must_use]
    pub fn count_instead(mut self, wanted: &Wanted<'_>, other: &str, seen: &Counted) -> Self {
        if let Some(subjects) = self.counted.get_mut(wanted.definition_id)
            && subjects.get(other) == Some(seen)
            && !subjects.contains_key(wanted.subject)
        {
            subjects.remove(other);
            let instead_of = Some(other.to_owned());
            let counted = Counted { reserved_until: wanted.reserved_until, instead_of };
            subjects.insert(wanted.subject.to_owned(), counted);
        }
        self
    }

    /// Records that the access of what a subject counts instead of has ended.
    #[must_use]
    pub fn end_instead(mut self, definition_id: &str, subject: &str) -> Self {
        let counted = self.counted.get_mut(definition_id).and_then(|all| all.get_mut(subject));
        if let Some(counted) = counted {
            counted.instead_of = None;
        }
        self
    }

    /// Drops a subject of which the person holds nothing by the flow, unless it has changed since
    /// it was `seen`. What it counted instead of counts again, if the person still holds that.
    #[must_use]
    pub fn drop_unheld(
        mut self,
        definition_id: &str,
        (subject, seen): (&str, &Counted),
        holds_other: bool,
    ) -> Self {
        let Some(subjects) = self.counted.get_mut(definition_id) else { return self };
        if subjects.get(subject) == Some(seen) {
            subjects.remove(subject);
            if let Some(other) = seen.instead_of.clone().filter(|_| holds_other) {
                let counted = Counted { reserved_until: Timestamp::default(), instead_of: None };
                subjects.entry(other).or_insert(counted);
            }
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
        Wanted { definition_id, subject, per_owner, reserved_until }
    }

    fn counted(subjects: &[&str]) -> PersonRecord {
        subjects.iter().fold(PersonRecord::default(), |record, subject| {
            let (record, counted) = record.count(&wanted(subject));
            assert_eq!(counted, Ok(None));
            record
        })
    }

    fn subjects(record: &PersonRecord) -> Vec<&str> {
        record.counted["laptops"].keys().map(String::as_str).collect()
    }

    #[test]
    fn a_subject_counts_once_per_definition() {
        let record = counted(&["a", "b", "a"]);
        let (record, full) = record.count(&wanted("c"));
        let Err(NotCounted::Full(others)) = full else { panic!("{full:?}") };
        assert_eq!(others.into_keys().collect::<Vec<_>>(), ["a", "b"]);
        let (_, other) = record.count(&Wanted { definition_id: "phones", ..wanted("c") });
        assert_eq!(other, Ok(None));
    }

    #[test]
    fn a_subject_that_is_not_given_leaves_its_count_to_the_other() {
        let record = counted(&["a", "b"]);
        let seen = record.counted["laptops"]["a"].clone();
        let record = record.count_instead(&wanted("c"), "a", &seen);
        assert_eq!(subjects(&record), ["b", "c"]);
        let (record, again) = record.count(&wanted("c"));
        assert_eq!(again, Ok(Some("a".into())), "after a crash");
        let c = record.counted["laptops"]["c"].clone();
        let refused = record.clone().drop_unheld("laptops", ("c", &c), true);
        assert_eq!(subjects(&refused), ["a", "b"]);
        let given = record.end_instead("laptops", "c");
        assert_eq!(given.counted["laptops"]["c"].instead_of, None);
        let unchanged = given.clone().drop_unheld("laptops", ("c", &c), true);
        assert_eq!(unchanged, given, "it has changed since");
    }

    #[test]
    fn a_subject_that_changed_is_not_replaced() {
        let record = counted(&["a", "b"]);
        let seen = Counted { reserved_until: at(9), instead_of: None };
        assert_eq!(record.clone().count_instead(&wanted("c"), "a", &seen), record);
    }

    #[test]
    fn a_person_who_left_gets_nothing_before_rejoining() {
        let record = counted(&["a"]).leave(at(4), at(5)).leave(at(4), at(6));
        assert_eq!(record.left_at, Some(at(5)), "the event can come again");
        assert_eq!(record.clone().count(&wanted("a")).1, Err(NotCounted::Left(at(5))));
        let again = record.clone().leave(at(8), at(9)).rejoin(at(5));
        assert_eq!(again.left_at, Some(at(9)), "the person left again meanwhile");
        assert_eq!(again.drop_counted(Some(at(5))).counted.len(), 1);
        let rejoined = record.drop_counted(Some(at(5))).rejoin(at(5));
        assert_eq!(rejoined, PersonRecord::default());
        assert_eq!(rejoined.count(&wanted("a")).1, Ok(None));
    }
}
