//! One signed call, tried again while that may help.

use std::time::{Duration, SystemTime};

use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use aws_smithy_runtime_api::client::identity::Identity;
use bytes::Bytes;
use http::header::{CONTENT_TYPE, HOST, USER_AGENT};
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use serde::Deserialize;
use serde_json::Value;
use thiserror::Error;
use tokio::time::timeout;

use super::connection::Connection;
use crate::aws::Patience;

const TARGET: &str = "x-amz-target";

/// How long to wait before the second attempt, and twice as long before each further one.
const FIRST_WAIT: Duration = Duration::from_millis(50);

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

/// An operation of a service.
#[derive(Clone, Copy, Debug)]
pub(super) struct Operation {
    /// `X-Amz-Target`.
    pub(super) target: &'static str,
    /// `application/x-amz-json-1.0` or `-1.1`.
    pub(super) content_type: &'static str,
}

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
    Refused { status: StatusCode, code: String, message: String },
    #[error("the request could not be signed")]
    NotSigned,
}

impl CallError {
    /// Whether another attempt may have more luck.
    fn is_passing(&self) -> bool {
        match self {
            Self::TooLate | Self::NoConnection(_) | Self::Broken => true,
            Self::NotSigned => false,
            Self::Refused { status, code, .. } => {
                status.is_server_error()
                    || *status == StatusCode::TOO_MANY_REQUESTS
                    || PASSING.contains(&code.as_str())
            }
        }
    }
}

/// A service in a region.
#[derive(Clone)]
pub(super) struct Service {
    pub(super) name: &'static str,
    pub(super) region: String,
    pub(super) identity: Identity,
    pub(super) connection: Connection,
}

impl Service {
    /// Calls `operation` with `input`, and gives the answer's body.
    pub(super) async fn call(
        &self,
        operation: Operation,
        input: &Value,
        patience: Patience,
    ) -> Result<Bytes, CallError> {
        let body = Bytes::from(input.to_string());
        let attempts = async {
            let mut number = 1;
            loop {
                match self.attempt(operation, body.clone(), patience).await {
                    Err(error) if error.is_passing() && number < patience.attempts => {
                        let wait = FIRST_WAIT * 2_u32.saturating_pow(number - 1);
                        tokio::time::sleep(wait.min(patience.attempt).mul_f64(fastrand::f64()))
                            .await;
                        number += 1;
                    }
                    result => return result,
                }
            }
        };
        timeout(patience.operation, attempts).await.unwrap_or(Err(CallError::TooLate))
    }

    async fn attempt(
        &self,
        operation: Operation,
        body: Bytes,
        patience: Patience,
    ) -> Result<Bytes, CallError> {
        let request = self.request(operation, body).ok_or(CallError::NotSigned)?;
        let sending = self.connection.send(request, patience.connect);
        let answer = timeout(patience.attempt, sending).await.map_err(|_| CallError::TooLate)??;
        if answer.status().is_success() { Ok(answer.into_body()) } else { Err(refusal(&answer)) }
    }

    /// `None` when it cannot be signed.
    fn request(&self, operation: Operation, body: Bytes) -> Option<Request<Full<Bytes>>> {
        let origin = &self.connection.origin;
        let signed = [
            (CONTENT_TYPE.as_str(), operation.content_type),
            (HOST.as_str(), origin.authority.as_str()),
            (TARGET, operation.target),
        ];
        let parameters = v4::SigningParams::builder()
            .identity(&self.identity)
            .region(&self.region)
            .name(self.name)
            .time(SystemTime::now())
            .settings(SigningSettings::default())
            .build()
            .ok()?;
        let signable = SignableRequest::new(
            "POST",
            &origin.url,
            signed.into_iter(),
            SignableBody::Bytes(&body),
        );
        let instructions = sign(signable.ok()?, &parameters.into()).ok()?.into_parts().0;
        let mut request = Request::post("/");
        for (name, value) in signed {
            request = request.header(name, value);
        }
        let request = request.header(USER_AGENT, concat!("greenlight/", env!("CARGO_PKG_VERSION")));
        let mut request = request.body(Full::new(body)).ok()?;
        instructions.apply_to_request_http1x(&mut request);
        Some(request)
    }
}

/// What an error's body says: `{"__type": "com.amazonaws.sqs#QueueDoesNotExist", "message": ..}`. The message has a
/// capital letter in some services.
#[derive(Default, Deserialize)]
struct ErrorBody {
    #[serde(rename = "__type")]
    kind: Option<String>,
    #[serde(alias = "Message")]
    message: Option<String>,
}

fn refusal(answer: &Response<Bytes>) -> CallError {
    let ErrorBody { kind, message } = serde_json::from_slice(answer.body()).unwrap_or_default();
    let header = answer.headers().get("x-amzn-errortype").and_then(|value| value.to_str().ok());
    // `namespace#Code:http://...`, where only the code is sure to be there.
    let code =
        kind.as_deref().or(header).and_then(|kind| kind.rsplit('#').next()?.split(':').next());
    let message = message.as_deref().unwrap_or("no message");
    CallError::Refused {
        status: answer.status(),
        code: code.map_or_else(|| answer.status().to_string(), str::to_owned),
        message: message.chars().take(MESSAGE_CHARS).collect(),
    }
}
