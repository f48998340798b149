//! Access control of the page: the operator only, and no requests from other origins.

use std::fmt;
use std::sync::Arc;

use axum::extract::{Query, Request, State};
use axum::http::header::{COOKIE, HOST, LOCATION, ORIGIN, SET_COOKIE};
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use subtle::ConstantTimeEq;

use crate::words::language;
use crate::{Inside, html, page};

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

    fn is(&self, given: &str) -> bool {
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

/// The tokens of a page, and its port.
#[derive(Debug)]
pub(crate) struct Guard {
    /// Opens the page, once per browser.
    token: Token,
    /// In the browser's cookie after the login.
    session: Token,
    /// In the page's forms, where pages of other origins cannot read it.
    form: Token,
    port: u16,
}

impl Guard {
    pub(crate) fn new(token: Token, port: u16) -> Self {
        Self { token, session: Token::random(), form: Token::random(), port }
    }

    pub(crate) const fn form_token(&self) -> &Token {
        &self.form
    }

    pub(crate) fn is_our_form(&self, token: &str) -> bool {
        self.form.is(token)
    }

    /// A browser sends the cookies of a host to all its ports, so the name contains the port. The
    /// cookie also reaches another user's server on loopback that the same browser opens.
    fn cookie(&self) -> String {
        format!("greenlight_{}", self.port)
    }

    fn is_operator(&self, headers: &HeaderMap) -> bool {
        let name = self.cookie();
        let cookies = headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok());
        let mut pairs =
            cookies.flat_map(|text| text.split(';')).filter_map(|it| it.split_once('='));
        pairs.any(|(key, value)| key.trim() == name && self.session.is(value.trim()))
    }

    /// Rejects other names that resolve to loopback (DNS rebinding).
    pub(crate) fn is_our_host(&self, headers: &HeaderMap) -> bool {
        let host = headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
        ["127.0.0.1", "localhost"].iter().any(|name| host == format!("{name}:{}", self.port))
    }

    fn is_our_origin(&self, headers: &HeaderMap) -> bool {
        let Some(origin) = headers.get(ORIGIN) else { return true };
        let origin = origin.to_str().unwrap_or_default();
        let of = |name| origin == format!("http://{name}:{}", self.port);
        of("127.0.0.1") || of("localhost")
    }
}

#[derive(Deserialize)]
pub(crate) struct Login {
    #[serde(default)]
    token: Option<String>,
}

/// Lets the operator pass; a valid token starts a session.
pub(crate) async fn only_the_operator(
    State(inside): State<Arc<Inside>>,
    Query(login): Query<Login>,
    request: Request,
    next: Next,
) -> Response {
    let guard = &inside.guard;
    if !guard.is_our_origin(request.headers()) {
        return (StatusCode::FORBIDDEN, "the request is from another origin\n").into_response();
    }
    if login.token.is_some_and(|token| guard.token.is(&token)) {
        let session = &guard.session;
        let cookie = format!("{}={session}; HttpOnly; SameSite=Strict; Path=/", guard.cookie());
        return (StatusCode::SEE_OTHER, [(SET_COOKIE, cookie), (LOCATION, "/".to_owned())])
            .into_response();
    }
    if guard.is_operator(request.headers()) {
        return next.run(request).await;
    }
    let language = language(None, request.headers());
    (StatusCode::UNAUTHORIZED, html(page::login(language), language)).into_response()
}
