//! Texts for people as data: a stable code, the values, and the English text. A catalogue renders
//! them in another language by code and values.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::io;

pub use greenlight_explain::Explain;
use serde::{Deserialize, Serialize};

use crate::validation_errors::ValidationErrors;

/// A text for people. It never quotes form content or a secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Explanation {
    /// The code, such as `form.not_number`.
    pub code: Cow<'static, str>,
    /// The text in English; empty in a value of another explanation, whose text contains it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub text: String,
    /// The values in the text, by name; those of fields without a name by number.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub values: BTreeMap<Cow<'static, str>, Part>,
}

/// A value in an [`Explanation`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Part {
    /// A name, a number, or a text of another system, which no catalogue translates.
    Text(String),
    /// A text with a code of its own, such as the cause of an error.
    Explanation(Box<Explanation>),
}

impl Part {
    fn without_text(self) -> Self {
        match self {
            Self::Explanation(mut inner) => {
                inner.text.clear();
                Self::Explanation(inner)
            }
            text @ Self::Text(_) => text,
        }
    }
}

/// The code of a text that no catalogue has.
const QUOTED: &str = "quoted";

/// The code of several texts in one; their numbers are the names of the values.
pub const LIST: &str = "list";

/// Between the texts of a list.
pub(crate) const SEPARATOR: &str = "; ";

/// As [`LIST`], with a line for each text.
pub const LINES: &str = "lines";

