//! Answers of Weaver's API that are errors.

use greenlight_core::explain::Explain;
use greenlight_core::ports::HttpError;
use greenlight_core::{Class, Failure};
use thiserror::Error;

/// The longest code that is quoted.
const MAX_CODE_CHARS: usize = 40;

/// An error response of the API.
#[derive(Debug, Error, Explain)]
#[explain("weaver")]
pub(super) enum ApiError {
    #[error("{0}")]
    Http(HttpError),
    #[error("the secret lacks credentials of this source")]
    NoCredentials,
    #[error("`spk` is no public key: it is a text in base64 that begins with MII")]
    BadKey,
    #[error("the request cannot be built: `base_url` or a credential has invalid characters")]
    Unsendable,
    #[error("Weaver answered HTTP {status} with an unexpected body")]
    NotJson { status: u16 },
    #[error(
        "Weaver refused the login: check `app_id`, `secret` and `spk`, all three from the same \
         registration"
    )]
    LoginRefused,
    #[error("Weaver refused the token, or `user_id` is no person of the OA")]
    TokenRefused,
    #[error("the person `user_id` may not read this form (code {code})")]
    NotPermitted { code: String },
    #[error("Weaver answered code {code}")]
    Code { code: String },
    #[error("Weaver's answer does not have the documented shape: {part}")]
    Shape { part: AnswerPart },
}

/// The part of an answer that is not as documented.
#[derive(Clone, Copy, Debug, Error, Explain)]
#[explain("weaver_answer")]
pub(super) enum AnswerPart {
    #[error("a field is missing")]
    Fields,
    #[error("`lastOperateTime` of an archived form is no moment")]
    LastOperateTime,
    #[error("it is not an answer to `getWorkflowRequest`")]
    Instance,
}

/// A failed login.
#[derive(Debug, Error, Explain)]
#[explain("weaver_login")]
#[error("login to Weaver failed: {cause}")]
pub(super) struct LoginFailed {
    pub(super) cause: ApiError,
}

impl ApiError {
    /// The error of an answer with this code.
    pub(super) fn of_code(code: &str) -> Self {
        let is_char = |c: &char| c.is_ascii_alphanumeric() || "._-".contains(*c);
        let quoted: String = code.chars().filter(is_char).take(MAX_CODE_CHARS).collect();
        match code {
            "NO_PERMISSION" => Self::NotPermitted { code: quoted },
            _ => Self::Code { code: quoted },
        }
    }

    pub(super) const fn is_token_refused(&self) -> bool {
        matches!(self, Self::TokenRefused)
    }

    /// Whether a newer secret can be the remedy.
    pub(super) const fn may_be_rotation(&self) -> bool {
        matches!(self, Self::NoCredentials | Self::LoginRefused | Self::BadKey)
    }

    pub(super) fn into_failure(self) -> Failure {
        match &self {
            // A fault of the server.
            Self::Code { code } if code == "SYSTEM_INNER_ERROR" => {
                Failure::retry(Class::SourceUnavailable, self)
            }
            // A retry would get the same answer.
            Self::Code { .. } | Self::Shape { .. } | Self::Http(HttpError::TooLarge { .. }) => {
                Failure::give_up(Class::SourceRejected, self)
            }
            // These are not caused by the request: they pass when the set-up is corrected.
            Self::Http(_)
            | Self::NoCredentials
            | Self::BadKey
            | Self::Unsendable
            | Self::NotJson { .. }
            | Self::LoginRefused
            | Self::TokenRefused
            | Self::NotPermitted { .. } => Failure::retry(Class::SourceUnavailable, self),
        }
    }
}
