//! The parts that each kind of office system provides.

#![warn(missing_docs)]

use std::fmt::Debug;

use greenlight_core::explain::Explain;
use greenlight_core::transport::is_clear_text;
use greenlight_core::webhook::Webhook;
use serde::Deserialize;
use thiserror::Error;

#[cfg(feature = "client")]
use crate::client_kind::ClientKind;

/// Without the feature `client` a kind has no half that calls the office system.
#[cfg(not(feature = "client"))]
pub trait ClientKind {}
#[cfg(not(feature = "client"))]
impl<K> ClientKind for K {}

/// A kind of office system, with the settings of one source: the keys of `[sources.NAME]` besides
/// `kind` and `default`.
pub trait SourceKind: ClientKind + Debug + Send + Sync {
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

    /// Whether a value can be used as the credential `name`.
    ///
    /// # Errors
    /// [`UsableValues`] says which values can.
    fn check_usable(&self, _name: &str, _value: &str) -> Result<(), UsableValues> {
        Ok(())
    }

    /// The names of the credentials that are no secrets, but say who calls: two sources can have
    /// the same.
    fn identities(&self) -> &'static [&'static str] {
        &[]
    }

    /// Whether instances can be read at the source at any time. If not, its signed messages are the
    /// authority, and nothing can be replayed without them.
    fn is_readable(&self) -> bool {
        true
    }

    /// Whether its events come over a connection that a host must hold, which no function can.
    fn needs_connection(&self) -> bool {
        false
    }

    /// The webhook half of `source`.
    fn webhook(&self, source: &str) -> Box<dyn Webhook>;
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

/// Checks the URL of an API: https, or http on loopback.
pub(crate) fn api_url_problem(key: &'static str, url: &str) -> Option<SettingsProblem> {
    let parsed = url.parse::<http::Uri>().ok();
    if !parsed.is_some_and(|url| url.scheme().is_some() && url.host().is_some()) {
        return Some(SettingsProblem::NotAUrl { key });
    }
    is_clear_text(url).then_some(SettingsProblem::ClearText { key })
}

/// Checks the URL of a server of one's own: https, or http where `plaintext` allows it.
pub(crate) fn own_url_problem(
    key: &'static str,
    url: &str,
    plaintext: bool,
) -> Option<SettingsProblem> {
    let problem = api_url_problem(key, url);
    problem.filter(|problem| !(plaintext && matches!(problem, SettingsProblem::ClearText { .. })))
}

/// The values of a credential that can be used.
#[derive(Clone, Copy, Debug, Error, Explain, PartialEq, Eq)]
#[explain("usable_values")]
pub enum UsableValues {
    /// Of signed webhooks.
    #[error(
        "expected `whsec_…` or `whpk_…` for Standard Webhooks, at least 16 characters for other \
         schemes"
    )]
    WebhookSecret,
    /// Of a hook in an OA.
    #[error(
        "expected `whsec_` and 24 to 64 bytes in base64: `echo whsec_$(openssl rand -base64 32)` \
         makes one"
    )]
    HookSecret,
    /// Of WeCom and DingTalk.
    #[error("expected 43 characters of base64, as the console of the office system shows them")]
    EncodingAesKey,
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
    /// An interval that is too short or too long.
    #[error("`{key}` is a duration from 1min to 1h")]
    Interval {
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
