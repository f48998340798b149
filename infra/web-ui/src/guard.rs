//! Access control of the page: the operator only, and no requests from other origins.

use std::sync::Arc;

use axum::extract::{Query, Request, State};
use axum::http::header::{COOKIE, HOST, LOCATION, ORIGIN, SET_COOKIE};
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;

use crate::token::Token;
use crate::words::language;
use crate::{Inside, html, page};

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
    token: Option<String>,
    lang: Option<String>,
}

/// Lets the operator pass; a valid token starts a session.
pub(crate) async fn only_the_operator(
    State(inside): State<Arc<Inside>>,
    Query(Login { token, lang }): Query<Login>,
    request: Request,
    next: Next,
) -> Response {
    let guard = &inside.guard;
    let language = language(lang.as_deref(), request.headers());
    if !guard.is_our_origin(request.headers()) {
        let text = language.pick("the request is from another origin\n", "请求来自其他网站\n");
        return (StatusCode::FORBIDDEN, text).into_response();
    }
    if token.is_some_and(|token| guard.token.is(&token)) {
        let session = &guard.session;
        let page_address = match lang {
            None => "/".to_owned(),
            Some(_) => format!("/?lang={}", language.code()),
        };
        let cookie = format!("{}={session}; HttpOnly; SameSite=Strict; Path=/", guard.cookie());
        return (StatusCode::SEE_OTHER, [(SET_COOKIE, cookie), (LOCATION, page_address)])
            .into_response();
    }
    if guard.is_operator(request.headers()) {
        return next.run(request).await;
    }
    (StatusCode::UNAUTHORIZED, html(page::login(language), language)).into_response()
}
