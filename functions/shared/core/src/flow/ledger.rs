//! What the ledger keeps, and for how long.

use std::time::Duration;

use serde::Deserialize;

use super::{Flow, FlowsError};
use crate::ledger::DEFAULT_RETENTION;
use crate::retry::duration;
use crate::sweep::LONGEST_OUTAGE;

/// The longest that queue and dead-letter queue keep a message, together: a redrive at the last
/// moment must still find what was done.
const QUEUES_KEEP: Duration = Duration::from_hours(28 * 24);

/// `[ledger]` in `flows.toml`.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LedgerRule {
    /// How long records are kept after their last change: of requests, of access that has ended,
    /// and of what operators did. At least 28 days more than `max_age` of every flow. Default:
    /// `400days`.
    #[serde(deserialize_with = "duration")]
    #[cfg_attr(feature = "schema", schemars(with = "String"))]
    pub retention: Duration,
}

impl Default for LedgerRule {
    fn default() -> Self {
        Self { retention: DEFAULT_RETENTION }
    }
}

impl LedgerRule {
    /// Reads the rule in the text of `flows.toml`, and nothing else. The default where there is
    /// none that can be read.
    #[must_use]
    pub fn of_text(text: &str) -> Self {
        #[derive(Deserialize)]
        struct Part {
            #[serde(default)]
            ledger: LedgerRule,
        }
        toml::from_str(text).map(|Part { ledger }| ledger).unwrap_or_default()
    }

    /// An approval that a flow still accepts must not be forgotten: it would be carried out again.
    pub(super) fn check(&self, flows: &[Flow], errors: &mut Vec<FlowsError>) {
        // Sweeps find approvals without the time of their end, which have no `max_age`.
        let oldest = flows.iter().map(|flow| flow.max_age).max().unwrap_or_default();
        let oldest = oldest.max(LONGEST_OUTAGE);
        let least = oldest.saturating_add(QUEUES_KEEP);
        if self.retention < least {
            let days = least.as_secs().div_ceil(24 * 60 * 60);
            errors.push(FlowsError::Retention { days });
        }
    }
}
