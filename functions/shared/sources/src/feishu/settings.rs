//! The settings of a source of the kind `feishu`.

use greenlight_core::webhook::Webhook;
use serde::Deserialize;

use super::credentials;
use super::webhook::FeishuWebhook;
use crate::kind::{SettingsProblem, SourceKind, api_url_problem};

/// An app of Feishu, or of Lark.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Feishu {
    /// The OpenAPI. Default: Feishu's; Lark's is `https://open.larksuite.com`.
    #[serde(default = "feishu")]
    pub base_url: String,
    /// How its events arrive.
    #[serde(default)]
    pub receive: Receive,
}

/// How events arrive.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Receive {
    /// Feishu sends requests to the webhook.
    #[default]
    Webhook,
    /// `greenlight serve` holds a WebSocket to Feishu.
    LongConnection,
}

fn feishu() -> String {
    "https://open.feishu.cn".to_owned()
}

impl SourceKind for Feishu {
    fn problem(&self) -> Option<SettingsProblem> {
        api_url_problem("base_url", &self.base_url)
    }

    fn credentials(&self) -> &'static [&'static str] {
        match self.receive {
            Receive::Webhook => credentials::OF_WEBHOOK,
            Receive::LongConnection => credentials::OF_CONNECTION,
        }
    }

    fn identities(&self) -> &'static [&'static str] {
        &[credentials::APP_ID]
    }

    fn needs_connection(&self) -> bool {
        self.receive == Receive::LongConnection
    }

    fn webhook(&self, source: &str) -> Box<dyn Webhook> {
        Box::new(FeishuWebhook::new(source))
    }
}
