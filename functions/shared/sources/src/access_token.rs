//! Logins to office systems: with the secret, and with an access token that is cached until it
//! expires or is refused.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use greenlight_core::secret::Secret;
use greenlight_core::{Failure, Timestamp};
use secrecy::{ExposeSecret, SecretString};

use crate::source::SourcePorts;

/// How long before its end a token is replaced.
const MARGIN: Duration = Duration::from_mins(10);

/// Makes a call that needs credentials; once more with a newer secret, if there is one and
/// `may_be_rotation` says that it can be the remedy.
pub(crate) async fn with_secret<T, E, F: Future<Output = Result<T, E>>>(
    ports: &SourcePorts,
    call: impl Fn(Arc<Secret>) -> F,
    may_be_rotation: impl Fn(&E) -> bool,
) -> Result<T, E> {
    let secret = ports.secret.current();
    match call(Arc::clone(&secret)).await {
        Err(error) if may_be_rotation(&error) => match ports.secret.renewed(&secret).await {
            Some(renewed) => call(renewed).await,
            None => Err(error),
        },
        result => result,
    }
}

/// A token that a login returned.
pub(crate) struct Issued {
    pub(crate) value: SecretString,
    /// How long it is valid.
    pub(crate) lifetime: Duration,
}

/// A cached token.
#[derive(Debug, Default)]
pub(crate) struct CachedToken(Mutex<Option<Token>>);

#[derive(Clone, Debug)]
struct Token {
    value: SecretString,
    good_until: Timestamp,
}

impl CachedToken {
    /// The token if it is good at `now`, else the one that `log_in` returns.
    pub(crate) async fn get_or<E>(
        &self,
        now: Timestamp,
        log_in: impl Future<Output = Result<Issued, E>>,
    ) -> Result<SecretString, E> {
        let cached = self.lock().clone();
        if let Some(token) = cached.filter(|token| now < token.good_until) {
            return Ok(token.value);
        }
        let Issued { value, lifetime } = log_in.await?;
        let good_until = now.plus(lifetime.saturating_sub(MARGIN));
        *self.lock() = Some(Token { value: value.clone(), good_until });
        Ok(value)
    }

    /// Makes a call with the token that `token` returns; once more with another one if it is
    /// refused.
    pub(crate) async fn call_with<T, E, L, F>(
        &self,
        token: impl Fn() -> L,
        call: impl Fn(SecretString) -> F,
        is_refused: impl Fn(&E) -> bool,
    ) -> Result<Result<T, E>, Failure>
    where
        L: Future<Output = Result<SecretString, Failure>>,
        F: Future<Output = Result<T, E>>,
    {
        let used = token().await?;
        match call(used.clone()).await {
            Err(error) if is_refused(&error) => {
                self.forget(&used);
                Ok(call(token().await?).await)
            }
            result => Ok(result),
        }
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
