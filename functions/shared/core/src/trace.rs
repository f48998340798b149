//! One id from the event to the call of the target, which links the logs of both functions and of
//! the NAC's proxy.

use std::fmt;

use http::HeaderMap;
use serde::{Deserialize, Serialize};

/// A trace id of 128 bits, 32 lower-case hexadecimal digits: the one of W3C Trace Context, and of
/// X-Ray without its punctuation.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub struct TraceId(String);

/// The text is not a trace id.
#[derive(Clone, Copy, Debug, thiserror::Error, PartialEq, Eq)]
#[error("a trace id has 32 lower-case hexadecimal digits that are not all 0")]
pub struct BadTraceId;

impl TryFrom<String> for TraceId {
    type Error = BadTraceId;

    fn try_from(text: String) -> Result<Self, BadTraceId> {
        let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        let is_id =
            text.len() == 32 && text.bytes().all(is_digit) && text.bytes().any(|b| b != b'0');
        if is_id { Ok(Self(text)) } else { Err(BadTraceId) }
    }
}

impl TraceId {
    /// Draws a new one.
    #[must_use]
    pub fn random() -> Self {
        Self(format!("{:032x}", fastrand::u128(1..)))
    }

    /// The trace id of a webhook request: `traceparent` (W3C Trace Context), or `x-amzn-trace-id`
    /// as API Gateway sets it (`Root=1-67891233-abcdef012345678912345678`).
    #[must_use]
    pub fn of(headers: &HeaderMap) -> Option<Self> {
        let text = |name: &str| headers.get(name)?.to_str().ok();
        let of_w3c = || text("traceparent")?.split('-').nth(1).map(str::to_owned);
        let of_aws = || {
            let root = text("x-amzn-trace-id")?
                .split(';')
                .find_map(|it| it.trim().strip_prefix("Root="))?;
            Some(root.strip_prefix("1-")?.replace('-', ""))
        };
        Self::try_from(of_aws().or_else(of_w3c)?).ok()
    }

    /// The form in logs.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// A value for the header `traceparent` of a call in this trace.
    #[must_use]
    pub fn traceparent(&self) -> String {
        format!("00-{self}-{:016x}-01", fastrand::u64(1..))
    }
}

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(name: &'static str, value: &str) -> Option<String> {
        let headers =
            HeaderMap::from_iter([(http::HeaderName::from_static(name), value.parse().unwrap())]);
        TraceId::of(&headers).map(|id| id.to_string())
    }

    #[test]
    fn it_comes_from_api_gateway_or_from_a_proxy() {
        let aws = "Self=1-2-3;Root=1-67891233-abcdef012345678912345678;Sampled=1";
        assert_eq!(of("x-amzn-trace-id", aws).as_deref(), Some("67891233abcdef012345678912345678"));
        let w3c = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        assert_eq!(of("traceparent", w3c).as_deref(), Some("4bf92f3577b34da6a3ce929d0e0e4736"));
        for hostile in ["", "00-", "00-\"quoted\"-1-1", "00-00000000000000000000000000000000-1-1"] {
            assert_eq!(of("traceparent", hostile), None, "{hostile}");
        }
    }
}
