//! The receiver's two AWS calls without the SDK: `GetSecretValue` and `SendMessage`
//! (docs/adr/0007).
//!
//! Both use the AWS JSON protocol: a JSON object is posted to `/`, the header `X-Amz-Target` names
//! the operation, and the request is signed with Signature Version 4.
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

/// Why the client cannot be set up.
#[derive(Debug, Error)]
pub enum SetupError {
    /// The endpoint in the environment is not a URL.
    #[error("AWS_ENDPOINT_URL is not an http:// or https:// address: {0}")]
    BadEndpoint(String),
    /// The file with the root certificates cannot be read.
    #[error("the root certificates in {path} cannot be read: {cause}")]
    NoRoots { path: PathBuf, cause: std::io::Error },
    /// The file contains no usable root certificate.
    #[error("{0} holds no certificate that can be trusted")]
    EmptyRoots(PathBuf),
    /// The TLS library cannot be set up.
    #[error("TLS cannot be set up: {0}")]
    Tls(String),
}

/// Shared settings of the AWS clients.
#[derive(Clone)]
pub struct Aws {
    region: String,
    credentials: Credentials,
    endpoint: Option<String>,
    /// Read once for all services; `None` for a local endpoint without TLS.
    tls: Option<TlsConnector>,
}

impl Aws {
    /// Reads the root certificates from `SSL_CERT_FILE` or the system's default path.
    ///
    /// # Errors
    /// [`SetupError`] when there are none.
    pub fn new(environment: AwsEnvironment) -> Result<Self, SetupError> {
        let AwsEnvironment { region, credentials, endpoint } = environment;
        let is_plain = endpoint.as_ref().is_some_and(|endpoint| endpoint.starts_with("http:"));
        let tls = if is_plain { None } else { Some(trust::connector()?) };
        Ok(Self { region, credentials, endpoint, tls })
    }

    /// Returns a service by its signing name, which is also its host name.
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
