//! The settings of a source of the kind `webhook`.

use greenlight_core::Rejection;
use greenlight_core::secret::Secret;
use greenlight_core::webhook::Webhook;
use http::HeaderMap;
use serde::Deserialize;

use super::instance::InstanceMapping;
use super::mapping::{EventMapping, Statuses};
use super::receive::WebhookReceiver;
use super::signature::{Scheme, Verified};
use crate::kind::{ReadFrom, SettingsProblem, SettingsWarning, SourceKind, UsableValues};

/// The name of its secrets: one, or several while they are rotated.
pub(super) const SECRET: &str = "secret";

/// A system that sends signed webhooks.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignedWebhook {
    /// How a request proves its sender. Default: Standard Webhooks.
    #[serde(default = "standard")]
    pub(super) signature: Scheme,
    /// The operation of a target that reads an instance: it captures `document`.
    pub(super) read: Option<ReadFrom>,
    /// `message`: instances cannot be read, the signed message is the authority.
    pub(super) authority: Option<Authority>,
    /// Where in the body of a webhook the approval is.
    pub(super) event: EventMapping,
    /// Where the instance is: in what is read, or in the body.
    pub(super) instance: InstanceMapping,
    /// The values of the status.
    pub(super) statuses: Statuses,
}

/// The authority on what was approved, where instances cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Authority {
    Message,
}

const fn standard() -> Scheme {
    Scheme::Standard {}
}

impl SignedWebhook {
    /// Whether the signed message travels to the worker.
    pub(super) const fn carries_message(&self) -> bool {
        self.read.is_none()
    }

    /// Verifies a request with the secrets of `source`; not its age.
    pub(super) fn verify(
        &self,
        source: &str,
        secret: &Secret,
        headers: &HeaderMap,
        body: &[u8],
    ) -> Result<Verified, Rejection> {
        let credentials = secret.source(source).ok_or(Rejection::NoCredentials)?;
        let mut usable =
            credentials.all(SECRET).filter(|it| self.signature.is_usable(it)).peekable();
        if usable.peek().is_none() {
            return Err(Rejection::NoCredentials);
        }
        self.signature.verify(headers, body, usable)
    }
}

impl SourceKind for SignedWebhook {
    fn problem(&self) -> Option<SettingsProblem> {
        let is_message = self.authority.is_some();
        let says_end = self.instance.ended_at.is_some();
        let Self { event, instance, statuses, .. } = self;
        self.signature.problem().or(match (&self.read, is_message) {
            (None, false) => Some(SettingsProblem::NoAuthority),
            (Some(_), true) => Some(SettingsProblem::TwoAuthorities),
            (None, true) if !self.signature.signs_body() => Some(SettingsProblem::NotSigned),
            (None, true) if !says_end && !self.signature.signs_time() => {
                Some(SettingsProblem::NoTime)
            }
            (Some(_), false) if !says_end => Some(SettingsProblem::NoEnd),
            (Some(_), false) if instance.is_form_unchecked(event) => {
                Some(SettingsProblem::FormUnchecked)
            }
            _ if statuses.approved.is_empty() => Some(SettingsProblem::NeverApproved),
            _ if statuses.is_ambiguous() => Some(SettingsProblem::AmbiguousStatus),
            _ if event.event_type.is_none() && !event.types.is_empty() => {
                Some(SettingsProblem::NoType)
            }
            _ => None,
        })
    }

    fn warning(&self) -> Option<SettingsWarning> {
        (!self.signature.signs_body()).then_some(SettingsWarning::SharedToken)
    }

    fn credentials(&self) -> &'static [&'static str] {
        &[SECRET]
    }

    fn check_usable(&self, _: &str, value: &str) -> Result<(), UsableValues> {
        if self.signature.is_usable(value) { Ok(()) } else { Err(UsableValues::WebhookSecret) }
    }

    fn reads(&self) -> Option<&ReadFrom> {
        self.read.as_ref()
    }

    fn is_readable(&self) -> bool {
        !self.carries_message()
    }

    fn webhook(&self, source: &str) -> Box<dyn Webhook> {
        Box::new(WebhookReceiver::new(source, self.clone()))
    }
}
