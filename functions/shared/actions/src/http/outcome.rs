//! What a target's answer means.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use greenlight_core::ledger::EffectOutcome;
use greenlight_core::{Class, Failure, Timestamp};
use http::{HeaderMap, StatusCode, header};
use serde::Deserialize;

/// One rule of an operation's `outcomes`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// The HTTP statuses that it is for.
    pub status: Vec<u16>,
    /// What they mean.
    pub is: RuleOutcome,
}

/// What an answer means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RuleOutcome {
    /// The target did it.
    Done,
    /// It was so before, which is as good.
    AlreadyThere,
    /// It may work later.
    Retry,
    /// It cannot work.
    GiveUp,
}

/// An answer that is no success.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unsuccessful {
    Retry { after: Option<Duration>, class: Class },
    GiveUp,
}

impl Unsuccessful {
    pub(super) fn into_failure(self, text: String) -> Failure {
        match self {
            Self::Retry { after, class } => Failure::retry_after(after, class, text),
            Self::GiveUp => Failure::give_up(Class::TargetRefused, text),
        }
    }
}

/// What `response` means by `rules`; what no rule names: 401 (our credentials can be mended), 408, 425,
/// 429 and 5xx may work later, everything else cannot.
pub(super) fn judge(
    rules: &[Rule],
    response: &http::Response<Bytes>,
    now: Timestamp,
) -> Result<EffectOutcome, Unsuccessful> {
    let status = response.status();
    let rule = rules.iter().find(|rule| rule.status.contains(&status.as_u16()));
    let passes = status.is_server_error() || matches!(status.as_u16(), 401 | 408 | 425 | 429);
    let unnamed = if passes { RuleOutcome::Retry } else { RuleOutcome::GiveUp };
    match rule.map_or(unnamed, |rule| rule.is) {
        RuleOutcome::Done => Ok(EffectOutcome::Done),
        RuleOutcome::AlreadyThere => Ok(EffectOutcome::AlreadyThere),
        RuleOutcome::GiveUp => Err(Unsuccessful::GiveUp),
        RuleOutcome::Retry => Err(Unsuccessful::Retry {
            after: retry_after(response.headers(), now),
            class: class(status),
        }),
    }
}

/// Whether the target as a whole has no time, or failed over this one device.
fn class(status: StatusCode) -> Class {
    match status {
        StatusCode::UNAUTHORIZED => Class::TargetLogin,
        StatusCode::TOO_MANY_REQUESTS
        | StatusCode::BAD_GATEWAY
        | StatusCode::SERVICE_UNAVAILABLE
        | StatusCode::GATEWAY_TIMEOUT => Class::TargetUnavailable,
        _ => Class::TargetFailed,
    }
}

/// `Retry-After`: seconds or a date (RFC 9110, section 10.2.3).
fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let text = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = httpdate::parse_http_date(text).ok()?;
    let millis = date.duration_since(SystemTime::UNIX_EPOCH).ok()?.as_millis();
    Some(Timestamp::from_millis(i64::try_from(millis).ok()?).since(now))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn retry_after_of(value: &str) -> Option<Duration> {
        let headers = HeaderMap::from_iter([(header::RETRY_AFTER, value.parse().unwrap())]);
        retry_after(&headers, Timestamp::from_millis(1_445_412_480_000))
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        assert_eq!(retry_after_of("120"), Some(Duration::from_mins(2)));
        assert_eq!(retry_after_of("Wed, 21 Oct 2015 07:28:30 GMT"), Some(Duration::from_secs(30)));
        assert_eq!(retry_after_of("Wed, 21 Oct 2015 07:27:00 GMT"), Some(Duration::ZERO));
        assert_eq!(retry_after_of("soon"), None);
    }
}
