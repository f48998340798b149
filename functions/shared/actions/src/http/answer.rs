//! An answer, as conditions and `save` look at it.

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use minijinja::Value as Context;
use serde_json::{Map, Value};

use super::xml;
use crate::template;

/// An answer that was read.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    /// The tree of JSON or XML, or the text.
    body: Value,
}

impl Answer {
    /// Reads the body as what it looks like: content types of NACs are not to be relied on.
    pub(super) fn of(response: http::Response<Bytes>) -> Self {
        let (head, body) = response.into_parts();
        let text = String::from_utf8_lossy(&body);
        let looked_at = text.trim_start_matches('\u{feff}').trim_start();
        let tree = match looked_at.as_bytes().first() {
            Some(b'{' | b'[' | b'"') => serde_json::from_str(looked_at).ok(),
            Some(b'<') => xml::read(looked_at),
            _ => None,
        };
        let body = tree.unwrap_or_else(|| Value::String(text.into_owned()));
        Self { status: head.status, headers: head.headers, body }
    }

    /// `variables`, and besides them `answer`, `status` and `headers` (names in lower case).
    pub(super) fn context(&self, variables: &Map<String, Value>) -> Context {
        let mut variables = variables.clone();
        let headers: Map<String, Value> = self
            .headers
            .iter()
            .map(|(name, value)| {
                let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
                (name.as_str().to_owned(), Value::String(value))
            })
            .collect();
        variables.insert("answer".to_owned(), self.body.clone());
        variables.insert("status".to_owned(), self.status.as_u16().into());
        variables.insert("headers".to_owned(), Value::Object(headers));
        template::context(&variables)
    }
}
