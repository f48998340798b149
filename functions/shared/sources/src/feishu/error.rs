//! Answers of the OpenAPI that are errors.

use std::time::Duration;

use greenlight_core::explain::Explain;
use greenlight_core::ports::HttpError;
use greenlight_core::retry::MAX_ASKED_WAIT;
use greenlight_core::{Class, Failure};
use thiserror::Error;

/// Codes of the OpenAPI, from its "Server-side error codes" page.
pub(super) mod code {
    /// Rate limited; the header `x-ogw-ratelimit-reset` gives the wait in seconds.
    pub(in super::super) const RATE_LIMITED: i64 = 99_991_400;
    /// The token is invalid, expired or of the wrong kind: returned with HTTP 200 or HTTP 400.
    pub(in super::super) const TOKEN_REFUSED: [i64; 4] =
        [99_991_663, 99_991_664, 99_991_665, 99_991_671];
    /// The calls that the edition allows in a month are used up.
    pub(in super::super) const QUOTA_USED_UP: i64 = 99_991_403;
    /// Internal error, or busy.
    pub(in super::super) const BUSY: [i64; 2] = [2_200, 1_395_001];
    /// Unknown app, or wrong secret: of the login and of `/callback/ws/endpoint`.
    pub(in super::super) const APP_REFUSED: [i64; 3] = [10_003, 10_014, 1_000_040_351];
}

/// An error response of the OpenAPI.
#[derive(Debug, Error, Explain)]
#[explain("feishu")]
pub(super) enum ApiError {
    #[error("{0}")]
    Http(#[from] HttpError),
    #[error("the secret lacks credentials of this source")]
    NoCredentials,
    #[error("Feishu answered HTTP {status} with an unexpected body")]
    NotJson { status: u16 },
    #[error("the request cannot be built: `base_url` or the token has invalid characters")]
    Unsendable,
    #[error("Feishu's answer does not have the documented shape: {part}")]
    Shape { part: AnswerPart },
    #[error("the file is not on Feishu's own servers: {host}")]
    OtherHost { host: String },
    #[error("the download of the file was answered HTTP {status}")]
    Download { status: u16 },
    #[error(
        "{host} knows no app with this id and secret (code {code}): an app of Lark belongs to \
         https://open.larksuite.com, one of Feishu to https://open.feishu.cn"
    )]
    AppRefused { code: i64, host: String },
    #[error(
        "Feishu's quota of calls of this month is used up (log id {log_id}): it begins anew on the \
         1st"
    )]
    QuotaUsedUp { log_id: String },
    #[error("Feishu answered code {code} (HTTP {status}, log id {log_id})")]
    Code { code: i64, status: u16, log_id: String, reset: Option<Duration> },
}

/// The part of an answer that is not as documented.
#[derive(Clone, Copy, Debug, Error, Explain)]
#[explain("feishu_answer")]
pub(super) enum AnswerPart {
    #[error("the form is not a list of widgets")]
    Widgets,
    #[error("a field is missing")]
    Fields,
    #[error("`end_time` of an approval is no moment")]
    EndTime,
    #[error("it is not an answer to \"obtain a single approval instance\"")]
    Instance,
    #[error("the list of instances has more pages than are read")]
    EndlessList,
}

/// A failed login to the OpenAPI.
#[derive(Debug, Error, Explain)]
#[explain("feishu_login")]
#[error("login to Feishu failed: {cause}")]
pub(super) struct LoginFailed {
    pub(super) cause: ApiError,
}

impl ApiError {
    pub(super) fn is_token_refused(&self) -> bool {
        matches!(self, Self::Code { code, .. } if code::TOKEN_REFUSED.contains(code))
    }

    /// Whether a newer secret can be the remedy.
    pub(super) const fn may_be_rotation(&self) -> bool {
        matches!(self, Self::Code { .. } | Self::AppRefused { .. } | Self::NoCredentials)
    }

    pub(super) fn into_failure(self) -> Failure {
        match &self {
            Self::Code { code, status, reset, .. }
                if *code == code::RATE_LIMITED || *status == 429 =>
            {
                Failure::retry_after(*reset, Class::SourceUnavailable, self)
            }
            Self::Code { code, status, .. }
                if code::BUSY.contains(code)
                    || code::TOKEN_REFUSED.contains(code)
                    || *status >= 500 =>
            {
                Failure::retry(Class::SourceUnavailable, self)
            }
            Self::QuotaUsedUp { .. } => {
                Failure::retry_after(Some(MAX_ASKED_WAIT), Class::QuotaUsedUp, self)
            }
            // A retry would get the same answer.
            Self::Code { .. }
            | Self::Shape { .. }
            | Self::OtherHost { .. }
            | Self::Http(HttpError::TooLarge { .. }) => {
                Failure::give_up(Class::SourceRejected, self)
            }
            Self::Http(_)
            | Self::Unsendable
            | Self::NoCredentials
            | Self::AppRefused { .. }
            | Self::NotJson { .. }
            | Self::Download { .. } => Failure::retry(Class::SourceUnavailable, self),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn into_failure_of_an_answer_that_is_too_large_gives_up() {
        let too_large = HttpError::TooLarge { host: "open.feishu.cn".into(), limit: 4_194_304 };
        let failure = ApiError::Http(too_large).into_failure();
        assert!(
            matches!(failure, Failure::GiveUp { reason } if reason.class == Class::SourceRejected)
        );
        let timeout = ApiError::Http(HttpError::Timeout { host: "open.feishu.cn".into() });
        assert!(matches!(timeout.into_failure(), Failure::Retry { .. }));
    }
}
