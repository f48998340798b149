//! The outbound [`Http`] port over reqwest and rustls.
//!
//! One client per system, with that system's trust anchors. It follows no redirects, which could
//! send credentials to a host that is not configured, and it limits the size of answers.

mod address;
mod trust;
#[cfg(feature = "websocket")]
pub mod websocket;

use std::error::Error as _;
use std::net::IpAddr;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use greenlight_core::explain::{Explain, Explanation};
use greenlight_core::flow::Target;
use greenlight_core::ports::{Http, HttpError};
use greenlight_core::secret::Secret;
use reqwest::redirect;
use thiserror::Error;

/// Timeout of connecting.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// Timeout of a whole exchange.
pub const TIMEOUT: Duration = Duration::from_secs(10);

/// The largest answer, in bytes: enough for an approval instance with its whole history.
pub const MAX_ANSWER_BYTES: usize = 4 * 1024 * 1024;

/// An HTTP client for one system.
#[derive(Clone, Debug)]
pub struct Client(reqwest::Client);

/// Why a client cannot be built.
#[derive(Debug, Error, Explain)]
#[explain("client")]
pub enum ClientError {
    /// The custom CA is not one or more certificates in PEM form.
    #[error("the custom CA is not one or more certificates in PEM form")]
    BadCa,
    /// Credentials would be sent in clear text.
    #[error("{0} would send credentials in clear text: use https://")]
    ClearText(String),
    /// The pin is not a SHA-256.
    #[error("`tls.pin_sha256` is not 64 hexadecimal digits")]
    BadPin,
    #[error("`tls.pin_sha256` needs an https:// `url`")]
    PinWithoutTls,
    /// Two exclusive trust settings.
    #[error("`tls` has both `pin_sha256` and `insecure`")]
    PinnedAndInsecure,
    /// An error of a target's client.
    #[error("target `{target}`: {error}")]
    Target { target: String, error: Box<ClientError> },
    /// The TLS library or the trust anchors of the machine are missing.
    #[error("the HTTP client cannot be built: {0}")]
    Build(String),
}

impl Client {
    /// Creates a client that trusts the machine's certificate authorities and those in `ca_pem`.
    ///
    /// # Errors
    /// [`ClientError`] when `ca_pem` contains no certificate, or the machine has no trust anchors.
    pub fn new(ca_pem: Option<&str>) -> Result<Self, ClientError> {
        let mut builder = builder();
        if let Some(pem) = ca_pem {
            let certificates = reqwest::Certificate::from_pem_bundle(pem.as_bytes())
                .map_err(|_| ClientError::BadCa)?;
            if certificates.is_empty() {
                return Err(ClientError::BadCa);
            }
            builder = builder.tls_certs_merge(certificates);
        }
        build(builder)
    }

    /// Creates the client of a target: with its CA from the secret (`targets.<name>.ca_pem`), or
    /// with the `tls` settings of `flows.toml`.
    ///
    /// # Errors
    /// [`ClientError::Target`] with the target and the reason.
    pub fn of_target(name: &str, target: &Target, secret: &Secret) -> Result<Self, ClientError> {
        let client = match (&target.tls.pin_sha256, target.tls.insecure) {
            (Some(_), true) => Err(ClientError::PinnedAndInsecure),
            (Some(_), false) if !target.url.starts_with("https:") => {
                Err(ClientError::PinWithoutTls)
            }
            (Some(pin), false) => trust::pinned(pin)
                .and_then(|config| build(builder().tls_backend_preconfigured(config))),
            (None, true) => {
                tracing::warn!(
                    target = name,
                    "`tls.insecure`: any server can impersonate this target and read its credentials"
                );
                build(builder().tls_danger_accept_invalid_certs(true))
            }
            (None, false) => Self::new(secret.ca_pem(name)),
        };
        let of_target =
            |error| ClientError::Target { target: name.to_owned(), error: Box::new(error) };
        client.map_err(of_target)
    }
}

/// Returns the proxy of the environment, for `https://` only: a proxy could read `http://` traffic,
/// which is meant for this machine or a trusted network.
fn proxy() -> Option<reqwest::Proxy> {
    let names = ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"];
    let value = |name: &&str| std::env::var(name).ok().filter(|url| !url.is_empty());
    let url = names.iter().find_map(value)?;
    match reqwest::Proxy::https(url) {
        Ok(proxy) => Some(proxy.no_proxy(reqwest::NoProxy::from_env())),
        Err(error) => {
            tracing::error!(%error, "the proxy of the environment is not a URL and is ignored");
            None
        }
    }
}

fn builder() -> reqwest::ClientBuilder {
    let builder = reqwest::Client::builder().no_proxy();
    let builder = match proxy() {
        Some(proxy) => builder.proxy(proxy),
        None => builder,
    };
    builder
        .connect_timeout(CONNECT_TIMEOUT)
        .timeout(TIMEOUT)
        .redirect(redirect::Policy::none())
        .dns_resolver(address::Resolver)
        .user_agent(concat!("greenlight/", env!("CARGO_PKG_VERSION")))
}

fn build(builder: reqwest::ClientBuilder) -> Result<Client, ClientError> {
    builder.build().map(Client).map_err(|error| ClientError::Build(innermost(&error).text))
}

/// Checks an IP address in the URL, because the resolver is not called for it. `url` is parsed, so
/// every notation of the address is normalised.
fn check_literal(url: &reqwest::Url, host: &str) -> Result<(), HttpError> {
    let literal = url.host_str().map(|host| host.trim_matches(['[', ']']).trim_end_matches('.'));
    let Some(address) = literal.and_then(|host| host.parse::<IpAddr>().ok()) else { return Ok(()) };
    address::check(address)
        .map_err(|error| HttpError::Connect { host: host.to_owned(), cause: error.explain() })
}

impl Http for Client {
    async fn send(
        &self,
        request: http::Request<Bytes>,
    ) -> Result<http::Response<Bytes>, HttpError> {
        let host = request.uri().authority().map(ToString::to_string).unwrap_or_default();
        let failed = |error: &reqwest::Error| failure(&host, error);
        let request = reqwest::Request::try_from(request).map_err(|error| failed(&error))?;
        check_literal(request.url(), &host)?;
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

/// Returns the innermost cause: the outer ones repeat the URL, whose query may contain a
/// credential.
fn innermost(error: &reqwest::Error) -> Explanation {
    let mut cause = error.source();
    while let Some(inner) = cause.and_then(std::error::Error::source) {
        cause = Some(inner);
    }
    let io = cause.and_then(|cause| cause.downcast_ref::<std::io::Error>());
    match (io, cause) {
        (Some(io), _) => io.explain(),
        (None, Some(cause)) => Explanation::quoted(cause.to_string()),
        (None, None) => Explanation::quoted("unknown cause"),
    }
}
