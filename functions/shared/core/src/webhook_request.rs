//! The HTTP request of a webhook, and the reasons to reject it.

use bytes::Bytes;
use http::{HeaderMap, Method};
use thiserror::Error;

/// The largest body that is read, in bytes. Approval events have about one kilobyte.
pub const MAX_BODY_BYTES: usize = 256 * 1024;

/// The largest body that travels in a queue message, in bytes.
pub const MAX_SIGNED_BODY_BYTES: usize = 64 * 1024;

/// The path of webhooks; a source's name may follow it.
pub const WEBHOOK_PATH: &str = "/api/event";

/// The HTTP request of a webhook.
#[derive(Clone, Debug)]
pub struct WebhookRequest {
    /// The source that the path names; `None` for the default source.
    pub source: Option<String>,
    pub method: Method,
    /// The path, as sent.
    pub path: String,
    /// The query without its `?`, as sent; empty if there is none.
    pub query: String,
    pub headers: HeaderMap,
    /// The body, exactly as sent: signatures cover these bytes.
    pub body: Bytes,
}

impl WebhookRequest {
    /// The webhook request in an HTTP request.
    ///
    /// # Errors
    /// [`Rejection::NoSuchPath`] if the path is not [`WEBHOOK_PATH`], alone or with a name after
    /// it. Segments before it are a proxy's, and a slash at the end makes no difference.
    pub fn new(head: http::request::Parts, body: Bytes) -> Result<Self, Rejection> {
        let path = head.uri.path();
        Ok(Self {
            source: source_in(path)?.map(str::to_owned),
            path: path.to_owned(),
            query: head.uri.query().unwrap_or_default().to_owned(),
            method: head.method,
            headers: head.headers,
            body,
        })
    }
}

/// The name after [`WEBHOOK_PATH`], if there is one.
fn source_in(path: &str) -> Result<Option<&str>, Rejection> {
    let path = path.strip_suffix('/').unwrap_or(path);
    if path.ends_with(WEBHOOK_PATH) {
        return Ok(None);
    }
    match path.rsplit_once('/') {
        Some((before, name)) if before.ends_with(WEBHOOK_PATH) => Ok(Some(name)),
        _ => Err(Rejection::NoSuchPath),
    }
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
    /// The path is not that of a webhook.
    #[error("there is no such path")]
    NoSuchPath,
    /// No source of this name is configured, or the request names none and none is the default.
    #[error("there is no such source")]
    NoSuchSource,
    /// The source takes no such method.
    #[error("the source takes no requests of this method")]
    WrongMethod,
    /// The secret lacks what the source needs to authenticate the request.
    #[error("the source is not set up completely, try again later")]
    NoCredentials,
    /// The source is the authority on what was approved, so its message must travel in the queue.
    #[error("the body is larger than {MAX_SIGNED_BODY_BYTES} bytes, the limit of this source")]
    TooLargeToCarry,
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
            Self::NoSuchPath => "no_such_path",
            Self::NoSuchSource => "no_such_source",
            Self::WrongMethod => "wrong_method",
            Self::NoCredentials => "no_credentials",
            Self::TooLargeToCarry => "too_large_to_carry",
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

    /// The HTTP status: 413, 408, 503, 404, 405, 400 for a body that is not an event, 401 if it is
    /// not authentic.
    #[must_use]
    pub const fn status(self) -> u16 {
        match self {
            Self::TooLarge | Self::TooLargeToCarry => 413,
            Self::TooSlow => 408,
            Self::TooMany | Self::NoCredentials => 503,
            Self::NoSuchPath | Self::NoSuchSource => 404,
            Self::WrongMethod => 405,
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
                | Self::TooLargeToCarry
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
                | Self::NoCredentials
                | Self::WrongSignature
                | Self::WrongToken
                | Self::WrongApp
                | Self::NotDecryptable
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn source_in_a_path_is_the_name_behind_the_webhook_path() {
        for (path, expected) in [
            ("/api/event", Ok(None)),
            ("/api/event/", Ok(None)),
            ("/api/event/oa", Ok(Some("oa"))),
            ("/api/event/oa/", Ok(Some("oa"))),
            ("/a-secret-segment/api/event/oa", Ok(Some("oa"))),
            ("/api/event/oa/more", Err(Rejection::NoSuchPath)),
            ("/api/event//", Ok(Some(""))),
            ("/api/events", Err(Rejection::NoSuchPath)),
            ("/api", Err(Rejection::NoSuchPath)),
            ("/", Err(Rejection::NoSuchPath)),
        ] {
            assert_eq!(source_in(path), expected, "{path}");
        }
    }
}
