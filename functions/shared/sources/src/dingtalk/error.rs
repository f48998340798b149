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

/// Faults of the server, one of them with HTTP 400.
const FAULTS: [&str; 2] = ["internalError", "systemError"];

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
    #[error("the request cannot be built: `base_url` or the token has invalid characters")]
    Unsendable,
    #[error("DingTalk's answer does not have the documented shape: {part}")]
    Shape { part: AnswerPart },
    #[error(
        "DingTalk refused the login (code {code}): check `app_key` and `app_secret`, and that a \
         version of the app is published"
    )]
    LoginRefused { code: String },
    #[error(
        "DingTalk refused calls from this address (code {code}): add the address for egress under \
         服务器出口IP of the app"
    )]
    NotTrusted { code: String },
    #[error("the app lacks a permission (code {code}): Workflow.Instance.Read is needed")]
    NotPermitted { code: String },
    #[error("DingTalk's quota of calls of this month is used up: it begins anew on the 1st")]
    QuotaUsedUp,
    #[error("the instance is not in the list of its form yet")]
    NotListed,
    #[error("too many calls a second (code {code})")]
    RateLimited { code: String },
    #[error("DingTalk answered HTTP {status}, code {code}")]
    Code { code: String, status: u16 },
    #[error("DingTalk's older API answered code {code}")]
    OldApi { code: i64 },
    #[cfg(feature = "stream")]
    #[error("DingTalk did not open the stream: HTTP {status}")]
    Handshake { status: u16 },
    #[cfg(feature = "stream")]
    #[error("the stream that DingTalk offers is not on its own servers: {host}")]
    OtherHost { host: String },
}

/// The part of an answer that is not as documented.
#[derive(Clone, Copy, Debug, Error, Explain)]
#[explain("dingtalk_answer")]
pub(super) enum AnswerPart {
    #[error("a field is missing")]
    Fields,
    #[error("`createTime` is no moment")]
    CreateTime,
    #[error("`finishTime` of an approval is no moment")]
    FinishTime,
    #[error("it is not an answer to \"获取单个审批实例详情\"")]
    Instance,
    #[error("the list of instances has more pages than are read")]
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
        matches!(self, Self::Code { code, status } if code == "InvalidAuthentication" || *status == 401)
    }

    /// Whether a newer secret can be the remedy.
    pub(super) const fn may_be_rotation(&self) -> bool {
        matches!(self, Self::NoCredentials | Self::LoginRefused { .. })
    }

    /// The pause after which another attempt may succeed, if it is known.
    pub(super) const fn pause(&self) -> Option<Duration> {
        match self {
            Self::QuotaUsedUp => Some(MAX_ASKED_WAIT),
            Self::RateLimited { .. } => Some(RATE_LIMIT_PAUSE),
            Self::NotJson { status } if *status < 500 => Some(BLOCKED_PAUSE),
            _ => None,
        }
    }

    pub(super) fn into_failure(self) -> Failure {
        let unavailable = Class::SourceUnavailable;
        match &self {
            Self::Code { code, status }
                if *status >= 500
                    || *status == 429
                    || FAULTS.contains(&code.as_str())
                    || self.is_token_refused() =>
            {
                Failure::retry(unavailable, self)
            }
            // A retry would get the same answer.
            Self::Code { .. } | Self::Shape { .. } | Self::Http(HttpError::TooLarge { .. }) => {
                Failure::give_up(Class::SourceRejected, self)
            }
            Self::QuotaUsedUp => Failure::retry_after(self.pause(), Class::QuotaUsedUp, self),
            #[cfg(feature = "stream")]
            Self::OtherHost { .. } => Failure::give_up(Class::SourceRejected, self),
            #[cfg(feature = "stream")]
            Self::Handshake { .. } => Failure::retry(unavailable, self),
            // These are not caused by the request: they pass when the set-up is corrected.
            Self::Http(_)
            | Self::OldApi { .. }
            | Self::Unsendable
            | Self::NotJson { .. }
            | Self::NotListed
            | Self::RateLimited { .. }
            | Self::NoCredentials
            | Self::LoginRefused { .. }
            | Self::NotTrusted { .. }
            | Self::NotPermitted { .. } => Failure::retry_after(self.pause(), unavailable, self),
        }
    }
}
