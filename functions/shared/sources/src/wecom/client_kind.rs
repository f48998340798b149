//! The half of the kind `wecom` that calls the API.

use greenlight_core::explain::{Explain, Explanation};
use greenlight_core::instance::Instance;
use greenlight_core::secret::Credentials;
use greenlight_core::{Failure, Timestamp};
use thiserror::Error;

use super::client::WeComClient;
use super::credentials::{CORP_ID, SECRET, TOKEN};
use super::instance::parse_instance;
use super::settings::WeCom;
use super::sp_status;
use super::test_event::{ApprovalChange, WeComApp};
use crate::callback_cipher::ENCODING_AES_KEY;
use crate::client_kind::{About, Arrival, ClientKind};
use crate::source::{Source, SourcePorts};
use crate::test_request::{NotSendable, Sent, TestEvent, credential};

/// What the kind was checked with.
#[derive(Clone, Copy, Debug, Error, Explain)]
#[explain("wecom_checked")]
#[error("WeCom's own library, and `wechatpy`")]
struct CheckedWith;

impl ClientKind for WeCom {
    fn about() -> About {
        About {
            title: Explanation::quoted("WeCom 企业微信"),
            arrivals: &[Arrival::Webhook, Arrival::Polling],
            checked_with: CheckedWith.explain(),
        }
    }

    fn client(&self, source: &str, ports: SourcePorts) -> Box<dyn Source> {
        Box::new(WeComClient::new(source, self.clone(), ports))
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
        let credential = |name| credential(credentials, name);
        let app = WeComApp {
            corp_id: credential(CORP_ID)?,
            secret: credential(SECRET)?,
            token: credential(TOKEN)?,
            encoding_aes_key: credential(ENCODING_AES_KEY)?,
        };
        let sent = match event {
            TestEvent::UrlCheck { challenge } => app.url_check(challenge, now),
            // WeCom's events have no id of their own.
            TestEvent::Approved { definition_id, instance_id, event_id: _ } => {
                let sp_status = sp_status::PASSED;
                let change = ApprovalChange {
                    template_id: definition_id,
                    sp_no: instance_id,
                    sp_status,
                    event: 2,
                };
                app.change(change, now)
            }
        };
        sent.ok_or(NotSendable::NoCredential { name: ENCODING_AES_KEY })
    }
}
