//! The two calls that the receiver makes, without the SDK: `GetSecretValue` and `SendMessage`
//! (docs/adr/0007).
//!
//! Both are AWS JSON: an object is posted to `/`, the operation stands in `X-Amz-Target`, and the
//! request is signed with Signature Version 4.
//! <https://smithy.io/2.0/aws/protocols/aws-json-1_0-protocol.html>

mod call;
mod connection;
mod endpoint;
mod error;
mod secretsmanager;
mod sqs;
mod trust;

use std::path::PathBuf;

use aws_credential_types::Credentials;
use thiserror::Error;
use tokio_rustls::TlsConnector;

use super::AwsEnvironment;
use call::Service;
use connection::{Connection, Origin};

pub use secretsmanager::SecretsManager;
pub use sqs::SqsQueue;

/// AWS cannot be called from here.
#[derive(Debug, Error)]
pub enum SetupError {
    /// The endpoint in the environment is none.
    #[error("AWS_ENDPOINT_URL is not an http:// or https:// address: {0}")]
    BadEndpoint(String),
    /// There is no file with roots of trust.
    #[error("the roots of trust in {path} cannot be read: {cause}")]
    NoRoots {
        /// Where they should be.
        path: PathBuf,
        /// Why they are not.
        cause: std::io::Error,
    },
    /// The file with the roots of trust holds none.
    #[error("{0} holds no certificate that can be trusted")]
    EmptyRoots(PathBuf),
    /// The TLS library is not what it should be.
    #[error("TLS cannot be set up: {0}")]
    Tls(String),
}

/// AWS, as its services are called from here.
#[derive(Clone)]
pub struct Aws {
    region: String,
    credentials: Credentials,
    endpoint: Option<String>,
    /// Read once for all services; none where the endpoint is a local one without TLS.
    tls: Option<TlsConnector>,
}

impl Aws {
    /// Reads the roots of trust, from `SSL_CERT_FILE` or where the system has them.
    ///
    /// # Errors
    /// [`SetupError`] when there are none.
    pub fn new(environment: AwsEnvironment) -> Result<Self, SetupError> {
        let AwsEnvironment { region, credentials, endpoint } = environment;
        let is_plain = endpoint.as_ref().is_some_and(|endpoint| endpoint.starts_with("http:"));
        let tls = if is_plain { None } else { Some(trust::connector()?) };
        Ok(Self { region, credentials, endpoint, tls })
    }

    /// A service by the name that requests to it are signed for, which is that of its host, too.
    fn service(&self, name: &'static str) -> Result<Service, SetupError> {
        let url = match &self.endpoint {
            Some(endpoint) => endpoint.clone(),
            None => endpoint::of(name, &self.region),
        };
        let origin = Origin::parse(&url, self.tls.as_ref()).ok_or(SetupError::BadEndpoint(url))?;
        Ok(Service {
            name,
            region: self.region.clone(),
            identity: self.credentials.clone().into(),
            connection: Connection::to(origin),
        })
    }
}
