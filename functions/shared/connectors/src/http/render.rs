//! Renders a step's templates and a call's values into a request.
//!
//! A value cannot break out of its place, because text is never concatenated: a path segment and a
//! query or form value are percent-encoded, a header value with control characters is rejected, and
//! JSON strings and XML texts are set in a tree that is serialized as a whole.

use std::collections::BTreeMap;

use bytes::Bytes;
use greenlight_core::explain::Explain;
use http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use minijinja::Value as Context;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Map, Value};
use thiserror::Error;

use super::connector::Step;
use super::xml;
use crate::template::{TemplateError, text, value};

/// All but the unreserved characters of RFC 3986, section 2.3, and the colon, which is allowed in a
/// segment and in a query, and is frequent in addresses.
const RESERVED: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b':');

/// A request that cannot be rendered. The error names the place, never the value.
#[derive(Debug, Error, Explain)]
#[explain("request")]
pub(super) enum RenderError {
    #[error(transparent)]
    Template(#[from] TemplateError),
    #[error("a value in the path is empty or consists of dots")]
    Segment,
    #[error("a value is not allowed in the header `{0}`")]
    Header(String),
    #[error("a value is not allowed in XML")]
    Xml,
    #[error("the request's URL is not valid")]
    Address,
}

/// A request before serialization.
#[derive(Debug)]
pub(super) struct Draft {
    pub(super) method: Method,
    /// Base URL and path.
    address: String,
    query: Vec<(String, String)>,
    pub(super) headers: HeaderMap,
    body: Body,
}

#[derive(Debug)]
enum Body {
    None,
    Json(Value),
    Form(Vec<(String, String)>),
    Xml(Vec<u8>),
}

impl Step {
    /// Renders the request to the target at `url`, without credentials.
    pub(super) fn render(&self, url: &str, context: &Context) -> Result<Draft, RenderError> {
        let mut address = url.to_owned();
        for template in &self.path {
            let segment = text(template, context)?;
            if segment.bytes().all(|byte| byte == b'.') {
                return Err(RenderError::Segment);
            }
            address.push('/');
            address.extend(utf8_percent_encode(&segment, RESERVED));
        }
        let mut draft = Draft {
            method: self.method.into(),
            address,
            query: pairs(&self.query, context)?,
            headers: HeaderMap::new(),
            body: self.body(context)?,
        };
        draft.add_headers(&self.headers, context)?;
        Ok(draft)
    }

    fn body(&self, context: &Context) -> Result<Body, RenderError> {
        if let Some(tree) = &self.json {
            return Ok(Body::Json(json(tree, context)?));
        }
        if let Some(form) = &self.form {
            return Ok(Body::Form(pairs(form, context)?));
        }
        let Some(tree) = &self.xml else { return Ok(Body::None) };
        xml::write(&json(tree, context)?).map(Body::Xml).ok_or(RenderError::Xml)
    }
}

impl Draft {
    /// Adds headers, rendered from templates: those of a step first, which `auth` does not replace.
    pub(super) fn add_headers(
        &mut self,
        templates: &BTreeMap<String, String>,
        context: &Context,
    ) -> Result<(), RenderError> {
        for (name, template) in templates {
            let refused = || RenderError::Header(name.clone());
            let text = text(template, context)?;
            let name = HeaderName::try_from(name).map_err(|_| refused())?;
            let value = HeaderValue::try_from(text).map_err(|_| refused())?;
            self.headers.entry(name).or_insert(value);
        }
        Ok(())
    }

    /// Adds query parameters, rendered from templates.
    pub(super) fn add_query(
        &mut self,
        templates: &BTreeMap<String, String>,
        context: &Context,
    ) -> Result<(), RenderError> {
        self.query.extend(pairs(templates, context)?);
        Ok(())
    }

    /// Adds members to a JSON body; leaves other bodies unchanged.
    pub(super) fn add_json(
        &mut self,
        templates: &BTreeMap<String, String>,
        context: &Context,
    ) -> Result<(), RenderError> {
        if let Body::Json(Value::Object(members)) = &mut self.body {
            for (name, template) in templates {
                members.insert(name.clone(), value(template, context)?);
            }
        }
        Ok(())
    }

    /// Returns path and query, as in the request line.
    pub(super) fn target(&self) -> Result<String, RenderError> {
        let uri: http::Uri = self.url().parse().map_err(|_| RenderError::Address)?;
        Ok(uri.path_and_query().map_or("/", |target| target.as_str()).to_owned())
    }

    fn url(&self) -> String {
        if self.query.is_empty() {
            return self.address.clone();
        }
        format!("{}?{}", self.address, encoded(&self.query))
    }

    /// Returns the request to send.
    pub(super) fn into_request(self) -> Result<http::Request<Bytes>, RenderError> {
        let url = self.url();
        let (content_type, body) = match self.body {
            Body::None => (None, Bytes::new()),
            Body::Json(tree) => (Some("application/json"), tree.to_string().into()),
            Body::Form(pairs) => {
                (Some("application/x-www-form-urlencoded"), encoded(&pairs).into())
            }
            Body::Xml(text) => (Some("application/xml"), text.into()),
        };
        let mut request = http::Request::builder().method(self.method).uri(url);
        if let Some(headers) = request.headers_mut() {
            *headers = self.headers;
            if let Some(content_type) = content_type {
                let content_type = HeaderValue::from_static(content_type);
                headers.entry(header::CONTENT_TYPE).or_insert(content_type);
            }
        }
        request.body(body).map_err(|_| RenderError::Address)
    }
}

fn pairs(
    templates: &BTreeMap<String, String>,
    context: &Context,
) -> Result<Vec<(String, String)>, RenderError> {
    let pair = |(name, template): (&String, &String)| Ok((name.clone(), text(template, context)?));
    templates.iter().map(pair).collect()
}

fn encoded(pairs: &[(String, String)]) -> String {
    let mut text = String::new();
    for (name, value) in pairs {
        if !text.is_empty() {
            text.push('&');
        }
        text.extend(utf8_percent_encode(name, RESERVED));
        text.push('=');
        text.extend(utf8_percent_encode(value, RESERVED));
    }
    text
}

/// Renders the strings of a tree. A member whose expression is `none` is left out.
pub(super) fn json(tree: &toml::Value, context: &Context) -> Result<Value, RenderError> {
    Ok(match tree {
        toml::Value::String(template) => value(template, context)?,
        toml::Value::Array(items) => {
            let items = items.iter().map(|item| json(item, context));
            Value::Array(items.collect::<Result<_, _>>()?)
        }
        toml::Value::Table(table) => {
            let mut members = Map::new();
            for (name, item) in table {
                let value = json(item, context)?;
                if !value.is_null() {
                    members.insert(name.clone(), value);
                }
            }
            Value::Object(members)
        }
        toml::Value::Integer(number) => Value::from(*number),
        toml::Value::Float(number) => Value::from(*number),
        toml::Value::Boolean(is) => Value::from(*is),
        toml::Value::Datetime(moment) => Value::from(moment.to_string()),
    })
}
