//! The HTTP request of a webhook, and the reasons to reject it.

use bytes::Bytes;
use http::HeaderMap;
use thiserror::Error;

/// The largest body that is read, in bytes. Approval events have about one kilobyte.
pub const MAX_BODY_BYTES: usize = 256 * 1024;

/// The HTTP request of a webhook.
#[derive(Clone, Debug)]
pub struct WebhookRequest {
    pub headers: HeaderMap,
    /// The body, exactly as sent: signatures cover these bytes.
    pub body: Bytes,
}

/// The reason for which a webhook request is rejected. Reveals nothing of its content.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Rejection {
    /// More than [`MAX_BODY_BYTES`].
    #[error("the body is larger than {MAX_BODY_BYTES} bytes")]
    TooLarge,
    /// The body did not arrive completely in time.
    #[error("the body did not arrive in time")]
    TooSlow,
    /// Too many large bodies are being read.
    #[error("too many large bodies are being read")]
    TooMany,
    /// Marked as base64, but not valid base64.
    #[error("the body is not valid base64")]
    NotBase64,
    /// Its URL or its body cannot be read.
    #[error("the request cannot be read")]
    NotARequest,
    /// Not JSON of the documented shape.
    #[error("the body is not an event")]
    NotAnEvent,
    /// Signed, but not encrypted as documented.
    #[error("the body is signed and cannot be decrypted")]
    NotDecryptable,
    /// Signed, but not JSON of the documented shape.
    #[error("the body is signed and is not an event")]
    SignedNoEvent,
    /// No signature, and not a URL check with the right token.
    #[error("the request is not signed")]
    NotSigned,
    /// Signed with another key.
    #[error("the signature is wrong")]
    WrongSignature,
    /// Signed too long ago, or in the future.
    #[error("the timestamp is outside the replay window")]
    OutsideReplayWindow,
    /// The verification token is wrong.
    #[error("the verification token is wrong")]
    WrongToken,
    /// Sent for another app.
    #[error("the event is of another app")]
    WrongApp,
}

impl Rejection {
    /// The name in logs and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::TooLarge => "too_large",
            Self::TooSlow => "too_slow",
            Self::TooMany => "too_many",
            Self::NotBase64 => "not_base64",
            Self::NotARequest => "not_a_request",
            Self::NotAnEvent => "not_an_event",
            Self::NotDecryptable => "not_decryptable",
            Self::SignedNoEvent => "signed_no_event",
            Self::NotSigned => "not_signed",
            Self::WrongSignature => "wrong_signature",
            Self::OutsideReplayWindow => "outside_replay_window",
            Self::WrongToken => "wrong_token",
            Self::WrongApp => "wrong_app",
        }
    }

    /// The HTTP status: 413, 408, 503, 400 for a body that is not an event, 401 if it is not
    /// authentic.
    #[must_use]
    pub const fn status(self) -> u16 {
        match self {
            Self::TooLarge => 413,
            Self::TooSlow => 408,
            Self::TooMany => 503,
            Self::NotBase64
            | Self::NotARequest
            | Self::NotAnEvent
            | Self::NotDecryptable
            | Self::SignedNoEvent => 400,
            Self::NotSigned
            | Self::WrongSignature
            | Self::OutsideReplayWindow
            | Self::WrongToken
            | Self::WrongApp => 401,
        }
    }

    /// Whether the signature was right: the cause is then a clock, a setting, or a copy of an older
    /// webhook request.
    #[must_use]
    pub const fn is_signed(self) -> bool {
        matches!(
            self,
            Self::OutsideReplayWindow
                | Self::NotDecryptable
                | Self::SignedNoEvent
                | Self::WrongToken
                | Self::WrongApp
        )
    }

    /// Whether a rotated secret can be the cause.
    #[must_use]
    pub const fn may_be_rotation(self) -> bool {
        matches!(
            self,
            Self::NotSigned
                | Self::WrongSignature
                | Self::WrongToken
                | Self::WrongApp
                | Self::NotDecryptable
        )
    }
}
