//! Subjects: what an action is performed on, such as a device, an IP address or a person.
//!
//! [`KINDS`] is the table of kinds. A new kind is one file in this folder and its line in the
//! table.

#![warn(missing_docs)]

mod email;
mod ip;
mod list;
mod mac;
mod pattern;
mod person;
mod text;

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};

use thiserror::Error;

use crate::explain::{Explain, Explanation};

pub use email::EMAIL;
pub use ip::IP;
pub use mac::{MAC, RandomMac};
pub use pattern::Pattern;
pub use person::PERSON;
pub use text::TEXT;

/// Every kind of subject.
pub const KINDS: &[&dyn SubjectKind] = &[&MAC, &IP, &EMAIL, &PERSON, &TEXT];

/// The variable with the subject, in templates and conditions.
pub const VARIABLE: &str = "subject";

/// A kind of subject. All methods that take a `value` expect its canonical form.
pub trait SubjectKind: fmt::Debug + Send + Sync {
    /// The name in `flows.toml`, in connector files and in the ledger: a to z.
    fn name(&self) -> &'static str;

    /// A value that no real subject has, from the ranges for documentation where there are any.
    fn example(&self) -> &'static str;

    /// The canonical form of a text that is one value, in any of its usual notations, and nothing
    /// else. The canonical form of a canonical form is the same text.
    ///
    /// # Errors
    /// What is wrong with the text, without quoting it.
    fn parse(&self, text: &str) -> Result<String, Explanation>;

    /// All values, and attempts at one, in a text that a person typed or pasted, in order. Reading
    /// ends after `most` of them, which bounds the cost of an endless text.
    fn read(&self, text: &str, most: usize) -> Vec<Found>;

    /// Whether the field accepts the value.
    fn check(&self, _value: &str, _accepts: &Accepts<'_>) -> Check {
        Check::Accepted
    }

    /// For logs: enough to recognise a known value, not enough to identify an unknown one.
    fn masked(&self, value: &str) -> String;

    /// The value as a target expects it, by the connector's `[formats]` for this kind.
    ///
    /// # Errors
    /// [`FormatProblem`] when the kind does not have such a format.
    fn format(&self, value: &str, options: &toml::Table) -> Result<String, FormatProblem> {
        match options.keys().next() {
            None => Ok(value.to_owned()),
            Some(option) => Err(FormatProblem::unknown(option, &[])),
        }
    }
}

/// The kind of this name.
#[must_use]
pub fn kind_named(name: &str) -> Option<&'static dyn SubjectKind> {
    KINDS.iter().copied().find(|kind| kind.name() == name)
}

/// A value in a text, or an attempt at one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The position of its first character in the text as typed, counted from 1.
    pub position: usize,
    /// The canonical value, or what is wrong with it.
    pub value: Result<String, Explanation>,
}

/// What a field accepts, beyond what its kind requires; each kind reads its own part.
#[derive(Clone, Copy, Debug)]
pub struct Accepts<'a> {
    /// Of `mac`.
    pub random_mac: RandomMac,
    /// Of `text`: what each subject must match as a whole.
    pub pattern: Option<&'a Pattern>,
}

/// Whether a field accepts a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Check {
    /// It does.
    Accepted,
    /// It does, and this warning is logged.
    Warned(Explanation),
    /// It does not, for this reason.
    Rejected(Explanation),
}

/// A format that a kind does not have.
#[derive(Clone, Debug, PartialEq, Eq, Error, Explain)]
#[explain("format")]
pub enum FormatProblem {
    /// An option that the kind does not have.
    #[error("there is no option `{option}`; available: {known}")]
    Option {
        /// The name in the connector file.
        option: String,
        /// The options of the kind.
        known: String,
    },
    /// A value that an option does not have.
    #[error("`{option}` takes one of: {known}")]
    Value {
        /// The option.
        option: String,
        /// The values of the option.
        known: String,
    },
}

impl FormatProblem {
    fn unknown(option: &str, known: &[&str]) -> Self {
        Self::Option { option: option.to_owned(), known: known.join(", ") }
    }
}

impl PartialEq for dyn SubjectKind {
    fn eq(&self, other: &Self) -> bool {
        self.name() == other.name()
    }
}

impl Eq for dyn SubjectKind {}

/// What an action is performed on. Compared by kind and canonical value.
#[derive(Clone, Debug)]
pub struct Subject {
    kind: &'static dyn SubjectKind,
    value: String,
}

impl Subject {
    /// The subject that `text` names, in any of the usual notations of `kind`.
    ///
    /// # Errors
    /// As [`SubjectKind::parse`].
    pub fn parse(kind: &'static dyn SubjectKind, text: &str) -> Result<Self, Explanation> {
        kind.parse(text).map(|value| Self { kind, value })
    }

    /// The subject with this canonical value, as [`Found`] has it.
    #[must_use]
    pub(crate) const fn of_canonical(kind: &'static dyn SubjectKind, value: String) -> Self {
        Self { kind, value }
    }

    /// The inverse of [`Subject::key`]; `None` when this version has no such kind.
    #[must_use]
    pub fn of_key(key: &str) -> Option<Self> {
        let (kind, value) = key_parts(key)?;
        Self::parse(kind_named(kind)?, value).ok().filter(|subject| subject.value == value)
    }

    /// The kind.
    #[must_use]
    pub const fn kind(&self) -> &'static dyn SubjectKind {
        self.kind
    }

    /// The canonical value.
    #[must_use]
    pub fn value(&self) -> &str {
        &self.value
    }

    /// For logs: as [`SubjectKind::masked`].
    #[must_use]
    pub fn masked(&self) -> String {
        self.kind.masked(&self.value)
    }

    /// The form in which stores keep it: `mac:00:00:5e:00:53:01`.
    #[must_use]
    pub fn key(&self) -> String {
        format!("{}:{}", self.kind.name(), self.value)
    }

    fn order(&self) -> (&str, &str) {
        (self.kind.name(), &self.value)
    }
}

/// Kind and value of a [`Subject::key`]; the kind can be one that this version does not have.
#[must_use]
pub fn key_parts(key: &str) -> Option<(&str, &str)> {
    key.split_once(':')
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.value)
    }
}

impl PartialEq for Subject {
    fn eq(&self, other: &Self) -> bool {
        self.order() == other.order()
    }
}

impl Eq for Subject {}

impl PartialOrd for Subject {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Subject {
    fn cmp(&self, other: &Self) -> Ordering {
        self.order().cmp(&other.order())
    }
}

impl Hash for Subject {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.order().hash(state);
    }
}