impl Explanation {
    /// An explanation; `#[derive(Explain)]` calls it.
    #[must_use]
    pub fn new<const N: usize>(
        code: &'static str,
        text: String,
        values: [(&'static str, Part); N],
    ) -> Self {
        let value = |(name, part): (_, Part)| (Cow::Borrowed(name), part.without_text());
        Self { code: Cow::Borrowed(code), text, values: values.into_iter().map(value).collect() }
    }

    /// A text of another system, which is shown as it is in every language.
    #[must_use]
    pub fn quoted(text: impl Into<String>) -> Self {
        Self::new(QUOTED, text.into(), [])
    }

    /// The same for a store: at most `chars` characters in the text, and as many in all values
    /// together.
    #[must_use]
    pub fn bounded(mut self, chars: usize) -> Self {
        cut(&mut self.text, &mut chars.clone());
        cut_values(&mut self.values, &mut chars.clone());
        self
    }

    /// As JSON. A store keeps it beside the text, which people see there.
    #[must_use]
    pub fn data(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    /// The explanation that a store has as `text` and `data`; a quoted text if `data` is missing,
    /// unreadable or of another text: an earlier version writes the text alone.
    #[must_use]
    pub fn stored(text: String, data: Option<&str>) -> Self {
        let read = data.and_then(|data| serde_json::from_str::<Self>(data).ok());
        read.filter(|read| read.text == text).unwrap_or_else(|| Self::quoted(text))
    }

    /// Several texts in one.
    #[must_use]
    pub fn list(parts: Vec<Self>) -> Self {
        Self::joined(LIST, SEPARATOR, parts)
    }

    /// Several texts, a line each.
    #[must_use]
    pub fn lines(parts: Vec<Self>) -> Self {
        Self::joined(LINES, "\n", parts)
    }

    fn joined(code: &'static str, separator: &str, parts: Vec<Self>) -> Self {
        let texts: Vec<_> = parts.iter().map(|part| part.text.as_str()).collect();
        let text = texts.join(separator);
        let part = |(number, part): (usize, Self)| {
            (Cow::Owned(format!("{number:04}")), part.into_part().without_text())
        };
        let values = parts.into_iter().enumerate().map(part).collect();
        Self { code: Cow::Borrowed(code), text, values }
    }

    fn into_part(self) -> Part {
        if self.code == QUOTED { Part::Text(self.text) } else { Part::Explanation(Box::new(self)) }
    }

    /// The text of a part; `#[derive(Explain)]` calls it.
    #[must_use]
    pub fn from_part(part: Part) -> Self {
        match part {
            Part::Text(text) => Self::quoted(text),
            Part::Explanation(explanation) => *explanation,
        }
    }
}

fn cut_values(values: &mut BTreeMap<Cow<'static, str>, Part>, left: &mut usize) {
    for part in values.values_mut() {
        match part {
            Part::Text(text) => cut(text, left),
            Part::Explanation(inner) => cut_values(&mut inner.values, left),
        }
    }
}

/// Cuts `text` at `left` characters, and subtracts its length.
fn cut(text: &mut String, left: &mut usize) {
    if let Some((end, _)) = text.char_indices().nth(*left) {
        text.truncate(end);
        text.push('…');
    }
    *left = left.saturating_sub(text.chars().count());
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Errors, and other types, with a text for people.
pub trait Explain {
    /// The text.
    fn explain(&self) -> Explanation;
}

impl<E: Explain> From<E> for Explanation {
    fn from(error: E) -> Self {
        error.explain()
    }
}

impl<E: Explain> Explain for Box<E> {
    fn explain(&self) -> Explanation {
        E::explain(self)
    }
}

impl<E: Explain> Explain for ValidationErrors<E> {
    fn explain(&self) -> Explanation {
        Explanation::list(self.iter().map(Explain::explain).collect())
    }
}

/// The kinds that have a text in the catalogue; the others are shown as the system words them.
impl Explain for io::Error {
    fn explain(&self) -> Explanation {
        let code = match self.kind() {
            io::ErrorKind::NotFound => "io.not_found",
            io::ErrorKind::PermissionDenied => "io.permission_denied",
            io::ErrorKind::AlreadyExists => "io.already_exists",
            io::ErrorKind::AddrInUse => "io.address_in_use",
            io::ErrorKind::AddrNotAvailable => "io.address_not_available",
            io::ErrorKind::ConnectionRefused => "io.connection_refused",
            io::ErrorKind::IsADirectory => "io.is_a_directory",
            io::ErrorKind::NotADirectory => "io.not_a_directory",
            io::ErrorKind::ReadOnlyFilesystem => "io.read_only",
            io::ErrorKind::StorageFull => "io.storage_full",
            io::ErrorKind::InvalidData => "io.invalid_data",
            _ => return Explanation::quoted(self.to_string()),
        };
        Explanation::new(code, self.to_string(), [])
    }
}

/// A field of an error. `(&&FieldOf(field)).part()` is its explanation if it has one, else its
/// displayed text: method lookup tries [`Explained`] before [`Displayed`], which needs one
/// dereference more. This lets `#[derive(Explain)]` accept fields of foreign types.
#[derive(Debug)]
pub struct FieldOf<'a, T: ?Sized>(pub &'a T);

/// A field with an explanation.
pub trait Explained {
    /// As part of the text.
    fn part(&self) -> Part;
}

impl<T: ToExplanation + ?Sized> Explained for &FieldOf<'_, T> {
    fn part(&self) -> Part {
        self.0.to_explanation().into_part()
    }
}

/// A field that is only displayed.
pub trait Displayed {
    /// As part of the text.
    fn part(&self) -> Part;
}

impl<T: fmt::Display + ?Sized> Displayed for FieldOf<'_, T> {
    fn part(&self) -> Part {
        Part::Text(self.0.to_string())
    }
}

/// An explanation, or an error that has one.
pub trait ToExplanation {
    /// The text.
    fn to_explanation(&self) -> Explanation;
}

impl<E: Explain> ToExplanation for E {
    fn to_explanation(&self) -> Explanation {
        self.explain()
    }
}

impl ToExplanation for Explanation {
    fn to_explanation(&self) -> Explanation {
        self.clone()
    }
}

impl ToExplanation for Box<Explanation> {
    fn to_explanation(&self) -> Explanation {
        (**self).clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use thiserror::Error;

    #[derive(Debug, Error, Explain)]
    #[explain("outer")]
    enum Outer {
        #[error("field `{field}`, character {position:?}: {cause}")]
        Field { field: String, position: Option<u8>, cause: Inner },
        #[error("`{0}` is longer than {LONGEST}")]
        Long(&'static str),
        #[error(transparent)]
        Inner(#[from] Inner),
        #[error("{0}")]
        Same(Inner),
        #[error("it is {0}")]
        Foreign(std::fmt::Error),
    }

    #[derive(Debug, Error, Explain)]
    #[error("nothing is there")]
    #[explain("inner")]
    struct Inner;

    const LONGEST: usize = 9;

    #[test]
    fn explain_has_the_values_of_the_text_by_name() {
        let error = Outer::Field { field: "mac".into(), position: Some(3), cause: Inner };
        let json = serde_json::json!({
            "code": "outer.field",
            "text": "field `mac`, character Some(3): nothing is there",
            "values": {
                "field": "mac",
                "position": "Some(3)",
                "cause": {"code": "inner"},
            },
        });
        assert_eq!(serde_json::to_value(error.explain()).unwrap(), json);
        let read: Explanation = serde_json::from_value(json).unwrap();
        assert_eq!(read, error.explain());
    }

    #[test]
    fn explain_knows_constants_transparent_errors_and_foreign_ones() {
        let explained = Outer::Long("abc").explain();
        let values = [("0", "abc"), ("LONGEST", "9")];
        let values = values.map(|(name, text)| (name.into(), Part::Text(text.to_owned())));
        assert_eq!(explained.values, values.into());
        assert_eq!(Outer::from(Inner).explain(), Inner.explain());
        assert_eq!(Outer::Same(Inner).explain(), Inner.explain());
        let foreign = Outer::Foreign(std::fmt::Error).explain();
        assert_eq!(foreign.values["0"], Part::Text(std::fmt::Error.to_string()));
    }

    #[test]
    fn stored_data_of_another_text_is_not_used() {
        let explained = Outer::Long("abc").explain();
        let (text, data) = (explained.text.clone(), explained.data());
        assert_eq!(Explanation::stored(text.clone(), Some(&data)), explained);
        for (text, data) in [("another", Some(data.as_str())), ("it", Some("{")), ("it", None)] {
            assert_eq!(Explanation::stored(text.into(), data), Explanation::quoted(text));
        }
    }
}
