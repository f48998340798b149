//! An HTTP API's payload format 2.0, as far as it is needed, both ways.
//! <https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html>

use std::collections::HashMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use greenlight_core::{Answer, Delivery, Refusal};
use http::{HeaderMap, HeaderName, HeaderValue};
use serde::{Deserialize, Serialize};

/// What the function is invoked with. Anything else, as by something other than an HTTP API, is an error of the
/// invocation.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Event {
    #[serde(rename = "version")]
    _version: Version,
    #[serde(default)]
    headers: HashMap<String, String>,
    body: Option<String>,
    #[serde(default)]
    is_base64_encoded: bool,
}

#[derive(Debug, Deserialize)]
enum Version {
    #[serde(rename = "2.0")]
    Two,
}

/// What the function answers with.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Response {
    status_code: u16,
    headers: ContentType,
    body: String,
    is_base64_encoded: bool,
}

#[derive(Debug, Serialize)]
struct ContentType {
    #[serde(rename = "content-type")]
    content_type: &'static str,
}

/// The delivery with the exact bytes that were sent.
pub(crate) fn delivery(event: Event) -> Result<Delivery, Refusal> {
    let text = event.body.unwrap_or_default();
    let body = if event.is_base64_encoded {
        STANDARD.decode(text).map_err(|_| Refusal::NotBase64)?
    } else {
        text.into_bytes()
    };
    // What is no header is none of the office system's.
    let header = |(name, value): (String, String)| -> Option<(HeaderName, HeaderValue)> {
        Some((name.try_into().ok()?, value.try_into().ok()?))
    };
    let headers: HeaderMap = event.headers.into_iter().filter_map(header).collect();
    Ok(Delivery { headers, body: body.into() })
}

pub(crate) fn response(answer: &Answer) -> Response {
    Response {
        status_code: answer.status(),
        headers: ContentType { content_type: "application/json" },
        body: answer.body(),
        is_base64_encoded: false,
    }
}
