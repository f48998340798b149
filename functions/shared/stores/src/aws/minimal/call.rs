//! One signed call, with retries.

use std::time::{Duration, SystemTime};

use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use aws_smithy_runtime_api::client::identity::Identity;
use bytes::Bytes;
use http::Request;
use http::header::{CONTENT_TYPE, HOST, USER_AGENT};
use http_body_util::Full;
use serde_json::Value;
use tokio::time::timeout;

use super::connection::Connection;
use super::error::CallError;
use crate::aws::TimeoutConfig;

const TARGET: &str = "x-amz-target";

/// The wait before the second attempt; doubled before each further one.
const FIRST_WAIT: Duration = Duration::from_millis(50);

/// An operation of a service.
#[derive(Clone, Copy, Debug)]
pub(super) struct Operation {
    /// `X-Amz-Target`.
    pub(super) target: &'static str,
    /// `application/x-amz-json-1.0` or `-1.1`.
    pub(super) content_type: &'static str,
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
    /// Calls `operation` with `input`, and returns the answer's body.
    pub(super) async fn call(
        &self,
        operation: Operation,
        input: &Value,
        timeouts: TimeoutConfig,
    ) -> Result<Bytes, CallError> {
        let body = Bytes::from(input.to_string());
        let attempts = async {
            let mut number = 1;
            loop {
                match self.attempt(operation, body.clone(), timeouts).await {
                    Err(error) if error.is_passing() && number < timeouts.max_attempts => {
                        let wait = FIRST_WAIT * 2_u32.saturating_pow(number - 1);
                        tokio::time::sleep(wait.min(timeouts.attempt).mul_f64(fastrand::f64()))
                            .await;
                        number += 1;
                    }
                    result => return result,
                }
            }
        };
        timeout(timeouts.operation, attempts).await.unwrap_or(Err(CallError::TooLate))
    }

    async fn attempt(
        &self,
        operation: Operation,
        body: Bytes,
        timeouts: TimeoutConfig,
    ) -> Result<Bytes, CallError> {
        let request = self.request(operation, body).ok_or(CallError::NotSigned)?;
        let sending = self.connection.send(request, timeouts.connect);
        let answer = timeout(timeouts.attempt, sending).await.map_err(|_| CallError::TooLate)??;
        if answer.status().is_success() {
            Ok(answer.into_body())
        } else {
            Err(CallError::refused(&answer))
        }
    }

    /// Returns `None` when the request cannot be signed.
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
