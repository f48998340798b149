//! The tokens that open the page.

use std::fmt;

use subtle::ConstantTimeEq;

/// A secret of 128 random bits that only the operator knows.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

impl Token {
    /// Draws a new token.
    #[must_use]
    pub fn random() -> Self {
        let mut bytes = [0; 16];
        // Without a source of randomness the token is empty, and an empty token opens nothing.
        let is_random = getrandom::fill(&mut bytes).is_ok();
        let token = format!("{:032x}", u128::from_be_bytes(bytes));
        Self(if is_random { token } else { String::new() })
    }

    pub(crate) fn is(&self, given: &str) -> bool {
        !self.0.is_empty() && bool::from(self.0.as_bytes().ct_eq(given.as_bytes()))
    }
}

/// Shows the token: only for the operator's terminal and for a private file.
impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token")
    }
}
