//! A body that is marked as base64 and is none: answered 400.
//!
//! `lambda_http` decodes a body before the function sees it, and panics when it cannot, which would be answered 500:
//! an error of ours, for which the sender tries again. Such an event is passed on without its body and marked.

use std::borrow::Cow;
use std::task::{Context, Poll};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use lambda_http::Service;
use lambda_http::http::HeaderMap;
use lambda_http::lambda_runtime::LambdaInvocation;
use lambda_http::tower::Layer;
use serde::Deserialize;
use serde_json::{Map, Value, json};

/// The header that marks an event without its body. One that a sender sets refuses its own event.
const MARK: &str = "greenlight-not-base64";

/// Whether the body of this request could not be decoded.
pub(crate) fn is_refused(headers: &HeaderMap) -> bool {
    headers.contains_key(MARK)
}

/// Looks at each event before it is read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Base64Check;

impl<S> Layer<S> for Base64Check {
    type Service = Checked<S>;

    fn layer(&self, inner: S) -> Checked<S> {
        Checked(inner)
    }
}

/// The service behind the check.
#[derive(Clone, Debug)]
pub(crate) struct Checked<S>(S);

impl<S: Service<LambdaInvocation>> Service<LambdaInvocation> for Checked<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, mut invocation: LambdaInvocation) -> S::Future {
        if let Some(marked) = marked(&invocation.body) {
            invocation.body = marked.into();
        }
        self.0.call(invocation)
    }
}

/// The members of an HTTP API's payload format 2.0 that say how the body is encoded.
/// <https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html>
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Encoding<'a> {
    #[serde(default)]
    is_base64_encoded: bool,
    #[serde(borrow, default)]
    body: Option<Cow<'a, str>>,
}

/// The event without its body and with [`MARK`], if the body is marked as base64 and is none.
fn marked(event: &[u8]) -> Option<Vec<u8>> {
    let encoding: Encoding<'_> = serde_json::from_slice(event).ok()?;
    if !encoding.is_base64_encoded || STANDARD.decode(encoding.body?.as_bytes()).is_ok() {
        return None;
    }
    let mut event: Map<String, Value> = serde_json::from_slice(event).ok()?;
    event.remove("body");
    event.insert("isBase64Encoded".to_owned(), json!(false));
    event
        .entry("headers")
        .or_insert_with(|| json!({}))
        .as_object_mut()?
        .insert(MARK.to_owned(), json!("1"));
    serde_json::to_vec(&event).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marked_takes_the_body_out_of_an_event_that_is_no_base64() {
        for body in ["%", "AAA", "A===", "\u{fc}"] {
            let event = json!({"body": body, "isBase64Encoded": true, "headers": {"a": "b"}});
            let marked = marked(event.to_string().as_bytes()).unwrap();
            let marked: Value = serde_json::from_slice(&marked).unwrap();
            let headers = json!({"a": "b", MARK: "1"});
            let expected = json!({"isBase64Encoded": false, "headers": headers});
            assert_eq!(marked, expected, "{body}");
        }
    }

    #[test]
    fn marked_leaves_every_other_event_as_it_is() {
        for event in [
            json!({"body": "eyJhIjoxfQ==", "isBase64Encoded": true, "headers": {}}),
            json!({"body": "%", "isBase64Encoded": false}),
            json!({"body": null, "isBase64Encoded": true}),
            json!({"isBase64Encoded": true}),
            json!({}),
            json!("x"),
        ] {
            assert_eq!(marked(event.to_string().as_bytes()), None, "{event}");
        }
    }
}
