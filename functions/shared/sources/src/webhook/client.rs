//! The instance of an approval: read through a target, or verified again in the signed message.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use futures_util::future::BoxFuture;
use greenlight_core::event::SignedMessage;
use greenlight_core::explain::Explain;
use greenlight_core::instance::Instance;
use greenlight_core::ports::Call;
use greenlight_core::secret::Secret;
use greenlight_core::{Class, Failure, Rejection, Request, Timestamp};
use http::{HeaderMap, HeaderName};
use serde_json::{Map, Value, json};
use thiserror::Error;

use super::settings::SignedWebhook;
use crate::kind::ReadFrom;
use crate::source::{Source, SourcePorts};

/// The time for a read, with its quick retries.
const READ_WITHIN: Duration = Duration::from_secs(15);

/// The half of a source that reads instances.
pub(super) struct WebhookClient {
    source: String,
    settings: SignedWebhook,
    ports: SourcePorts,
}

/// A document that is not JSON.
#[derive(Clone, Copy, Debug, Error, Explain)]
#[explain("webhook_document")]
#[error("the document is not JSON")]
pub(super) struct NotJson;

/// A message without a signed webhook that can be verified.
#[derive(Clone, Copy, Debug, Error, Explain)]
#[explain("webhook_message")]
enum NotVerified {
    #[error(
        "the message carries no signed webhook, and this source has no other authority: let the \
         office system send it again"
    )]
    NoMessage,
    #[error("the signed webhook in the message is not valid with the secrets of this source")]
    WrongSignature,
    #[error("the secret lacks the secret of this source")]
    NoCredentials,
    #[error("the signed webhook in the message is of a type that is about no approval")]
    OtherType,
}

impl WebhookClient {
    pub(super) fn new(source: &str, settings: SignedWebhook, ports: SourcePorts) -> Self {
        Self { source: source.to_owned(), settings, ports }
    }

    async fn read(&self, request: &Request) -> Result<Instance, Failure> {
        let (document, signed_at) = match &self.settings.read {
            Some(read) => (self.read_document(request, read).await?, None),
            None => self.verified(request.signed.as_ref()).await?,
        };
        self.settings.instance_in(&document, signed_at)
    }

    /// The document that the target's operation captures as `document`.
    async fn read_document(&self, request: &Request, read: &ReadFrom) -> Result<Value, Failure> {
        let variables = [
            ("definition_id", request.definition_id.as_str()),
            ("instance_id", &request.instance_id),
            ("event_id", &request.event_id),
        ];
        let variables: Map<_, _> =
            variables.into_iter().map(|(name, value)| (name.to_owned(), json!(value))).collect();
        let key = request.key();
        let call = Call {
            job: key.as_str(),
            target: &read.target,
            operation: &read.operation,
            subject: None,
            variables: &variables,
            trace_id: request.trace_id.as_ref(),
            deadline: self.ports.clock.now().plus(READ_WITHIN),
        };
        self.ports.targets.read(&call).await.map_err(|failure| match failure {
            Failure::Retry { after, reason } => {
                Failure::retry_after(after, Class::SourceUnavailable, reason.cause)
            }
            Failure::GiveUp { reason } if reason.class == Class::NotConfigured => {
                Failure::GiveUp { reason }
            }
            Failure::GiveUp { reason } => Failure::give_up(Class::SourceRejected, reason.cause),
        })
    }

    /// The body of the signed message, verified again: someone may have put the message into the
    /// queue. Its age was checked when it arrived.
    async fn verified(
        &self,
        signed: Option<&SignedMessage>,
    ) -> Result<(Value, Option<Timestamp>), Failure> {
        let signed = signed.ok_or_else(|| rejected(NotVerified::NoMessage))?;
        let wrong = || rejected(NotVerified::WrongSignature);
        let body = STANDARD.decode(&signed.body).map_err(|_| wrong())?;
        let header = |(name, value): (&String, &String)| {
            Some((name.parse::<HeaderName>().ok()?, value.parse().ok()?))
        };
        let headers: Option<HeaderMap> = signed.headers.iter().map(header).collect();
        let headers = headers.ok_or_else(wrong)?;
        let verify = |secret: &Secret| self.settings.verify(&self.source, secret, &headers, &body);
        let secret = self.ports.secret.fresh().await;
        let verified = match verify(&secret) {
            // The receiver may have read a newer secret.
            Err(rejection) => match self.ports.secret.renewed(&secret).await {
                Some(renewed) => verify(&renewed),
                None => Err(rejection),
            },
            verified => verified,
        };
        let verified = verified.map_err(|rejection| match rejection {
            Rejection::NoCredentials => {
                Failure::retry(Class::SourceUnavailable, NotVerified::NoCredentials)
            }
            _ => wrong(),
        })?;
        let document = serde_json::from_slice(&body).map_err(|_| rejected(NotJson))?;
        if !self.settings.event.is_about_approval(&document) {
            return Err(rejected(NotVerified::OtherType));
        }
        Ok((document, verified.signed_at))
    }
}

pub(super) fn rejected(error: impl Explain) -> Failure {
    Failure::give_up(Class::SourceRejected, error)
}

impl Source for WebhookClient {
    fn read_instance<'a>(
        &'a self,
        request: &'a Request,
    ) -> BoxFuture<'a, Result<Instance, Failure>> {
        Box::pin(self.read(request))
    }
}
