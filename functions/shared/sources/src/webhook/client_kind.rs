//! The half of the kind `webhook` that calls the office system.

use greenlight_core::explain::Explain;
use greenlight_core::instance::Instance;
use greenlight_core::secret::Credentials;
use greenlight_core::{Failure, Timestamp};
use serde_json::Value;
use thiserror::Error;

use super::SignedWebhook;
use super::client::{NotJson, WebhookClient, rejected};
use super::test_request::test_request;
use crate::client_kind::{About, Arrival, ClientKind};
use crate::source::{Source, SourcePorts};
use crate::test_request::{NotSendable, Sent, TestEvent};

impl SignedWebhook {
    /// The instance in `document`. `signed_at` is when it ended if the document does not say so.
    pub(super) fn instance_in(
        &self,
        document: &Value,
        signed_at: Option<Timestamp>,
    ) -> Result<Instance, Failure> {
        let instance = self.instance.instance(document, &self.event, &self.statuses, signed_at);
        instance.map_err(rejected)
    }
}

/// The title of the kind.
#[derive(Clone, Copy, Debug, Error, Explain)]
#[explain("webhook_title")]
#[error("any system that can send a signed webhook")]
struct AnySystem;

/// What the kind was checked with.
#[derive(Clone, Copy, Debug, Error, Explain)]
#[explain("webhook_checked")]
#[error("the libraries of Standard Webhooks for Python and Node")]
struct CheckedWith;

impl ClientKind for SignedWebhook {
    fn about() -> About {
        About {
            title: AnySystem.explain(),
            arrivals: &[Arrival::Webhook],
            checked_with: CheckedWith.explain(),
        }
    }

    fn client(&self, source: &str, ports: SourcePorts) -> Box<dyn Source> {
        Box::new(WebhookClient::new(source, self.clone(), ports))
    }

    fn parse_instance(&self, document: &str) -> Result<Instance, Failure> {
        let document = serde_json::from_str(document).map_err(|_| rejected(NotJson))?;
        self.instance_in(&document, None)
    }

    fn test_request(
        &self,
        event: &TestEvent,
        credentials: &Credentials,
        now: Timestamp,
    ) -> Result<Sent, NotSendable> {
        test_request(self, event, credentials, now)
    }
}
