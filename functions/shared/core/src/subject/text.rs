//! Any text that the pattern of its field admits: the name of a server, the number of a licence.
//! Canonical: as typed, without the blanks around it.

use thiserror::Error;

use super::{Accepts, Check, Explain, Explanation, Found, SubjectKind, list};

/// The kind `text`.
pub const TEXT: Text = Text;

/// See [`TEXT`].
#[derive(Debug)]
pub struct Text;

/// A text that cannot be a subject. Never quotes the text.
#[derive(Clone, Debug, PartialEq, Eq, Error, Explain)]
#[explain("subject_text")]
enum TextError {
    #[error("it is not a text of 1 to {LONGEST} characters without control characters")]
    NotAName,
    #[error("it does not match the `pattern` of the field")]
    Pattern,
}

const LONGEST: usize = 128;

impl SubjectKind for Text {
    fn name(&self) -> &'static str {
        "text"
    }

    fn example(&self) -> &'static str {
        "srv-001"
    }

    fn parse(&self, text: &str) -> Result<String, Explanation> {
        let name = text.trim();
        if (1..=LONGEST).contains(&name.chars().count()) && !name.chars().any(char::is_control) {
            Ok(name.to_owned())
        } else {
            Err(TextError::NotAName.explain())
        }
    }

    fn read(&self, text: &str, most: usize) -> Vec<Found> {
        list::read(self, text, list::is_separator, most)
    }

    fn check(&self, value: &str, accepts: &Accepts<'_>) -> Check {
        match accepts.pattern {
            Some(pattern) if !pattern.matches(value) => {
                Check::Rejected(TextError::Pattern.explain())
            }
            _ => Check::Accepted,
        }
    }

    fn masked(&self, value: &str) -> String {
        value.chars().take(1).chain("***".chars()).collect()
    }
}
