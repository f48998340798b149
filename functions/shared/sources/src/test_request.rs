//! Webhook requests as an office system sends them, for tests of a deployment.

#![warn(missing_docs)]

use greenlight_core::explain::Explain;
use greenlight_core::secret::Credentials;
use http::Method;
use thiserror::Error;

/// An event to send for a test.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TestEvent {
    /// The check of the URL when it is entered in the office system.
    UrlCheck {
        /// The text to be sent back.
        challenge: String,
    },
    /// An approval instance was approved.
    Approved {
        /// The id of the event.
        event_id: String,
        /// The approval definition.
        definition_id: String,
        /// The approval instance.
        instance_id: String,
    },
}

/// The reason for which a test event cannot be sent.
#[derive(Clone, Debug, Error, Explain, PartialEq, Eq)]
#[explain("not_sendable")]
pub enum NotSendable {
    /// The office system sends no URL check.
    #[error(
        "a source of this kind has no URL check: name an instance with --instance and \
         --definition-id"
    )]
    NoUrlCheck,
    /// The secret has public keys only, or none that is usable.
    #[error("the secret has no key of this source that can sign: a test event needs `whsec_…`")]
    NoSigningKey,
    /// The signed message is the authority, and no value of the status starts no flow.
    #[error(
        "the signed message of this source is carried out as it is: name a value under `refused` or \
         `pending` of its `statuses`, which a test can send"
    )]
    WouldBeCarriedOut,
    /// Its events come over a connection, and the secret lacks the keys of webhooks.
    #[error("events of this source come over a connection: there is no URL to send a test to")]
    OverConnection,
    /// A credential is missing in the secret.
    #[error("the secret lacks `{name}` of this source")]
    NoCredential {
        /// Its name.
        name: &'static str,
    },
}

/// A credential that a test request needs.
pub(crate) fn credential(
    credentials: &Credentials,
    name: &'static str,
) -> Result<String, NotSendable> {
    let value = credentials.get(name).map(str::to_owned);
    value.ok_or(NotSendable::NoCredential { name })
}

/// A webhook request as an office system sends it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sent {
    /// GET or POST.
    pub method: Method,
    /// The query without its `?`; empty if there is none.
    pub query: String,
    /// Name and value, lower-case names.
    pub headers: Vec<(String, String)>,
    /// The raw body.
    pub body: String,
}

impl Sent {
    /// A POST without a query.
    #[must_use]
    pub const fn post(headers: Vec<(String, String)>, body: String) -> Self {
        Self { method: Method::POST, query: String::new(), headers, body }
    }

    /// A GET with everything in its query.
    #[must_use]
    pub const fn get(query: String) -> Self {
        Self { method: Method::GET, query, headers: Vec::new(), body: String::new() }
    }

    /// As an HTTP request to `url`.
    ///
    /// # Errors
    /// [`http::Error`] when `url` is invalid.
    pub fn to_request(&self, url: &str) -> Result<http::Request<bytes::Bytes>, http::Error> {
        let separator = match (self.query.is_empty(), url.contains('?')) {
            (true, _) => "",
            (false, true) => "&",
            (false, false) => "?",
        };
        let url = format!("{url}{separator}{}", self.query);
        let mut request = http::Request::builder().method(self.method.clone()).uri(url);
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        request.body(self.body.clone().into())
    }
}
