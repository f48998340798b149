//! People, by the office system's id. Canonical: as the office system writes it.

use thiserror::Error;

use super::{Explain, Explanation, Found, SubjectKind, list};

/// The kind `person`.
pub const PERSON: Person = Person;

/// See [`PERSON`].
#[derive(Debug)]
pub struct Person;

/// A text that is not the id of a person. Never quotes the text.
#[derive(Clone, Debug, PartialEq, Eq, Error, Explain)]
#[explain("person")]
#[error("this is not the id of a person: 1 to {LONGEST} of A to Z, a to z, 0 to 9 and `_-.@`")]
struct PersonError;

const LONGEST: usize = 128;

/// The characters of an id that a log shows: the office system's prefix, and one more.
const SHOWN: usize = 4;

impl SubjectKind for Person {
    fn name(&self) -> &'static str {
        "person"
    }

    fn example(&self) -> &'static str {
        "ou_7d8a6e6df7621556ce0d21922b676706ccs"
    }

    fn parse(&self, text: &str) -> Result<String, Explanation> {
        let id = text.trim();
        let is_id = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.@".contains(&byte);
        if (1..=LONGEST).contains(&id.len()) && id.bytes().all(is_id) {
            Ok(id.to_owned())
        } else {
            Err(PersonError.explain())
        }
    }

    fn read(&self, text: &str, most: usize) -> Vec<Found> {
        let is_separator = |char: char| char.is_whitespace() || list::is_separator(char);
        list::read(self, text, is_separator, most)
    }

    fn masked(&self, value: &str) -> String {
        let shown = SHOWN.min(value.chars().count() / 2);
        value.chars().take(shown).chain("***".chars()).collect()
    }
}
