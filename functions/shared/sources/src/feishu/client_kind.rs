//! The half of the kind `feishu` that calls the OpenAPI.

use greenlight_core::explain::{Explain, Explanation};
use greenlight_core::instance::Instance;
use greenlight_core::secret::Credentials;
use greenlight_core::{Failure, Timestamp};
use thiserror::Error;

use super::credentials::{APP_ID, APP_SECRET, ENCRYPT_KEY, VERIFICATION_TOKEN};
use super::{Feishu, FeishuApp, FeishuClient, Receive, parse_instance};
use crate::client_kind::{About, Arrival, ClientKind};
use crate::source::{Source, SourcePorts};
use crate::test_request::{NotSendable, Sent, TestEvent, credential};

/// What the kind was checked with.
#[derive(Clone, Copy, Debug, Error, Explain)]
#[explain("feishu_checked")]
#[error("both official SDKs, for webhook and long connection")]
struct CheckedWith;

impl ClientKind for Feishu {
    fn about() -> About {
        About {
            title: Explanation::quoted("Feishu 飞书, Lark"),
            arrivals: &[Arrival::Webhook, Arrival::Connection],
            checked_with: CheckedWith.explain(),
        }
    }

    fn client(&self, source: &str, ports: SourcePorts) -> Box<dyn Source> {
        Box::new(FeishuClient::new(source, self, ports))
    }

    fn parse_instance(&self, document: &str) -> Result<Instance, Failure> {
        parse_instance(document)
    }

    fn test_request(
        &self,
        event: &TestEvent,
        credentials: &Credentials,
        now: Timestamp,
    ) -> Result<Sent, NotSendable> {
        let credential = |name| match (credential(credentials, name), self.receive) {
            (Err(_), Receive::LongConnection) => Err(NotSendable::OverConnection),
            (credential, _) => credential,
        };
        let app = FeishuApp {
            app_id: credential(APP_ID)?,
            app_secret: credential(APP_SECRET)?,
            encrypt_key: credential(ENCRYPT_KEY)?,
            verification_token: credential(VERIFICATION_TOKEN)?,
            tenant_key: "test".to_owned(),
        };
        let now = now.as_millis();
        Ok(match event {
            TestEvent::UrlCheck { challenge } => app.url_check(challenge),
            TestEvent::Approved { event_id, definition_id, instance_id } => {
                app.approval_instance(event_id, definition_id, instance_id, "APPROVED", now)
            }
        })
    }
}
