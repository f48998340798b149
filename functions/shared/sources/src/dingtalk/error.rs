//! Answers of DingTalk's API that are errors.

use std::time::Duration;

use greenlight_core::explain::Explain;
use greenlight_core::ports::HttpError;
use greenlight_core::retry::MAX_ASKED_WAIT;
use greenlight_core::{Class, Failure};
use thiserror::Error;

/// The pause after more calls a second than an app may make.
const RATE_LIMIT_PAUSE: Duration = Duration::from_secs(2);

/// An address with too many calls is blocked for five minutes, and gets a page instead of JSON.
const BLOCKED_PAUSE: Duration = Duration::from_mins(5);

/// The longest code that is quoted.
const MAX_CODE_CHARS: usize = 80;

/// An error response of the API.
#[derive(Debug, Error, Explain)]
#[explain("dingtalk")]
pub(super) enum ApiError {
    #[error("{0}")]
    Http(HttpError),
    #[error("the secret lacks credentials of this source")]
    NoCredentials,
    #[error("DingTalk answered HTTP {status} with an unexpected body")]
    NotJson { status: u16 },
    #[error("DingTalk's answer does not have the documented shape: {part}")]
    Shape { part: AnswerPart },
    #[error(
        "DingTalk knows no app with this `app_key` and `app_secret` (code {code}), or no version of \
         the app is published"
    )]
    LoginRefused { code: String },
    #[error(
        "DingTalk accepts calls from the addresses in its console only (code {code}): enter the \
         address for egress under 服务器出口IP of the app"
    )]
    NotTrusted { code: String },
    #[error("the app lacks a permission (code {code}): Workflow.Instance.Read is needed")]
    NotPermitted { code: String },
    #[error("DingTalk's quota of calls of this month is used up: it begins anew on the 1st")]
    QuotaUsedUp,
    #[error("too many calls a second (code {code})")]
    RateLimited { code: String },
    #[error("DingTalk answered HTTP {status}, code {code}")]
    Code { code: String, status: u16 },
    #[cfg(feature = "stream")]
    #[error("the stream that DingTalk offers is not on its own servers: {host}")]
    OtherHost { host: String },
}

/// The part of an answer that is not as documented.
#[derive(Clone, Copy, Debug, Error, Explain)]
#[explain("dingtalk_answer")]
pub(super) enum AnswerPart {
    #[error("the address")]
    Address,
    #[error("a field is missing")]
    Fields,
    #[error("it is not an answer to \"获取单个审批实例详情\"")]
    Instance,
    #[error("the list of instances has no end")]
    EndlessList,
}

/// A failed login.
#[derive(Debug, Error, Explain)]
#[explain("dingtalk_login")]
#[error("login to DingTalk failed: {cause}")]
pub(super) struct LoginFailed {
    pub(super) cause: ApiError,
}

impl ApiError {
    /// The error of an answer with this code: a limit of calls has HTTP 403, a refused token 400.
    pub(super) fn of_code(code: &str, status: u16) -> Self {
        let is_char = |c: &char| c.is_ascii_alphanumeric() || "._-".contains(*c);
        let quoted: String = code.chars().filter(is_char).take(MAX_CODE_CHARS).collect();
        let is_about = |part: &str| code.contains(part);
        match code {
            _ if is_about("ApiCountLimitForOrg") => Self::QuotaUsedUp,
            _ if is_about("QpsLimit") => Self::RateLimited { code: quoted },
            _ if is_about("IpNotInWhiteList") => Self::NotTrusted { code: quoted },
            _ if is_about("AccessTokenPermissionDenied") => Self::NotPermitted { code: quoted },
            "authFailed" | "invalidClientIdOrSecret" => Self::LoginRefused { code: quoted },
            _ => Self::Code { code: quoted, status },
        }
    }

    pub(super) fn is_token_refused(&self) -> bool {
        matches!(self, Self::Code { code, .. } if code == "InvalidAuthentication")
    }

    /// Whether a newer secret can be the remedy.
    pub(super) const fn may_be_rotation(&self) -> bool {
        matches!(self, Self::NoCredentials | Self::LoginRefused { .. })
    }

    pub(super) fn into_failure(self) -> Failure {
        let unavailable = Class::SourceUnavailable;
        match &self {
            Self::QuotaUsedUp => Failure::retry_after(Some(MAX_ASKED_WAIT), unavailable, self),
            Self::RateLimited { .. } => {
                Failure::retry_after(Some(RATE_LIMIT_PAUSE), unavailable, self)
            }
            Self::NotJson { .. } => Failure::retry_after(Some(BLOCKED_PAUSE), unavailable, self),
            Self::Code { status, .. }
                if *status >= 500 || *status == 429 || self.is_token_refused() =>
            {
                Failure::retry(unavailable, self)
            }
            // A retry would get the same answer.
            Self::Code { .. } | Self::Shape { .. } | Self::Http(HttpError::TooLarge { .. }) => {
                Failure::give_up(Class::SourceRejected, self)
            }
            #[cfg(feature = "stream")]
            Self::OtherHost { .. } => Failure::give_up(Class::SourceRejected, self),
            // These are not caused by the request: they pass when the set-up is corrected.
            Self::Http(_)
            | Self::NoCredentials
            | Self::LoginRefused { .. }
            | Self::NotTrusted { .. }
            | Self::NotPermitted { .. } => Failure::retry(unavailable, self),
        }
    }
}
