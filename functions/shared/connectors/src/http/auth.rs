//! How a connector authenticates. The credentials are in the secret.
//!
//! One mechanism for all: templates over `secret` (the target's part of the secret document), over
//! the values that the login captured, and over `random` and `now`. A bearer token, a key in a
//! query, `OAuth2` client credentials, a login for a token or for cookies, a CSRF token fetched
//! first and a salted hash are all data.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};

use greenlight_core::Timestamp;
use greenlight_core::secret::Secret;
use http::{HeaderMap, HeaderValue, header};
use minijinja::Value as Context;
use secrecy::ExposeSecret;
use serde_json::{Map, Value, json};

use super::answer::TargetAnswer;
use super::connector::{Auth, Step};
use super::digest::{Challenge, Login};
use super::render::{Draft, RenderError};
use crate::template::{self, TemplateError, holds, needs, text};

impl Auth {
    /// Returns all templates but those over the login's answer.
    pub(super) fn templates(&self) -> Vec<&str> {
        let maps = [&self.headers, &self.query, &self.json];
        let mut templates: Vec<&str> =
            maps.into_iter().flat_map(BTreeMap::values).map(String::as_str).collect();
        templates.extend(self.login.iter().flat_map(Step::templates));
        templates
    }

    /// Returns the keys that it needs in the target's part of the secret.
    pub(crate) fn secret_keys(&self) -> impl Iterator<Item = String> {
        let needed = self.templates().into_iter().flat_map(|template| {
            needs(template).unwrap_or_default() // Compiled before.
        });
        let of_templates =
            needed.filter_map(|needed| needed.strip_prefix("secret.").map(str::to_owned));
        let of_digest = self.digest.iter();
        of_templates
            .chain(of_digest.flat_map(|keys| [keys.username.clone(), keys.password.clone()]))
    }

    /// Returns whether `step` is the login.
    pub(super) fn is_login(&self, step: &Step) -> bool {
        self.login.as_ref().is_some_and(|login| std::ptr::eq(login, step))
    }

    /// Returns whether the connector authenticates at all.
    pub(super) fn is_some(&self) -> bool {
        self.digest.is_some() || !self.templates().is_empty()
    }
}

/// Authentication state of a target between requests; replaced when the target rejects it.
#[derive(Debug, Default)]
pub(super) struct Session {
    /// Values that the login captured.
    pub(super) saved: Map<String, Value>,
    pub(super) cookies: BTreeMap<String, String>,
    /// When the session expires; `None`: not before the target rejects it.
    pub(super) until: Option<Timestamp>,
    /// The last HTTP digest challenge.
    pub(super) challenge: Option<Challenge>,
    /// The number of responses to the challenge (`nc`).
    pub(super) answered: AtomicU32,
    /// Whether the login was done, if one is needed.
    pub(super) is_logged_in: bool,
}

impl Session {
    pub(super) fn is_good(&self, now: Timestamp) -> bool {
        self.is_logged_in && self.until.is_none_or(|until| now < until)
    }
}

/// Returns the cookies that an answer sets. Attributes are ignored: cookies are sent only to the
/// target that set them, until the session ends.
pub(super) fn cookies(headers: &HeaderMap) -> BTreeMap<String, String> {
    let mut cookies = BTreeMap::new();
    for cookie in headers.get_all(header::SET_COOKIE) {
        let text = String::from_utf8_lossy(cookie.as_bytes());
        let pair = text.split(';').next().unwrap_or_default();
        if let Some((name, value)) = pair.split_once('=') {
            cookies.insert(name.trim().to_owned(), value.trim().to_owned());
        }
    }
    cookies
}

/// Names that templates of `auth` may use, besides the captured values.
pub(super) const ALWAYS_THERE: [&str; 4] = ["secret", "params", "random", "now"];

/// Returns the values that templates of `auth` may use.
pub(super) fn context(
    target: &str,
    secret: &Secret,
    params: &Value,
    saved: &Map<String, Value>,
    now: Timestamp,
) -> Context {
    let credentials = secret.targets.get(target).into_iter().flatten();
    let credentials: Map<String, Value> =
        credentials.map(|(key, value)| (key.clone(), Value::from(value.expose_secret()))).collect();
    let mut variables = saved.clone();
    for (name, value) in [
        ("secret", Value::Object(credentials)),
        ("params", params.clone()),
        ("random", json!(format!("{:016x}", fastrand::u64(..)))),
        ("now", json!(now.as_millis())),
    ] {
        variables.insert(name.to_owned(), value);
    }
    template::context(&variables)
}

impl Auth {
    /// Adds the credentials to `draft`.
    pub(super) fn apply(
        &self,
        draft: &mut Draft,
        context: &Context,
        session: &Session,
        credentials: Option<&BTreeMap<String, secrecy::SecretString>>,
    ) -> Result<(), RenderError> {
        draft.add_headers(&self.headers, context)?;
        draft.add_query(&self.query, context)?;
        draft.add_json(&self.json, context)?;
        if self.cookies && !session.cookies.is_empty() {
            let pairs = session.cookies.iter().map(|(name, value)| format!("{name}={value}"));
            let cookies = pairs.collect::<Vec<_>>().join("; ");
            let refused = |_| RenderError::Header("Cookie".to_owned());
            draft.headers.insert(header::COOKIE, HeaderValue::try_from(cookies).map_err(refused)?);
        }
        if let (Some(keys), Some(challenge)) = (&self.digest, &session.challenge) {
            let count = session.answered.fetch_add(1, Ordering::Relaxed) + 1;
            let get = |key: &str| credentials.and_then(|all| all.get(key));
            let get = |key| get(key).map(ExposeSecret::expose_secret).unwrap_or_default();
            let login = Login { username: get(&keys.username), password: get(&keys.password) };
            let nonce = format!("{:016x}", fastrand::u64(..));
            let target = draft.target()?;
            let answer = challenge.answer(&login, draft.method.as_str(), &target, count, &nonce);
            let refused = |_| RenderError::Header("Authorization".to_owned());
            let value = HeaderValue::try_from(answer).map_err(refused)?;
            draft.headers.insert(header::AUTHORIZATION, value);
        }
        for value in draft.headers.values_mut() {
            value.set_sensitive(true);
        }
        Ok(())
    }

    /// Returns how long the session is valid, in seconds, by the login's answer.
    pub(super) fn lifetime(&self, context: &Context) -> Result<Option<u64>, TemplateError> {
        self.expires_in.as_ref().map_or(Ok(None), |template| {
            text(template, context).map(|text| text.trim().parse().ok())
        })
    }

    /// Returns whether an answer says that the credentials or the session are not valid.
    pub(super) fn is_refused(
        &self,
        answer: &TargetAnswer,
        variables: &Map<String, Value>,
    ) -> Result<bool, TemplateError> {
        if !self.is_some() {
            return Ok(false);
        }
        if self.unauthorized_status.contains(&answer.status.as_u16()) {
            return Ok(true);
        }
        let holds = |when| holds(when, &answer.context(variables));
        self.unauthorized_when.as_deref().map_or(Ok(false), holds)
    }
}
