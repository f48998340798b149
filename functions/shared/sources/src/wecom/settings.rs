//! The settings of a source of the kind `wecom`.

use greenlight_core::flow::UtcOffset;
use greenlight_core::webhook::Webhook;
use serde::Deserialize;

use super::credentials;
use super::webhook::WeComWebhook;
use crate::callback_cipher::check_usable;
use crate::kind::{SettingsProblem, SourceKind, UsableValues, api_url_problem};

/// A self-built app of a corp at WeCom.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WeCom {
    /// The API.
    #[serde(default = "wecom")]
    pub base_url: String,
    /// The zone in which the corp's dates are written.
    #[serde(default = "UtcOffset::of_china")]
    pub utc_offset: UtcOffset,
}

fn wecom() -> String {
    "https://qyapi.weixin.qq.com".to_owned()
}

impl SourceKind for WeCom {
    fn problem(&self) -> Option<SettingsProblem> {
        api_url_problem("base_url", &self.base_url)
    }

    fn credentials(&self) -> &'static [&'static str] {
        credentials::NAMES
    }

    fn check_usable(&self, name: &str, value: &str) -> Result<(), UsableValues> {
        check_usable(name, value)
    }

    fn webhook(&self, source: &str) -> Box<dyn Webhook> {
        Box::new(WeComWebhook::new(source))
    }
}
