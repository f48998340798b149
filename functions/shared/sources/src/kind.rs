//! The parts that each kind of office system provides.

#![warn(missing_docs)]

use std::fmt::Debug;

use greenlight_core::explain::Explain;
#[cfg(feature = "client")]
use greenlight_core::instance::Instance;
#[cfg(feature = "client")]
use greenlight_core::secret::Credentials;
use greenlight_core::webhook::Webhook;
#[cfg(feature = "client")]
use greenlight_core::{Failure, Timestamp};
use serde::Deserialize;
use thiserror::Error;

#[cfg(feature = "client")]
use crate::source::{Source, SourcePorts};

/// A kind of office system, with the settings of one source: the keys of `[sources.NAME]` besides
/// `kind` and `default`.
pub trait SourceKind: Debug + Send + Sync {
    /// The reason for which the settings are invalid, if there is one.
    fn problem(&self) -> Option<SettingsProblem> {
        None
    }

    /// A setting that is legal, and weak, if there is one.
    fn warning(&self) -> Option<SettingsWarning> {
        None
    }

    /// The operation of a target that reads its instances, if they are read through one.
    fn reads(&self) -> Option<&ReadFrom> {
        None
    }

    /// The names of the credentials that it needs in the secret, under `sources.NAME`.
    fn credentials(&self) -> &'static [&'static str];

    /// Whether instances can be read at the source at any time. If not, its signed messages are the
    /// authority, and nothing can be replayed without them.
    fn is_readable(&self) -> bool {
        true
    }

    /// The webhook half of `source`.
    fn webhook(&self, source: &str) -> Box<dyn Webhook>;

    /// The half that calls the office system.
    #[cfg(feature = "client")]
    fn client(&self, source: &str, ports: SourcePorts) -> Box<dyn Source>;

    /// The instance in a document of the office system, as an operator saved it.
    ///
    /// # Errors
    /// [`Failure`] with the missing part.
    #[cfg(feature = "client")]
    fn parse_instance(&self, document: &str) -> Result<Instance, Failure>;

    /// A webhook request as the office system sends it, for tests of a deployment.
    ///
    /// # Errors
    /// [`NotSendable`] when such an event does not exist, or cannot be signed.
    #[cfg(feature = "client")]
    fn test_request(
        &self,
        event: &TestEvent,
        credentials: &Credentials,
        now: Timestamp,
    ) -> Result<Sent, NotSendable>;
}

/// An operation of a target that reads.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReadFrom {
    /// The target, as `[targets.NAME]`.
    pub target: String,
    /// The operation of its connector.
    pub operation: String,
}

/// The reason for which the settings of a source are invalid.
#[derive(Clone, Debug, Error, Explain, PartialEq, Eq)]
#[explain("source_settings")]
pub enum SettingsProblem {
    /// A key that is unknown or missing, or a value of the wrong type.
    #[error("{problem}")]
    Invalid {
        /// The text of the parser.
        problem: String,
    },
    /// A text that is no address.
    #[error("`{key}` is not https:// and a host")]
    NotAUrl {
        /// The setting.
        key: &'static str,
    },
    /// A text that is no name of an HTTP header.
    #[error("`{key}` is not the name of an HTTP header")]
    NotAHeader {
        /// The setting.
        key: &'static str,
    },
    /// The signed content cannot be computed.
    #[error(
        "`signature.content` ends with {{body}}, and has {{timestamp}} once if there is a \
         `timestamp_header`"
    )]
    SignedContent,
    /// Nothing decides on what was approved.
    #[error(
        "an approval needs an authority: `read`, the operation that reads it, or `authority = \
         \"message\"` if it cannot be read"
    )]
    NoAuthority,
    /// Two decide on it.
    #[error("`read` and `authority = \"message\"` exclude each other")]
    TwoAuthorities,
    /// The message is the authority, and it is not signed.
    #[error("`authority = \"message\"` needs a signature: a token does not sign the message")]
    NotSigned,
    /// The message is the authority, and does not say when it was signed.
    #[error(
        "`authority = \"message\"` needs a time, to tell old messages: a signed timestamp, or \
         `instance.ended_at`"
    )]
    NoTime,
    /// Nothing says when an approval ended that is read.
    #[error("`read` needs `instance.ended_at`: an old approval must not renew access")]
    NoEnd,
    /// The form of what is read would be compared with itself.
    #[error(
        "`read` with a fixed `event.definition_id` needs `instance.definition_id`: the place of the \
         form in what is read, or a text if only this form can be read"
    )]
    FormUnchecked,
    /// A value with two meanings.
    #[error("`statuses` has a value twice")]
    AmbiguousStatus,
    /// Types, and no place of the type.
    #[error("`event.types` needs `event.type`, the place of the type")]
    NoType,
    /// No approval can ever be approved.
    #[error("`statuses.approved` is empty")]
    NeverApproved,
    /// Credentials would be sent in clear text.
    #[error("`{key}` would send credentials in clear text: use https://")]
    ClearText {
        /// The setting.
        key: &'static str,
    },
}

/// Settings of a source that are legal, and weak.
#[derive(Clone, Debug, Error, Explain, PartialEq, Eq)]
#[explain("source_warning")]
pub enum SettingsWarning {
    /// The scheme is a shared token.
    #[error(
        "requests carry a token and no signature: anyone who sees one request can send others; let \
         the sender sign the body if it can"
    )]
    SharedToken,
}

/// An event to send for a test.
#[cfg(feature = "client")]
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
#[cfg(feature = "client")]
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
    /// A credential is missing in the secret.
    #[error("the secret lacks `{name}` of this source")]
    NoCredential {
        /// Its name.
        name: &'static str,
    },
}

/// A webhook request as an office system sends it.
#[cfg(feature = "client")]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sent {
    /// Name and value, lower-case names.
    pub headers: Vec<(String, String)>,
    /// The raw body.
    pub body: String,
}

#[cfg(feature = "client")]
impl Sent {
    /// As an HTTP request to `url`.
    ///
    /// # Errors
    /// [`http::Error`] when `url` is invalid.
    pub fn to_request(&self, url: &str) -> Result<http::Request<bytes::Bytes>, http::Error> {
        let mut request = http::Request::post(url);
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        request.body(self.body.clone().into())
    }
}
