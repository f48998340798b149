//! The settings of a source of the kind `dingtalk`.

use greenlight_core::flow::UtcOffset;
use greenlight_core::webhook::Webhook;
use serde::Deserialize;

use super::credentials;
use super::webhook::DingTalkWebhook;
use crate::callback_cipher::check_usable;
use crate::kind::{SettingsProblem, SourceKind, UsableValues, api_url_problem};

/// An app of an organisation at DingTalk.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DingTalk {
    /// The API.
    #[serde(default = "api")]
    pub base_url: String,
    /// The older API, of people.
    #[serde(default = "old_api")]
    pub old_base_url: String,
    /// How its events arrive.
    #[serde(default)]
    pub receive: Receive,
    /// The calls that the edition of the organisation allows in a month.
    #[serde(default = "of_standard_edition")]
    pub monthly_calls: u32,
    /// The zone of dates in forms.
    #[serde(default = "UtcOffset::of_china")]
    pub utc_offset: UtcOffset,
}

/// How events arrive.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Receive {
    /// DingTalk sends requests to the webhook.
    #[default]
    Webhook,
    /// `greenlight serve` holds a stream.
    Stream,
}

const fn of_standard_edition() -> u32 {
    10_000
}

fn api() -> String {
    "https://api.dingtalk.com".to_owned()
}

fn old_api() -> String {
    "https://oapi.dingtalk.com".to_owned()
}

impl SourceKind for DingTalk {
    fn problem(&self) -> Option<SettingsProblem> {
        api_url_problem("base_url", &self.base_url)
            .or_else(|| api_url_problem("old_base_url", &self.old_base_url))
    }

    fn credentials(&self) -> &'static [&'static str] {
        match self.receive {
            Receive::Webhook => credentials::OF_WEBHOOK,
            Receive::Stream => credentials::OF_STREAM,
        }
    }

    fn identities(&self) -> &'static [&'static str] {
        &[credentials::APP_KEY]
    }

    fn check_usable(&self, name: &str, value: &str) -> Result<(), UsableValues> {
        check_usable(name, value)
    }

    fn needs_connection(&self) -> bool {
        self.receive == Receive::Stream
    }

    fn webhook(&self, source: &str) -> Box<dyn Webhook> {
        Box::new(DingTalkWebhook::new(source))
    }
}
