//! The outbound [`Http`] port over reqwest and rustls.
//!
//! One client per system: it carries that system's trust anchors. It follows no redirects, because a
//! redirect would carry credentials to a place that nobody configured, and it reads bounded answers.

use std::error::Error as _;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use greenlight_core::ports::{Http, HttpError};
use reqwest::redirect;
use thiserror::Error;

/// How long to wait for a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// How long to wait for a whole answer.
pub const TIMEOUT: Duration = Duration::from_secs(10);

/// The largest answer that is read, in bytes: an approval instance with its whole history fits.
pub const MAX_ANSWER_BYTES: usize = 4 * 1024 * 1024;

/// An HTTP client for one system.
#[derive(Clone, Debug)]
pub struct Client(reqwest::Client);

/// The client cannot be built.
#[derive(Debug, Error)]
pub enum ClientError {
    /// Not one or more certificates in PEM form.
    #[error("the custom CA is not one or more certificates in PEM form")]
    BadCa,
    /// The TLS library or the trust anchors of the machine are missing.
    #[error("the HTTP client cannot be built: {0}")]
    Build(String),
}

impl Client {
    /// A client that trusts the machine's certificate authorities and, besides them, those in `ca_pem`.
    ///
    /// # Errors
    /// [`ClientError`] when `ca_pem` holds no certificate, or the machine has no trust anchors.
    pub fn new(ca_pem: Option<&str>) -> Result<Self, ClientError> {
        let mut builder = reqwest::Client::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(TIMEOUT)
            .redirect(redirect::Policy::none())
            .user_agent(concat!("greenlight/", env!("CARGO_PKG_VERSION")));
        if let Some(pem) = ca_pem {
            let certificates = reqwest::Certificate::from_pem_bundle(pem.as_bytes())
                .map_err(|_| ClientError::BadCa)?;
            if certificates.is_empty() {
                return Err(ClientError::BadCa);
            }
            builder = builder.tls_certs_merge(certificates);
        }
        let client = builder.build().map_err(|error| ClientError::Build(innermost(&error)))?;
        Ok(Self(client))
    }
}

impl Http for Client {
    async fn send(
        &self,
        request: http::Request<Bytes>,
    ) -> Result<http::Response<Bytes>, HttpError> {
        let host = request.uri().authority().map(ToString::to_string).unwrap_or_default();
        let failed = |error: &reqwest::Error| failure(&host, error);
        let request = reqwest::Request::try_from(request).map_err(|error| failed(&error))?;
        let mut response = self.0.execute(request).await.map_err(|error| failed(&error))?;
        let mut body = BytesMut::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| failed(&error))? {
            if body.len() + chunk.len() > MAX_ANSWER_BYTES {
                return Err(HttpError::TooLarge { host, limit: MAX_ANSWER_BYTES });
            }
            body.extend_from_slice(&chunk);
        }
        let mut answer = http::Response::new(body.freeze());
        *answer.status_mut() = response.status();
        *answer.headers_mut() = std::mem::take(response.headers_mut());
        Ok(answer)
    }
}

fn failure(host: &str, error: &reqwest::Error) -> HttpError {
    let host = host.to_owned();
    if error.is_connect() {
        HttpError::Connect { host, cause: innermost(error) }
    } else if error.is_timeout() {
        HttpError::Timeout { host }
    } else {
        HttpError::Broken { host, cause: innermost(error) }
    }
}

/// The innermost cause: the outer ones repeat the URL, whose query may hold a credential.
fn innermost(error: &reqwest::Error) -> String {
    let mut cause = error.source();
    while let Some(inner) = cause.and_then(std::error::Error::source) {
        cause = Some(inner);
    }
    cause.map_or_else(|| "no cause is known".to_owned(), ToString::to_string)
}
