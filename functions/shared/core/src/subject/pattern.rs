//! The pattern of a field with texts.

use regex_lite::{Regex, RegexBuilder};
use serde::de::Error;
use serde::{Deserialize, Deserializer};

/// A regular expression that a whole text must match. Matching takes linear time.
#[derive(Clone, Debug)]
pub struct Pattern {
    text: String,
    regex: Regex,
}

/// The size of a compiled pattern, in bytes: matching takes time in proportion to it.
const MAX_SIZE: usize = 64 * 1024;

/// The longest pattern, in bytes.
const LONGEST: usize = 1_000;

impl Pattern {
    /// Whether the whole of `text` matches.
    #[must_use]
    pub fn matches(&self, text: &str) -> bool {
        self.regex.is_match(text)
    }

    fn compile(text: String) -> Result<Self, String> {
        if text.len() > LONGEST {
            return Err(format!("the pattern is longer than {LONGEST} bytes"));
        }
        // Compiled alone first: brackets in it must not close the group.
        let alone = RegexBuilder::new(&text).size_limit(MAX_SIZE).build();
        alone.map_err(|error| error.to_string())?;
        let whole = RegexBuilder::new(&format!("^(?:{text})$")).size_limit(MAX_SIZE).build();
        let regex = whole.map_err(|error| error.to_string())?;
        Ok(Self { text, regex })
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Pattern {}

impl<'de> Deserialize<'de> for Pattern {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::compile(String::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_whole_text_must_match() {
        let pattern = Pattern::compile("srv-[0-9]+|db".to_owned()).unwrap();
        assert!(pattern.matches("srv-1") && pattern.matches("db"));
        for other in ["srv-1 ", "xsrv-1", "srv-1x", "db2", "", "srv-1\ndb"] {
            assert!(!pattern.matches(other), "{other:?}");
        }
        assert!(Pattern::compile("a)(b".to_owned()).is_err());
        assert!(Pattern::compile("(.{0,100}){0,100}x".to_owned()).is_err(), "slow to match");
        assert!(Pattern::compile("x".repeat(LONGEST + 1)).is_err());
    }
}
