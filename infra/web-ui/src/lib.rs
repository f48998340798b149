//! The operator's page: `greenlight ui` and `serve --ui` serve it, on loopback only.
//!
//! The page can redrive dead letters. It therefore requires a token that only the operator has,
//! accepts no requests from other origins, and allows no script but its own.

mod guard;
mod page;
pub mod token;
mod words;

use std::sync::Arc;

use axum::extract::{Form, Query, Request, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, LOCATION};
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use greenlight_admin::dead_letters::{DeadLetterError, Pace, Which, redrive as redrive_letters};
use greenlight_admin::operator::Operator;
use greenlight_admin::stores::Stores;
use greenlight_core::explain::Explain;
use greenlight_core::ports::Clock;
use greenlight_render::language::Language;
use greenlight_render::status::to_json;
use greenlight_stores::SystemClock;
use serde::Deserialize;

use guard::Guard;
use page::{Page, PageError};
use token::Token;
use words::language;

/// The state of the page's handlers.
#[derive(Debug)]
struct Inside {
    stores: Stores,
    operator: Operator,
    guard: Guard,
}

type Shared = State<Arc<Inside>>;

/// The page over `stores`, to be served on `port` of loopback. `token` opens it; what is done with
/// it is recorded as done by `who`, with the page.
pub fn page(stores: Stores, who: &str, token: Token, port: u16) -> Router {
    let operator = Operator { who: format!("{who} (page)"), acts: Arc::clone(&stores.acts) };
    let inside = Arc::new(Inside { stores, operator, guard: Guard::new(token, port) });
    Router::new()
        .route("/", get(show))
        .route("/counts", get(counts))
        .route("/redrive", post(redrive))
        .route_layer(from_fn_with_state(Arc::clone(&inside), guard::only_the_operator))
        .route("/style.css", get(async || asset("text/css", include_str!("style.css"))))
        .route("/page.js", get(async || asset("text/javascript", include_str!("page.js"))))
        .layer(from_fn_with_state(Arc::clone(&inside), headers))
        .with_state(inside)
}

/// Allows only our own scripts and styles, and forbids framing and caching.
async fn headers(State(inside): Shared, request: Request, next: Next) -> Response {
    if !inside.guard.is_our_host(request.headers()) {
        return (StatusCode::MISDIRECTED_REQUEST, "this is 127.0.0.1's page\n").into_response();
    }
    let mut response = next.run(request).await;
    for (name, value) in [
        (
            "content-security-policy",
            "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; \
             form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
        ),
        ("x-content-type-options", "nosniff"),
        // With `no-referrer` the browser would send our own form with `Origin: null`.
        ("referrer-policy", "same-origin"),
    ] {
        response.headers_mut().insert(name, axum::http::HeaderValue::from_static(value));
    }
    response.headers_mut().entry(CACHE_CONTROL).or_insert(const_header("no-store"));
    response
}

const fn const_header(value: &'static str) -> axum::http::HeaderValue {
    axum::http::HeaderValue::from_static(value)
}

fn asset(kind: &'static str, text: &'static str) -> impl IntoResponse {
    ([(CONTENT_TYPE, kind)], text)
}

/// The query of the page.
#[derive(Debug, Default, Deserialize)]
struct Asked {
    /// The text to search for.
    #[serde(default)]
    q: String,
    /// `en` or `zh`; what the browser prefers if left out.
    lang: Option<String>,
    /// The action before this page, as the key of a text.
    done: Option<String>,
}

async fn show(State(inside): Shared, Query(asked): Query<Asked>, sent: HeaderMap) -> Response {
    let language = language(asked.lang.as_deref(), &sent);
    let page = Page::of(&inside.stores, &asked.q, SystemClock.now()).await;
    let rendered = page
        .and_then(|page| page.render(language, inside.guard.form_token(), asked.done.as_deref()));
    html(rendered, language)
}

/// A page, or the reason for which there is none.
fn html(page: Result<String, PageError>, language: Language) -> Response {
    match page {
        Ok(page) => Html(page).into_response(),
        Err(error) => bad_gateway(&error, language),
    }
}

fn bad_gateway(error: &impl Explain, language: Language) -> Response {
    let text = language.explain(&error.explain()) + "\n";
    (StatusCode::BAD_GATEWAY, text).into_response()
}

/// The figures of the pipeline, which an open page polls.
async fn counts(State(inside): Shared) -> Response {
    let now = SystemClock.now();
    match inside.stores.status(now).await {
        Ok(status) => Json(to_json(&status, now)).into_response(),
        Err(error) => bad_gateway(&error, Language::English),
    }
}

#[derive(Debug, Deserialize)]
struct Redrive {
    id: String,
    form_token: String,
    lang: String,
}

async fn redrive(State(inside): Shared, Form(asked): Form<Redrive>) -> Response {
    let language = language(Some(&asked.lang), &HeaderMap::new());
    if !inside.guard.is_our_form(&asked.form_token) {
        let text = language.pick("the form is not of this page\n", "表单不是本页面的\n");
        return (StatusCode::FORBIDDEN, text).into_response();
    }
    let which = Which::Ids(vec![asked.id]);
    let pace = Pace { is_dry: false, per_second: u32::MAX };
    let Inside { stores, operator, .. } = &*inside;
    let queue = &*stores.dead_letters;
    let done = match redrive_letters(queue, operator, &which, pace, &SystemClock, |_| {}).await {
        Ok(()) => "redriven",
        Err(
            DeadLetterError::NotFound(_)
            | DeadLetterError::NotAll(_)
            | DeadLetterError::NotSeen { .. }
            | DeadLetterError::TakenMeanwhile(_)
            | DeadLetterError::NoneOfClass { .. },
        ) => "gone",
        Err(DeadLetterError::Store(error)) => return bad_gateway(&error, language),
    };
    let back = format!("/?lang={}&done={done}", language.code());
    (StatusCode::SEE_OTHER, [(LOCATION, back)]).into_response()
}
