//! Answers of WeCom's API that are errors.

use std::net::IpAddr;
use std::time::Duration;

use greenlight_core::explain::Explain;
use greenlight_core::ports::HttpError;
use greenlight_core::{Class, Failure};
use thiserror::Error;

/// After too many calls WeCom refuses further ones for a minute at least.
const RATE_LIMIT_PAUSE: Duration = Duration::from_mins(1);

/// Codes of the API, from "全局错误码" (path 90313).
mod code {
    /// The token is not valid, or expired.
    pub(super) const TOKEN_REFUSED: [i64; 2] = [40_014, 42_001];
    /// Another secret, or no such corp.
    pub(super) const LOGIN_REFUSED: [i64; 2] = [40_001, 40_013];
    /// The caller's address is not one of the app's trusted ones.
    pub(super) const NOT_TRUSTED: i64 = 60_020;
    /// The API is not allowed for the app.
    pub(super) const NOT_ALLOWED: i64 = 48_002;
    /// The person, or the approval, is outside of what the app may see.
    pub(super) const OUT_OF_SIGHT: [i64; 2] = [60_011, 301_055];
    /// The approval application is disabled, or has a fault.
    pub(super) const APPROVALS_OFF: [i64; 2] = [301_056, 301_057];
    /// Too many calls, or too many at once.
    pub(super) const RATE_LIMITED: [i64; 2] = [45_009, 45_033];
    /// Busy, or an internal error.
    pub(super) const BUSY: [i64; 2] = [-1, 301_026];
}

/// An error response of the API.
#[derive(Debug, Error, Explain)]
#[explain("wecom")]
pub(super) enum ApiError {
    #[error("{0}")]
    Http(HttpError),
    #[error("the secret lacks credentials of this source")]
    NoCredentials,
    #[error("WeCom answered HTTP {status} with an unexpected body")]
    NotJson { status: u16 },
    #[error("the request cannot be built: `base_url` or the token has invalid characters")]
    Unsendable,
    #[error("WeCom's answer does not have the documented shape: {part}")]
    Shape { part: AnswerPart },
    #[error(
        "WeCom refused the login (code {code}): check `corp_id`; `secret` must be the Secret of the \
         self-built app"
    )]
    LoginRefused { code: i64 },
    #[error(
        "WeCom refused the call from {address} (code 60020): add this address under 企业可信IP of the \
         app; on AWS the worker needs a fixed address for egress"
    )]
    NotTrusted { address: String },
    #[error(
        "the app may not call this API (code {code}): enter it in the console under 审批, API, \
         可调用接口的应用"
    )]
    NotAllowed { code: i64 },
    #[error(
        "the app may not see this approval (code {code}): either it is not among 可调用接口的应用 of \
         审批, or the applicant is outside of its 可见范围"
    )]
    OutOfSight { code: i64 },
    #[error("WeCom answered code {code} (HTTP {status})")]
    Code { code: i64, status: u16 },
}

/// The part of an answer that is not as documented.
#[derive(Clone, Copy, Debug, Error, Explain)]
#[explain("wecom_answer")]
pub(super) enum AnswerPart {
    #[error("a field is missing")]
    Fields,
    #[error("it does not say when the approval ended")]
    EndTime,
    #[error("it is not an answer to \"获取审批申请详情\"")]
    Instance,
    #[error("the list of approvals has more pages than are read")]
    EndlessList,
}

/// A failed login.
#[derive(Debug, Error, Explain)]
#[explain("wecom_login")]
#[error("login to WeCom failed: {cause}")]
pub(super) struct LoginFailed {
    pub(super) cause: ApiError,
}

impl ApiError {
    /// The error of a code that is not 0. The text beside it changes, and only names the address
    /// from which the call came.
    pub(super) fn of_code(code: i64, text: &str, status: u16) -> Self {
        match code {
            code::NOT_TRUSTED => Self::NotTrusted { address: address_in(text) },
            code::NOT_ALLOWED => Self::NotAllowed { code },
            code if code::LOGIN_REFUSED.contains(&code) => Self::LoginRefused { code },
            code if code::OUT_OF_SIGHT.contains(&code) => Self::OutOfSight { code },
            code => Self::Code { code, status },
        }
    }

    pub(super) fn is_token_refused(&self) -> bool {
        matches!(self, Self::Code { code, .. } if code::TOKEN_REFUSED.contains(code))
    }

    /// Whether a newer secret can be the remedy.
    pub(super) const fn may_be_rotation(&self) -> bool {
        matches!(self, Self::NoCredentials | Self::LoginRefused { .. })
    }

    /// The pause after which another attempt may succeed, if it is known.
    pub(super) fn pause(&self) -> Option<Duration> {
        let is_limited =
            matches!(self, Self::Code { code, .. } if code::RATE_LIMITED.contains(code));
        is_limited.then_some(RATE_LIMIT_PAUSE)
    }

    pub(super) fn into_failure(self) -> Failure {
        match &self {
            Self::Code { .. } if self.pause().is_some() => {
                Failure::retry_after(self.pause(), Class::SourceUnavailable, self)
            }
            Self::Code { code, status }
                if code::BUSY.contains(code)
                    || code::TOKEN_REFUSED.contains(code)
                    || code::APPROVALS_OFF.contains(code)
                    || *status == 429
                    || *status >= 500 =>
            {
                Failure::retry(Class::SourceUnavailable, self)
            }
            // A retry would get the same answer.
            Self::Code { .. } | Self::Shape { .. } | Self::Http(HttpError::TooLarge { .. }) => {
                Failure::give_up(Class::SourceRejected, self)
            }
            // Of this approval alone.
            Self::OutOfSight { .. } => Failure::retry(Class::SourceRejected, self),
            // These are not caused by the request: they pass when the set-up is corrected.
            Self::Http(_)
            | Self::Unsendable
            | Self::NoCredentials
            | Self::NotJson { .. }
            | Self::LoginRefused { .. }
            | Self::NotTrusted { .. }
            | Self::NotAllowed { .. } => Failure::retry(Class::SourceUnavailable, self),
        }
    }
}

/// The IP address in a text such as `…, from ip: 192.0.2.1, more info at …`.
fn address_in(text: &str) -> String {
    let mut words = text.split(|c: char| !c.is_ascii_hexdigit() && c != '.' && c != ':');
    let address = words.find_map(|word| word.trim_matches(':').parse::<IpAddr>().ok());
    address.map_or_else(|| "an unknown address".to_owned(), |address| address.to_string())
}
