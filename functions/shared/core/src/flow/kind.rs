//! The kind of a field: a kind of subject, or of a value alone.

use std::fmt;

use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer};

use crate::subject::{self, SubjectKind, kind_named};

/// The kind of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// One or more subjects of this kind, as people type them.
    Subject(&'static dyn SubjectKind),
    /// A text or a number, unchanged; the names of subjects for an action that is performed for
    /// each of them.
    Text,
    /// A date and time in RFC 3339.
    Date,
    /// A number.
    Number,
    /// The chosen option, as people see it.
    Choice,
}

/// The kinds that are values alone, besides those of [`subject::KINDS`].
const VALUES: [(&str, Kind); 3] =
    [("date", Kind::Date), ("number", Kind::Number), ("choice", Kind::Choice)];

impl Kind {
    /// The kind of this name in `flows.toml`.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        let value = VALUES.iter().find(|(known, _)| *known == name).map(|(_, kind)| *kind);
        value.or_else(|| match kind_named(name)? {
            text if text.name() == subject::TEXT.name() => Some(Self::Text),
            kind => Some(Self::Subject(kind)),
        })
    }

    /// The names of all kinds in `flows.toml`.
    pub fn names() -> impl Iterator<Item = &'static str> {
        subject::KINDS.iter().map(|kind| kind.name()).chain(VALUES.map(|(name, _)| name))
    }

    /// The kind of the subjects in the field, where an action can be performed for each.
    #[must_use]
    pub fn subject(self) -> Option<&'static dyn SubjectKind> {
        match self {
            Self::Subject(kind) => Some(kind),
            Self::Text => Some(&subject::TEXT),
            Self::Date | Self::Number | Self::Choice => None,
        }
    }

    /// Whether it is the kind of subject `other`.
    #[must_use]
    pub fn is(self, other: &dyn SubjectKind) -> bool {
        self.subject().is_some_and(|kind| kind.name() == other.name())
    }
}

impl<'de> Deserialize<'de> for Kind {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(NamedKind)
    }
}

struct NamedKind;

impl Visitor<'_> for NamedKind {
    type Value = Kind;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name of a kind")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<Kind, E> {
        Kind::named(name).ok_or_else(|| {
            let known: Vec<_> = Kind::names().map(|known| format!("`{known}`")).collect();
            E::custom(format!("unknown kind `{name}`, expected one of {}", known.join(", ")))
        })
    }
}

#[cfg(feature = "schema")]
impl schemars::JsonSchema for Kind {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Kind".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        let names: Vec<_> = Self::names().collect();
        schemars::json_schema!({ "description": "The kind of a field.", "enum": names })
    }
}
