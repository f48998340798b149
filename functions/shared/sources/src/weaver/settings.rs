//! The settings of a source of the kind `weaver`.

use greenlight_core::flow::UtcOffset;
use greenlight_core::webhook::Webhook;
use serde::Deserialize;

use super::credentials;
use crate::hook::{self, HookWebhook};
use crate::kind::{SettingsProblem, SourceKind, UsableValues, own_url_problem};

/// A server of Weaver e-cology 9.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Weaver {
    /// The server: `https://oa.example.com`.
    pub base_url: String,
    /// Whether `base_url` may be http://, in a network where no one else can listen.
    #[serde(default)]
    pub plaintext: bool,
    /// What says that an archived form was approved: a refused one is archived, too.
    pub approved: Approved,
    /// The zone of the server.
    #[serde(default = "UtcOffset::of_china")]
    pub utc_offset: UtcOffset,
}

/// The field of the form that has the result.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Approved {
    /// Its name in the database, or its label.
    pub field: String,
    /// Its value in an approved form: the text that people see, or the value in the database.
    pub value: String,
}

impl SourceKind for Weaver {
    fn problem(&self) -> Option<SettingsProblem> {
        own_url_problem("base_url", &self.base_url, self.plaintext)
    }

    fn credentials(&self) -> &'static [&'static str] {
        credentials::NAMES
    }

    fn identities(&self) -> &'static [&'static str] {
        &[credentials::APP_ID, credentials::USER_ID]
    }

    fn check_usable(&self, name: &str, value: &str) -> Result<(), UsableValues> {
        hook::check_usable(name, value)
    }

    fn webhook(&self, source: &str) -> Box<dyn Webhook> {
        Box::new(HookWebhook::new(source))
    }
}
