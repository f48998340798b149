//! Marks events that `lambda_http` would panic on, so that they are answered 400.
//!
//! It decodes the body and parses the address before the function sees a request, and unwraps the
//! results. A panic would be answered 500: the sender would retry, and any stranger could cause it.
//! Such an event is passed on without the parts that cannot be read, with a marker header.

use std::borrow::Cow;
use std::task::{Context, Poll};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use greenlight_core::{MAX_BODY_BYTES, Rejection};
use lambda_http::Service;
use lambda_http::http::{HeaderMap, Uri};
use lambda_http::lambda_runtime::LambdaInvocation;
use lambda_http::tower::Layer;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use url::Url;

/// The header that marks an event. A request in which the sender sets it is rejected.
const MARK: &str = "greenlight-unreadable";

/// The reason to reject this request, if it is marked.
pub(crate) fn rejection(headers: &HeaderMap) -> Option<Rejection> {
    match headers.get(MARK)?.as_bytes() {
        b"base64" => Some(Rejection::NotBase64),
        b"size" => Some(Rejection::TooLarge),
        _ => Some(Rejection::NotARequest),
    }
}

/// Checks each event before it is parsed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct EventCheck;

impl<S> Layer<S> for EventCheck {
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

/// The members of payload format 2.0 of an HTTP API that are decoded or parsed.
/// <https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html>
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct HttpEvent<'a> {
    #[serde(default)]
    is_base64_encoded: bool,
    #[serde(borrow, default)]
    body: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    raw_path: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    raw_query_string: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    headers: Headers<'a>,
}

#[derive(Default, Deserialize)]
struct Headers<'a> {
    #[serde(borrow, default)]
    host: Option<Cow<'a, str>>,
    #[serde(borrow, default, rename = "x-forwarded-proto")]
    scheme: Option<Cow<'a, str>>,
}

impl HttpEvent<'_> {
    /// Whether the body cannot be within the limit: base64 has four characters for three bytes.
    fn is_too_large(&self) -> bool {
        self.body.as_deref().unwrap_or_default().len() > MAX_BODY_BYTES.div_ceil(3) * 4
    }

    fn is_decodable(&self) -> bool {
        let body = self.body.as_deref().unwrap_or_default();
        !self.is_base64_encoded || STANDARD.decode(body).is_ok()
    }

    /// Whether scheme, host, path and query form a valid address.
    fn has_address(&self) -> bool {
        let scheme = self.headers.scheme.as_deref().unwrap_or("https");
        let host = self.headers.host.as_deref().unwrap_or("localhost");
        let path = self.raw_path.as_deref().unwrap_or_default();
        let Ok(url) = Url::parse(&format!("{scheme}://{host}{path}")) else { return false };
        let query = self.raw_query_string.as_deref().unwrap_or_default();
        format!("{url}?{query}").parse::<Uri>().is_ok()
    }
}

/// The event without its unreadable parts and with [`MARK`]; `None` when all of it can be read.
fn marked(event: &[u8]) -> Option<Vec<u8>> {
    let read: HttpEvent<'_> = serde_json::from_slice(event).ok()?;
    // First the size: nothing is decoded that will be refused.
    let reason = match () {
        () if read.is_too_large() => "size",
        () if !read.is_decodable() => "base64",
        () if !read.has_address() => "address",
        () => return None,
    };
    let mut event: Map<String, Value> = serde_json::from_slice(event).ok()?;
    for member in ["body", "rawPath", "rawQueryString", "headers", "cookies"] {
        event.remove(member);
    }
    event.insert("isBase64Encoded".to_owned(), json!(false));
    event.insert("headers".to_owned(), json!({ MARK: reason, "host": "localhost" }));
    serde_json::to_vec(&event).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn marked(event: &Value) -> Option<Value> {
        let marked = super::marked(event.to_string().as_bytes())?;
        Some(serde_json::from_slice(&marked).unwrap())
    }

    #[test]
    fn marked_takes_a_body_out_that_is_no_base64() {
        for body in ["%", "AAA", "A===", "\u{fc}"] {
            let event = json!({"body": body, "isBase64Encoded": true, "headers": {"a": "b"}});
            let headers = json!({ MARK: "base64", "host": "localhost" });
            let expected = json!({"isBase64Encoded": false, "headers": headers});
            assert_eq!(marked(&event), Some(expected), "{body}");
        }
    }

    #[test]
    fn marked_takes_an_address_out_that_is_none() {
        let event = |host: &str, scheme: &str, path: &str, query: &str| {
            let headers = json!({"host": host, "x-forwarded-proto": scheme});
            json!({"headers": headers, "rawPath": path, "rawQueryString": query, "body": "x"})
        };
        for event in [
            event("a b", "https", "/api/event", ""),
            event("[::1", "https", "/api/event", ""),
            event("a", "https, http", "/api/event", ""),
            event("a", "https", "/api/event", "x=<y>"),
            event("a", "https", "/api/event", "x=\u{0}"),
            event("a:99999", "https", "/api/event", ""),
        ] {
            let marked = marked(&event).unwrap_or_else(|| panic!("{event} is left as it is"));
            assert_eq!(marked["headers"], json!({ MARK: "address", "host": "localhost" }));
            assert_eq!((&marked["body"], &marked["rawQueryString"]), (&Value::Null, &Value::Null));
        }
    }

    #[test]
    fn marked_leaves_every_other_event_as_it_is() {
        for event in [
            json!({"body": "eyJhIjoxfQ==", "isBase64Encoded": true, "headers": {}}),
            json!({"body": "%", "isBase64Encoded": false}),
            json!({"body": null, "isBase64Encoded": true}),
            json!({"rawPath": "/api/event", "rawQueryString": "a=b&c=%20", "headers":
                {"host": "x.execute-api.us-east-1.amazonaws.com", "x-forwarded-proto": "https"}}),
            json!({"isBase64Encoded": true}),
            json!({}),
            json!("x"),
        ] {
            assert_eq!(marked(&event), None, "{event}");
        }
    }

    #[test]
    fn refusal_says_what_could_not_be_read() {
        let of = |mark: &'static str| {
            HeaderMap::from_iter([(MARK.parse().unwrap(), mark.parse().unwrap())])
        };
        assert_eq!(rejection(&of("base64")), Some(Rejection::NotBase64));
        assert_eq!(rejection(&of("address")), Some(Rejection::NotARequest));
        assert_eq!(rejection(&HeaderMap::new()), None);
    }
}
