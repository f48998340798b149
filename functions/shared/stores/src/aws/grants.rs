//! The grants in DynamoDB: one item per target and subject.

use greenlight_core::grant::{GrantKey, GrantRecord, Phase};
use greenlight_core::ledger::REMEMBERED_FOR;
use greenlight_core::ports::{KeepGrants, LedgerError};

use super::document::{Attributes, Document};
use super::dynamodb::DynamoLedger;
use super::item::{GRANTS, GSI_PK, GSI_SK, number, text};

/// Whether there is access, or may be, is in the index; what has ended expires.
impl Document for GrantRecord {
    const ATTRIBUTE: &'static str = "grant";

    fn is_changed_again(&self) -> bool {
        self.call.is_some()
    }

    fn attributes(&self) -> Attributes {
        let phase = self.phase();
        let mut attributes = vec![("state", text(phase.as_str()))];
        if phase == Phase::Ended {
            let expiry = self.last_change().plus(REMEMBERED_FOR).as_seconds();
            attributes.push(("expires_at", number(expiry)));
        } else {
            attributes.push((GSI_PK, text(GRANTS)));
            attributes.push((GSI_SK, number(self.since().as_millis())));
        }
        attributes
    }
}

impl KeepGrants for DynamoLedger {
    async fn change_grant<T: Send>(
        &self,
        key: &GrantKey,
        change: impl Fn(GrantRecord) -> (GrantRecord, T) + Send + Sync,
    ) -> Result<(GrantRecord, T), LedgerError> {
        let named = [("target", text(&key.target)), ("subject", text(&key.subject))];
        self.change_document(&grant_pk(&key.target, &key.subject), &named, change).await
    }
}

pub(super) fn grant_pk(target: &str, subject: &str) -> String {
    format!("grant#{target}#{subject}")
}
