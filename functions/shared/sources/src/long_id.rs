//! Ids of 64 bits, which are longer than the whole numbers of JavaScript.

use serde::Deserialize;

/// An id: a text, or a number with all its digits.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(crate) enum LongId {
    Text(String),
    Number(serde_json::Number),
}

impl LongId {
    #[cfg(feature = "client")]
    pub(crate) fn is(&self, text: &str) -> bool {
        match self {
            Self::Text(own) => own == text,
            Self::Number(number) => number.to_string() == text,
        }
    }

    pub(crate) fn into_text(self) -> String {
        match self {
            Self::Text(text) => text,
            Self::Number(number) => number.to_string(),
        }
    }
}
