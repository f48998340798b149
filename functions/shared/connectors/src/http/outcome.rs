//! The meaning of a target's answer.

#![warn(missing_docs)]

use std::time::{Duration, SystemTime};

use greenlight_core::retry::MAX_ASKED_WAIT;
use greenlight_core::{Class, Timestamp};
use http::{HeaderMap, StatusCode, header};
use minijinja::Value as Context;
use serde::Deserialize;

use super::answer::TargetAnswer;
use crate::template::{TemplateError, holds};

/// One rule of a step's `outcomes`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// The HTTP statuses that it matches. Default: all.
    #[serde(default)]
    pub status: Vec<u16>,
    /// A condition over the answer. Default: none.
    pub when: Option<String>,
    /// The meaning of a match.
    pub result: RuleResult,
    /// With `repeat` and `retry`: the wait in milliseconds. Default: that of `Retry-After`, else
    /// none.
    pub after_ms: Option<u64>,
    /// The meaning of such an answer, for people.
    #[serde(default)]
    pub reason: String,
}

/// The meaning of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RuleResult {
    /// The target applied the change; the operation is complete.
    Done,
    /// Nothing to change; the operation is complete and counts as a success.
    AlreadyExists,
    /// The step is complete; continue with the next one.
    Next,
    /// Repeat the step: the next page, or polling.
    Repeat,
    /// Transient failure.
    Retry,
    /// Permanent failure.
    Fail,
    /// The object does not exist.
    NotFound,
}

/// The meaning of an answer, and how long to wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Judgement<'a> {
    pub(super) result: RuleResult,
    pub(super) reason: &'a str,
    pub(super) after: Option<Duration>,
    /// The class of the failure, if it is one.
    pub(super) class: Class,
}

/// Evaluates `answer` by `rules`. If no rule matches: 2xx continues; 401 (credentials can be
/// corrected), 408, 425, 429 and 5xx are transient; all others are permanent.
pub(super) fn judge<'a>(
    rules: &'a [Rule],
    answer: &TargetAnswer,
    context: &Context,
    now: Timestamp,
) -> Result<Judgement<'a>, TemplateError> {
    let status = answer.status;
    let mut found = None;
    for rule in rules {
        if rule.is_for(status.as_u16())
            && rule.when.as_deref().map_or(Ok(true), |when| holds(when, context))?
        {
            found = Some(rule);
            break;
        }
    }
    let unnamed = if status.is_success() {
        RuleResult::Next
    } else if may_pass(status) {
        RuleResult::Retry
    } else {
        RuleResult::Fail
    };
    let result = found.map_or(unnamed, |rule| rule.result);
    let asked_wait = found.and_then(|rule| rule.after_ms).map(Duration::from_millis);
    let asked_wait = asked_wait.map(|asked_wait| asked_wait.min(MAX_ASKED_WAIT));
    let after = asked_wait.or_else(|| retry_after(&answer.headers, now));
    let class = match result {
        RuleResult::Retry => class(status),
        RuleResult::NotFound => Class::NotFound,
        _ => Class::TargetRejected,
    };
    let reason = found.map_or("", |rule| rule.reason.as_str());
    Ok(Judgement { result, reason, after, class })
}

impl Rule {
    /// Returns whether the rule matches this status.
    pub(super) fn is_for(&self, status: u16) -> bool {
        self.status.is_empty() || self.status.contains(&status)
    }
}

/// Returns whether a status is transient.
pub(super) fn may_pass(status: StatusCode) -> bool {
    status.is_server_error() || matches!(status.as_u16(), 401 | 408 | 425 | 429)
}

/// Returns whether the whole target is overloaded, or failed for this subject.
fn class(status: StatusCode) -> Class {
    match status {
        StatusCode::UNAUTHORIZED => Class::TargetAuthFailed,
        StatusCode::TOO_MANY_REQUESTS => Class::TargetUnavailable,
        // A gateway timeout may be caused by this one subject.
        StatusCode::REQUEST_TIMEOUT
        | StatusCode::BAD_GATEWAY
        | StatusCode::SERVICE_UNAVAILABLE
        | StatusCode::GATEWAY_TIMEOUT => Class::TargetTimeout,
        _ => Class::TargetFailed,
    }
}

/// Parses `Retry-After`: seconds or a date (RFC 9110, section 10.2.3), at most [`MAX_ASKED_WAIT`].
fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let text = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim();
    // A number that overflows is still a number of seconds.
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        let seconds = text.parse().map_or(Duration::MAX, Duration::from_secs);
        return Some(seconds.min(MAX_ASKED_WAIT));
    }
    let date = httpdate::parse_http_date(text).ok()?;
    let millis = date.duration_since(SystemTime::UNIX_EPOCH).ok()?.as_millis();
    let date = Timestamp::from_millis(i64::try_from(millis).ok()?);
    Some(date.since(now).min(MAX_ASKED_WAIT))
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
        for endless in ["18446744073709551615", "99999999999999999999999", "172800"] {
            assert_eq!(retry_after_of(endless), Some(MAX_ASKED_WAIT), "{endless}");
        }
        assert_eq!(retry_after_of("Fri, 31 Dec 9999 23:59:59 GMT"), Some(MAX_ASKED_WAIT));
    }
}
