//! Errors of AWS calls.

use bytes::Bytes;
use http::{Response, StatusCode};
use serde::Deserialize;
use thiserror::Error;

/// Codes of transient errors, besides every status of 500 and above.
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

/// The longest error message that is logged.
const MESSAGE_CHARS: usize = 300;

/// An AWS call failed.
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
    /// Creates the error from an unsuccessful answer.
    pub(super) fn refused(answer: &Response<Bytes>) -> Self {
        let ErrorBody { kind, message } = serde_json::from_slice(answer.body()).unwrap_or_default();
        let header = answer.headers().get("x-amzn-errortype").and_then(|value| value.to_str().ok());
        // `namespace#Code:http://...`, where only the code is always present.
        let kind = kind.as_deref().or(header);
        let code = kind.and_then(|kind| kind.rsplit('#').next()?.split(':').next());
        let message = message.as_deref().unwrap_or("no message");
        Self::ClaimError {
            status: answer.status(),
            code: code.map_or_else(|| answer.status().to_string(), str::to_owned),
            message: message.chars().take(MESSAGE_CHARS).collect(),
        }
    }

    /// Returns whether the error is transient.
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

/// The body of an error: `{"__type": "com.amazonaws.sqs#QueueDoesNotExist", "message": ..}`. Some
/// services write `Message`.
#[derive(Default, Deserialize)]
struct ErrorBody {
    #[serde(rename = "__type")]
    kind: Option<String>,
    #[serde(alias = "Message")]
    message: Option<String>,
}
