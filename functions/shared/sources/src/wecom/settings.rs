//! The settings of a source of the kind `wecom`.

use greenlight_core::flow::UtcOffset;
use greenlight_core::webhook::Webhook;
use serde::Deserialize;

use super::credentials::{self, ENCODING_AES_KEY};
use super::webhook::WeComWebhook;
use crate::callback_cipher::is_aes_key;
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
        if name == ENCODING_AES_KEY && !is_aes_key(value) {
            return Err(UsableValues::EncodingAesKey);
        }
        Ok(())
    }

    fn webhook(&self, source: &str) -> Box<dyn Webhook> {
        Box::new(WeComWebhook::new(source))
    }
}

/// The status of an approval, `SpStatus` of events and `sp_status` of details.
pub(super) mod sp_status {
    #[cfg(feature = "client")]
    pub(in super::super) const RUNNING: i64 = 1;
    pub(in super::super) const PASSED: i64 = 2;
    #[cfg(feature = "client")]
    pub(in super::super) const REFUSED: i64 = 3;
    /// By the applicant, before it passed.
    pub(in super::super) const WITHDRAWN: i64 = 4;
    /// After it passed.
    pub(in super::super) const REVOKED: i64 = 6;
    #[cfg(feature = "client")]
    pub(in super::super) const DELETED: i64 = 7;
    /// Passed, and paid since.
    pub(in super::super) const PAID: i64 = 10;
}
