//! The access token of an office system, cached until it expires or is refused.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use greenlight_core::Timestamp;
use secrecy::{ExposeSecret, SecretString};

/// How long before its end a token is replaced.
const MARGIN: Duration = Duration::from_mins(10);

/// A cached token.
#[derive(Debug, Default)]
pub(crate) struct CachedToken(Mutex<Option<Token>>);

#[derive(Clone, Debug)]
struct Token {
    value: SecretString,
    good_until: Timestamp,
}

impl CachedToken {
    /// The token, if it is good at `now`.
    pub(crate) fn get(&self, now: Timestamp) -> Option<SecretString> {
        let cached = self.lock().clone();
        cached.filter(|token| now < token.good_until).map(|token| token.value)
    }

    /// Keeps a token that was issued at `now`.
    pub(crate) fn put(&self, value: &SecretString, now: Timestamp, lifetime: Duration) {
        let good_until = now.plus(lifetime.saturating_sub(MARGIN));
        *self.lock() = Some(Token { value: value.clone(), good_until });
    }

    /// Removes a token that was refused, unless it was replaced meanwhile.
    pub(crate) fn forget(&self, token: &SecretString) {
        let mut cached = self.lock();
        if cached.as_ref().is_some_and(|it| it.value.expose_secret() == token.expose_secret()) {
            *cached = None;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Token>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
