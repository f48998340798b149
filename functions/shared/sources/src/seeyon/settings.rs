//! The settings of a source of the kind `seeyon`.

use std::time::Duration;

use greenlight_core::flow::UtcOffset;
use greenlight_core::retry::duration;
use greenlight_core::webhook::Webhook;
use serde::Deserialize;

use super::credentials;
use crate::hook::{self, HookWebhook};
use crate::kind::{SettingsProblem, SourceKind, UsableValues, own_url_problem};
use crate::polling::{default_interval, interval_problem};

/// A server of Seeyon.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Seeyon {
    /// The server: `https://oa.example.com`.
    pub base_url: String,
    /// Whether `base_url` may be http://, in a network where no one else can listen.
    #[serde(default)]
    pub plaintext: bool,
    /// How its approvals arrive.
    #[serde(default)]
    pub receive: Receive,
    /// The interval at which the list is read, where approvals arrive by it.
    #[serde(default = "default_interval", deserialize_with = "duration")]
    pub poll_every: Duration,
    /// The form of times in the list's URL.
    #[serde(default)]
    pub time_format: TimeFormat,
    /// The zone of the server.
    #[serde(default = "UtcOffset::of_china")]
    pub utc_offset: UtcOffset,
}

/// How approvals arrive.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Receive {
    /// The list of ended flows is read at an interval.
    #[default]
    Polling,
    /// A hook in the OA sends messages to the webhook.
    Webhook,
}

/// The form of a time in the URL of the list of ended flows, which is not documented.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TimeFormat {
    /// `2026-11-30 08:00:00`, as a sister call has it; `2026-11-30` where that lists nothing.
    #[default]
    DateTime,
    /// `2026-11-30`.
    Date,
}

impl SourceKind for Seeyon {
    fn problem(&self) -> Option<SettingsProblem> {
        own_url_problem("base_url", &self.base_url, self.plaintext)
            .or_else(|| interval_problem("poll_every", self.poll_every))
    }

    fn credentials(&self) -> &'static [&'static str] {
        match self.receive {
            Receive::Polling => credentials::OF_POLLING,
            Receive::Webhook => credentials::OF_HOOK,
        }
    }

    fn identities(&self) -> &'static [&'static str] {
        &[credentials::USER_NAME]
    }

    fn check_usable(&self, name: &str, value: &str) -> Result<(), UsableValues> {
        hook::check_usable(name, value)
    }

    fn webhook(&self, source: &str) -> Box<dyn Webhook> {
        Box::new(HookWebhook::new(source))
    }
}
