//! The settings of a source of the kind `feishu`.

#[cfg(feature = "client")]
use greenlight_core::instance::Instance;
#[cfg(feature = "client")]
use greenlight_core::secret::Credentials;
use greenlight_core::transport::is_clear_text;
use greenlight_core::webhook::Webhook;
#[cfg(feature = "client")]
use greenlight_core::{Failure, Timestamp};
use serde::Deserialize;

use super::credentials;
#[cfg(feature = "client")]
use super::credentials::{APP_ID, APP_SECRET, ENCRYPT_KEY, VERIFICATION_TOKEN};
use super::webhook::FeishuWebhook;
#[cfg(feature = "client")]
use super::{FeishuApp, FeishuClient, parse_instance};
#[cfg(feature = "client")]
use crate::kind::{NotSendable, Sent, TestEvent};
use crate::kind::{SettingsProblem, SourceKind};
#[cfg(feature = "client")]
use crate::source::{Source, SourcePorts};

/// An app of Feishu, or of Lark.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Feishu {
    /// The OpenAPI. Default: Feishu's; Lark's is `https://open.larksuite.com`.
    #[serde(default = "feishu")]
    pub base_url: String,
}

fn feishu() -> String {
    "https://open.feishu.cn".to_owned()
}

impl SourceKind for Feishu {
    fn problem(&self) -> Option<SettingsProblem> {
        let key = "base_url";
        let url = self.base_url.parse::<http::Uri>().ok();
        if !url.is_some_and(|url| url.scheme().is_some() && url.host().is_some()) {
            return Some(SettingsProblem::NotAUrl { key });
        }
        is_clear_text(&self.base_url).then_some(SettingsProblem::ClearText { key })
    }

    fn credentials(&self) -> &'static [&'static str] {
        credentials::NAMES
    }

    fn webhook(&self, source: &str) -> Box<dyn Webhook> {
        Box::new(FeishuWebhook::new(source))
    }

    #[cfg(feature = "client")]
    fn client(&self, source: &str, ports: SourcePorts) -> Box<dyn Source> {
        Box::new(FeishuClient::new(source, &self.base_url, ports))
    }

    #[cfg(feature = "client")]
    fn parse_instance(&self, document: &str) -> Result<Instance, Failure> {
        parse_instance(document)
    }

    #[cfg(feature = "client")]
    fn test_request(
        &self,
        event: &TestEvent,
        credentials: &Credentials,
        now: Timestamp,
    ) -> Result<Sent, NotSendable> {
        let credential = |name: &'static str| {
            let value = credentials.get(name).map(str::to_owned);
            value.ok_or(NotSendable::NoCredential { name })
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
