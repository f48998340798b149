//! The settings of a source of the kind `wecom`.

use std::time::Duration;

use greenlight_core::flow::UtcOffset;
use greenlight_core::retry::duration;
use greenlight_core::webhook::Webhook;
use serde::Deserialize;

use super::credentials;
use super::webhook::WeComWebhook;
use crate::callback_cipher::check_usable;
use crate::kind::{SettingsProblem, SourceKind, UsableValues, api_url_problem};
use crate::polling::{default_interval, interval_problem};

/// A self-built app of a corp at WeCom.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WeCom {
    /// The API.
    #[serde(default = "wecom")]
    pub base_url: String,
    /// How its approvals arrive.
    #[serde(default)]
    pub receive: Receive,
    /// The interval at which the list is read, where approvals arrive by it.
    #[serde(default = "default_interval", deserialize_with = "duration")]
    pub poll_every: Duration,
    /// The zone in which the corp's dates are written.
    #[serde(default = "UtcOffset::of_china")]
    pub utc_offset: UtcOffset,
}

/// How approvals arrive.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Receive {
    /// WeCom sends requests to the webhook.
    #[default]
    Webhook,
    /// The list of approvals is read at an interval: nothing needs a public address.
    Polling,
}

fn wecom() -> String {
    "https://qyapi.weixin.qq.com".to_owned()
}

impl SourceKind for WeCom {
    fn problem(&self) -> Option<SettingsProblem> {
        api_url_problem("base_url", &self.base_url)
            .or_else(|| interval_problem("poll_every", self.poll_every))
    }

    fn credentials(&self) -> &'static [&'static str] {
        match self.receive {
            Receive::Webhook => credentials::OF_WEBHOOK,
            Receive::Polling => credentials::OF_POLLING,
        }
    }

    fn identities(&self) -> &'static [&'static str] {
        &[credentials::CORP_ID]
    }

    fn check_usable(&self, name: &str, value: &str) -> Result<(), UsableValues> {
        check_usable(name, value)
    }

    fn webhook(&self, source: &str) -> Box<dyn Webhook> {
        Box::new(WeComWebhook::new(source))
    }
}
