//! The root certificates.
//!
//! Parsing 140 certificates in PEM form took half of all instructions until the first answer,
//! because the usual parser decodes them in constant time like keys (docs/performance.md).
//! Certificates are public, so this parser need not.

use std::path::PathBuf;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use super::SetupError;

/// Paths of Amazon Linux and Debian.
const PLACES: [&str; 2] =
    ["/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/certs/ca-certificates.crt"];

const BEGIN: &str = "-----BEGIN CERTIFICATE-----";
const END: &str = "-----END CERTIFICATE-----";

/// Connects to servers whose certificate chains to one of the roots.
pub(super) fn connector() -> Result<TlsConnector, SetupError> {
    let path = file();
    let text = std::fs::read_to_string(&path)
        .map_err(|cause| SetupError::NoRoots { path: path.clone(), cause })?;
    let mut roots = RootCertStore::empty();
    // Some certificates of a system have an unsupported format.
    roots.add_parsable_certificates(certificates(&text).map(Into::into));
    if roots.is_empty() {
        return Err(SetupError::EmptyRoots(path));
    }
    let provider = Arc::new(aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| SetupError::Tls(error.to_string()))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}

fn file() -> PathBuf {
    let given = std::env::var_os("SSL_CERT_FILE").filter(|path| !path.is_empty());
    let found = || PLACES.into_iter().map(PathBuf::from).find(|place| place.exists());
    given.map(PathBuf::from).or_else(found).unwrap_or_else(|| PLACES[0].into())
}

/// Returns the certificates of a text with PEM blocks; skips invalid blocks.
fn certificates(text: &str) -> impl Iterator<Item = Vec<u8>> {
    let blocks = text.split(BEGIN).skip(1).filter_map(|block| Some(block.split_once(END)?.0));
    let mut digits = Vec::new();
    blocks.filter_map(move |block| {
        digits.clear();
        for line in block.lines() {
            digits.extend_from_slice(line.trim().as_bytes());
        }
        STANDARD.decode(&digits).ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn certificates_are_read_whatever_stands_between_them() {
        let text =
            format!("# a comment\n{BEGIN}\nAQID\nBA==\r\n{END}\n{BEGIN}\n?\n{END}\n\n{BEGIN}AQ==");
        assert_eq!(certificates(&text).collect::<Vec<_>>(), [vec![1, 2, 3, 4]]);
    }
}
