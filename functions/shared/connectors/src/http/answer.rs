//! An answer, as conditions and `capture` see it.

use bytes::Bytes;
use http::{HeaderMap, StatusCode, header};
use minijinja::Value as Context;
use serde_json::{Map, Value};

use super::xml;
use crate::template;

/// The detected type of an answer's body; the content type is ignored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    Empty,
    Json,
    Xml,
    /// HTML: a login page, or a web server without the API.
    WebPage,
    Text,
}

/// A parsed answer.
#[derive(Debug)]
pub(super) struct TargetAnswer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) shape: Shape,
    /// The tree of JSON or XML, or the text.
    body: Value,
}

impl TargetAnswer {
    /// Parses the body by its detected type: the content types of NACs are unreliable.
    pub(super) fn of(response: http::Response<Bytes>) -> Self {
        let (head, body) = response.into_parts();
        let text = String::from_utf8_lossy(&body);
        let looked_at = text.trim_start_matches('\u{feff}').trim_start();
        let is_html = is_web_page(looked_at, &head.headers);
        let (shape, tree) = match looked_at.as_bytes().first() {
            None => (Shape::Empty, None),
            Some(b'<') if is_html => (Shape::WebPage, None),
            Some(b'<') => (Shape::Xml, xml::read(looked_at)),
            Some(_) => (Shape::Json, serde_json::from_str(looked_at).ok()),
        };
        let shape = match (shape, &tree) {
            (Shape::Json | Shape::Xml, None) if is_html => Shape::WebPage,
            (Shape::Json | Shape::Xml, None) => Shape::Text,
            _ => shape,
        };
        let body = tree.unwrap_or_else(|| Value::String(text.into_owned()));
        Self { status: head.status, headers: head.headers, shape, body }
    }

    /// Returns `variables` plus `answer`, `status` and `headers` (names in lower case).
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

/// Elements at the start of a web page.
const PAGE_ELEMENTS: [&str; 8] =
    ["<!doctype html", "<html", "<head", "<body", "<title", "<meta", "<script", "<style"];

/// Returns whether a body is HTML, by its start or by its content type.
fn is_web_page(text: &str, headers: &HeaderMap) -> bool {
    let start = without_prologue(text);
    let starts_with =
        |tag: &&str| start.get(..tag.len()).is_some_and(|start| start.eq_ignore_ascii_case(tag));
    let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let is_html = |content_type: &str| {
        let content_type = content_type.to_ascii_lowercase();
        ["text/html", "application/xhtml+xml"].iter().any(|html| content_type.starts_with(html))
    };
    PAGE_ELEMENTS.iter().any(starts_with) || content_type.is_some_and(is_html)
}

/// Strips the XML declaration and comments from the start of a text.
fn without_prologue(text: &str) -> &str {
    let mut rest = text.trim_start();
    loop {
        let end = match rest {
            _ if rest.starts_with("<?") => rest.find("?>").map(|end| end + 2),
            _ if rest.starts_with("<!--") => rest.find("-->").map(|end| end + 3),
            _ => None,
        };
        match end.and_then(|end| rest.get(end..)) {
            Some(behind) => rest = behind.trim_start(),
            None => return rest,
        }
    }
}
