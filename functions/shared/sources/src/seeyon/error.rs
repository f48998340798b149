//! Answers of Seeyon's REST API that are errors.

use greenlight_core::explain::Explain;
use greenlight_core::ports::HttpError;
use greenlight_core::{Class, Failure};
use thiserror::Error;

/// An error response of the API.
#[derive(Debug, Error, Explain)]
#[explain("seeyon")]
pub(super) enum ApiError {
    #[error("{0}")]
    Http(HttpError),
    #[error("the secret lacks credentials of this source")]
    NoCredentials,
    #[error("the request cannot be built: `base_url` or the token has invalid characters")]
    Unsendable,
    #[error(
        "Seeyon refused the login: check `user_name` and `password` of the REST account, and whether \
         it is bound to IP addresses"
    )]
    LoginRefused,
    #[error(
        "Seeyon refused the token (HTTP 401): from V8.2SP1 on some calls need mutual trust (三方互信) \
         with this machine"
    )]
    TokenRefused,
    #[error("Seeyon answered HTTP {status}")]
    Status { status: u16 },
    #[error("Seeyon answered {part} in an unexpected form: a wrong path gets a web page")]
    Unexpected { part: AnswerPart },
    #[error("the flow is not in the list of ended flows of its template yet")]
    NotListed,
}

/// A part of the API.
#[derive(Clone, Copy, Debug, Error, Explain)]
#[explain("seeyon_answer")]
pub(super) enum AnswerPart {
    #[error("a token")]
    Token,
    #[error("the state of a flow")]
    State,
    #[error("the form of a flow")]
    Form,
    #[error("the list of ended flows")]
    List,
}

/// A failed login.
#[derive(Debug, Error, Explain)]
#[explain("seeyon_login")]
#[error("login to Seeyon failed: {cause}")]
pub(super) struct LoginFailed {
    pub(super) cause: ApiError,
}

impl ApiError {
    /// An answer in another form than that of `part`.
    pub(super) const fn unexpected(part: AnswerPart) -> Self {
        Self::Unexpected { part }
    }

    pub(super) const fn is_token_refused(&self) -> bool {
        matches!(self, Self::TokenRefused)
    }

    /// Whether a newer secret can be the remedy.
    pub(super) const fn may_be_rotation(&self) -> bool {
        matches!(self, Self::NoCredentials | Self::LoginRefused)
    }

    pub(super) fn into_failure(self) -> Failure {
        match &self {
            // A retry would get the same answer.
            Self::Http(HttpError::TooLarge { .. }) => Failure::give_up(Class::SourceRejected, self),
            // It can also be the answer of a proxy, or of a server that starts.
            Self::Status { status } if *status < 500 && *status != 429 => {
                Failure::retry(Class::SourceRejected, self)
            }
            Self::NotListed => Failure::retry(Class::SourceRejected, self),
            // These are not caused by the request: they pass when the set-up is corrected.
            Self::Http(_)
            | Self::NoCredentials
            | Self::Unsendable
            | Self::LoginRefused
            | Self::TokenRefused
            | Self::Status { .. }
            | Self::Unexpected { .. } => Failure::retry(Class::SourceUnavailable, self),
        }
    }
}
