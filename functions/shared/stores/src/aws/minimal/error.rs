//! What AWS says no with.

use bytes::Bytes;
use http::{Response, StatusCode};
use serde::Deserialize;
use thiserror::Error;

/// What passes by itself, besides whatever has a status of 500 and above.
const PASSING: [&str; 11] = [
    "KmsThrottled",
    "RequestLimitExceeded",
    "RequestThrottled",
    "RequestThrottledException",
    "RequestTimeout",
    "RequestTimeoutException",
    "SlowDown",
    "ThrottledException",
    "Throttling",
    "ThrottlingException",
    "TooManyRequestsException",
];

/// So much of what AWS says goes into the log.
const MESSAGE_CHARS: usize = 300;

/// AWS did not do what it was asked for.
#[derive(Debug, Error)]
pub(super) enum CallError {
    #[error("no answer in time")]
    TooLate,
    #[error("no connection: {0}")]
    NoConnection(std::io::Error),
    #[error("the connection broke")]
    Broken,
    #[error("{code}: {message}")]
    ClaimError { status: StatusCode, code: String, message: String },
    #[error("the request could not be signed")]
    NotSigned,
}

impl CallError {
    /// From an answer that is no success.
    pub(super) fn refused(answer: &Response<Bytes>) -> Self {
        let ErrorBody { kind, message } = serde_json::from_slice(answer.body()).unwrap_or_default();
        let header = answer.headers().get("x-amzn-errortype").and_then(|value| value.to_str().ok());
        // `namespace#Code:http://...`, where only the code is sure to be there.
        let kind = kind.as_deref().or(header);
        let code = kind.and_then(|kind| kind.rsplit('#').next()?.split(':').next());
        let message = message.as_deref().unwrap_or("no message");
        Self::ClaimError {
            status: answer.status(),
            code: code.map_or_else(|| answer.status().to_string(), str::to_owned),
            message: message.chars().take(MESSAGE_CHARS).collect(),
        }
    }

    /// Whether another attempt may have more luck.
    pub(super) fn is_passing(&self) -> bool {
        match self {
            Self::TooLate | Self::NoConnection(_) | Self::Broken => true,
            Self::NotSigned => false,
            Self::ClaimError { status, code, .. } => {
                status.is_server_error()
                    || *status == StatusCode::TOO_MANY_REQUESTS
                    || PASSING.contains(&code.as_str())
            }
        }
    }
}

/// What an error's body says: `{"__type": "com.amazonaws.sqs#QueueDoesNotExist", "message": ..}`.
/// The message has a upper-case character in some services.
#[derive(Default, Deserialize)]
struct ErrorBody {
    #[serde(rename = "__type")]
    kind: Option<String>,
    #[serde(alias = "Message")]
    message: Option<String>,
}
