//! E-mail addresses. Canonical: lower case, as no mail system of an organisation distinguishes it.

use thiserror::Error;

use super::list::{Piece, pieces};
use super::{Explain, Explanation, Found, SubjectKind};

/// The kind `email`.
pub const EMAIL: Email = Email;

/// See [`EMAIL`].
#[derive(Debug)]
pub struct Email;

/// A text that is not an e-mail address. Never quotes the text.
#[derive(Clone, Debug, PartialEq, Eq, Error, Explain)]
#[explain("email")]
#[error("this is not an e-mail address: name@example.com")]
struct EmailError;

/// RFC 5321, section 4.5.3.1.
const LONGEST_LOCAL_PART: usize = 64;
const LONGEST: usize = 254;

impl SubjectKind for Email {
    fn name(&self) -> &'static str {
        "email"
    }

    fn example(&self) -> &'static str {
        "li.lei@example.com"
    }

    fn parse(&self, text: &str) -> Result<String, Explanation> {
        let plain = Piece { position: 1, text: text.trim() }.plain();
        Ok(parse(&plain)?)
    }

    /// Finds the words with an `@`; names and remarks beside them are ignored.
    fn read(&self, text: &str, most: usize) -> Vec<Found> {
        let words = pieces(text, is_between).filter_map(|piece| {
            let plain = piece.plain();
            plain.contains('@').then(|| Found {
                position: piece.position,
                value: parse(without_words(&plain)).map_err(Into::into),
            })
        });
        words.take(most).collect()
    }

    fn masked(&self, value: &str) -> String {
        let (local, domain) = value.split_once('@').unwrap_or((value, ""));
        let first = local.chars().next().map(String::from).unwrap_or_default();
        format!("{first}***@{domain}")
    }
}

/// Brackets, quotation marks and other characters around addresses.
const AROUND: &str = "<>()[]\"':|（）【】：《》“”‘’「」〈〉•。！";

/// Whether the character is between two addresses, or around one.
fn is_between(char: char) -> bool {
    char.is_whitespace() || super::list::is_separator(char) || AROUND.contains(char)
}

/// The address without words of other scripts that stand directly beside it, and without the full
/// stop of a sentence.
fn without_words(text: &str) -> &str {
    let text = text.trim_matches(|char: char| !char.is_ascii());
    text.trim_end_matches(['.', '!'])
}

/// The characters of addresses in use; RFC 5322 allows more, which are rather a mistake here.
fn parse(text: &str) -> Result<String, EmailError> {
    let (local, domain) = text.split_once('@').ok_or(EmailError)?;
    let is_local = |byte: u8| byte.is_ascii_alphanumeric() || b"+-_.".contains(&byte);
    let has_good_dots =
        !local.starts_with(['.', '-']) && !local.ends_with('.') && !local.contains("..");
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let is_valid = (1..=LONGEST_LOCAL_PART).contains(&local.len())
        && local.bytes().all(is_local)
        && has_good_dots
        && domain.contains('.')
        && domain.split('.').all(is_label)
        && text.len() <= LONGEST;
    if is_valid { Ok(text.to_ascii_lowercase()) } else { Err(EmailError) }
}
