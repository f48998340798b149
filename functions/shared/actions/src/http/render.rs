//! From an operation's templates and a call's values to a request.
//!
//! A value never leaves its place, because no text is ever pasted: a path segment is percent-encoded
//! as one, a query value as one, a header value is refused when it could end the header, and a JSON
//! string is put into a JSON tree that is written out as a whole.

use bytes::Bytes;
use http::{HeaderName, HeaderValue, header};
use minijinja::Value as Context;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Map, Value};
use thiserror::Error;

use super::connector::Operation;
use super::template::{TemplateError, text, value};

/// All but the unreserved characters of RFC 3986, section 2.3.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// A request that cannot be rendered. Says the place and never the value.
#[derive(Debug, Error)]
pub(super) enum RenderError {
    #[error(transparent)]
    Template(#[from] TemplateError),
    #[error("a value in the path is empty or made of dots")]
    Segment,
    #[error("a value cannot stand in the header `{0}`")]
    Header(String),
    #[error("the request's address is not valid")]
    Address,
}

impl Operation {
    /// The request to the target at `url`, without credentials.
    pub(super) fn render(
        &self,
        url: &str,
        variables: &Map<String, Value>,
    ) -> Result<http::Request<Bytes>, RenderError> {
        let context = &Context::from(minijinja::value::Serde(variables));
        let mut request = http::Request::builder()
            .method(http::Method::from(self.method))
            .uri(self.address(url, context)?);
        for (name, template) in &self.headers {
            let refused = || RenderError::Header(name.clone());
            let text = text(template, context)?;
            let name = HeaderName::try_from(name).map_err(|_| refused())?;
            let value = HeaderValue::try_from(text).map_err(|_| refused())?;
            request = request.header(name, value);
        }
        let body = match &self.json {
            None => Bytes::new(),
            Some(tree) => {
                request = request.header(header::CONTENT_TYPE, "application/json");
                json(tree, context)?.to_string().into()
            }
        };
        request.body(body).map_err(|_| RenderError::Address)
    }

    fn address(&self, url: &str, context: &Context) -> Result<String, RenderError> {
        let mut address = url.to_owned();
        for template in &self.path {
            let segment = text(template, context)?;
            if segment.bytes().all(|byte| byte == b'.') {
                return Err(RenderError::Segment);
            }
            address.push('/');
            address.extend(utf8_percent_encode(&segment, RESERVED));
        }
        let mut separator = '?';
        for (name, template) in &self.query {
            address.push(separator);
            address.extend(utf8_percent_encode(name, RESERVED));
            address.push('=');
            address.extend(utf8_percent_encode(&text(template, context)?, RESERVED));
            separator = '&';
        }
        Ok(address)
    }
}

fn json(tree: &toml::Value, context: &Context) -> Result<Value, RenderError> {
    Ok(match tree {
        toml::Value::String(template) => value(template, context)?,
        toml::Value::Array(items) => {
            let items = items.iter().map(|item| json(item, context));
            Value::Array(items.collect::<Result<_, _>>()?)
        }
        toml::Value::Table(table) => {
            let members = table
                .iter()
                .map(|(name, item)| json(item, context).map(|value| (name.clone(), value)));
            Value::Object(members.collect::<Result<_, _>>()?)
        }
        toml::Value::Integer(number) => Value::from(*number),
        toml::Value::Float(number) => Value::from(*number),
        toml::Value::Boolean(is) => Value::from(*is),
        toml::Value::Datetime(moment) => Value::from(moment.to_string()),
    })
}
