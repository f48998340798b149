//! The half of the kind `dingtalk` that calls the API.

use greenlight_core::explain::{Explain, Explanation};
use greenlight_core::instance::Instance;
use greenlight_core::secret::Credentials;
use greenlight_core::{Failure, Timestamp};
use thiserror::Error;

use super::client::DingTalkClient;
use super::credentials::{APP_KEY, APP_SECRET, OWNER_KEY, TOKEN};
use super::instance::parse_instance;
use super::settings::{DingTalk, Receive};
use super::test_event::{DingTalkApp, InstanceChange};
use crate::callback_cipher::ENCODING_AES_KEY;
use crate::client_kind::{About, Arrival, ClientKind};
use crate::source::{Source, SourcePorts};
use crate::test_request::{NotSendable, Sent, TestEvent, credential};

/// What the kind was checked with.
#[derive(Clone, Copy, Debug, Error, Explain)]
#[explain("dingtalk_checked")]
#[error("both official SDKs of streams; for the cipher WeCom's library, which has the same")]
struct CheckedWith;

impl ClientKind for DingTalk {
    fn about() -> About {
        About {
            title: Explanation::quoted("DingTalk 钉钉"),
            arrivals: &[Arrival::Webhook, Arrival::Connection],
            checked_with: CheckedWith.explain(),
        }
    }

    fn client(&self, source: &str, ports: SourcePorts) -> Box<dyn Source> {
        Box::new(DingTalkClient::new(source, self.clone(), ports))
    }

    fn parse_instance(&self, document: &str) -> Result<Instance, Failure> {
        parse_instance(document, &self.utc_offset)
    }

    fn test_request(
        &self,
        event: &TestEvent,
        credentials: &Credentials,
        now: Timestamp,
    ) -> Result<Sent, NotSendable> {
        let credential = |name| match (credential(credentials, name), self.receive) {
            (Err(_), Receive::Stream) => Err(NotSendable::OverConnection),
            (credential, _) => credential,
        };
        let app_key = credential(APP_KEY)?;
        let app = DingTalkApp {
            corp_id: credentials.get(OWNER_KEY).unwrap_or("test").to_owned(),
            app_key,
            app_secret: credential(APP_SECRET)?,
            token: credential(TOKEN)?,
            encoding_aes_key: credential(ENCODING_AES_KEY)?,
        };
        let sent = match event {
            TestEvent::UrlCheck { .. } => app.url_check(now),
            TestEvent::Approved { event_id, definition_id, instance_id } => app.instance_change(
                InstanceChange {
                    event_id,
                    process_code: definition_id,
                    instance_id,
                    kind: "finish",
                    result: Some("agree"),
                },
                now,
            ),
        };
        sent.ok_or(NotSendable::NoCredential { name: ENCODING_AES_KEY })
    }
}
