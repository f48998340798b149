//! The grants in DynamoDB, one item per target and subject, and the record of the ticks.

use std::time::Duration;

use greenlight_core::Timestamp;
use greenlight_core::grant::{GrantKey, GrantRecord};
use greenlight_core::names::NamesInUse;
use greenlight_core::ports::{
    FindDueGrants, FindHeldGrants, FindNamesInUse, KeepGrants, KeepSchedule, LedgerError,
};
use greenlight_core::schedule::Schedule;

use super::document::{Attributes, Document};
use super::dynamodb::DynamoLedger;
use super::index::Range;
use super::item::{GRANTS, GSI_PK, GSI_SK, Item, check_version, number, string, text, unreadable};

/// While there is access, or may be, the index has when it is due; what has ended expires.
impl Document for GrantRecord {
    const ATTRIBUTE: &'static str = "grant";

    fn is_changed_again(&self) -> bool {
        self.call.is_some()
    }

    fn attributes(&self, retention: Duration) -> Attributes {
        let mut attributes = vec![("state", text(self.phase().as_str()))];
        if let Some(due) = self.due() {
            attributes.push((GSI_PK, text(GRANTS)));
            attributes.push((GSI_SK, number(due.as_millis())));
        } else {
            let expiry = self.last_change().plus(retention).as_seconds();
            attributes.push(("expires_at", number(expiry)));
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

impl FindDueGrants for DynamoLedger {
    async fn due_grants(
        &self,
        now: Timestamp,
        at_most: usize,
    ) -> Result<Vec<GrantKey>, LedgerError> {
        let before = now.plus(Duration::from_millis(1));
        let due = Range { before, is_newest_first: false, ..Range::newest(at_most) };
        let items = self.query(GRANTS, &due).await?;
        // One of another version must not keep the others from their end.
        let readable = |item: &Item| match grant_key(item) {
            Ok(key) => Some(key),
            Err(error) => {
                tracing::error!(%error, "a grant that is due cannot be read");
                None
            }
        };
        Ok(items.iter().filter_map(readable).collect())
    }
}

impl FindHeldGrants for DynamoLedger {
    async fn grants_held_by(
        &self,
        owner: &str,
    ) -> Result<Vec<(GrantKey, GrantRecord)>, LedgerError> {
        let containing = Some((GrantRecord::ATTRIBUTE, owner.to_owned()));
        let items = self.query(GRANTS, &Range { containing, ..Range::newest(MOST_HELD) }).await?;
        let mut held = Vec::new();
        for item in &items {
            let record = record(item)?;
            if record.is_held_by(owner) {
                held.push((grant_key(item)?, record));
            }
        }
        Ok(held)
    }
}

/// More than there can be.
const MOST_HELD: usize = 1_000_000;

impl FindNamesInUse for DynamoLedger {
    async fn names_in_use(&self) -> Result<NamesInUse, LedgerError> {
        let mut names = NamesInUse::default();
        let add = |page: Vec<Item>| {
            page.iter().try_for_each(|item| {
                names.add(&grant_key(item)?, &record(item)?);
                Ok(())
            })
        };
        self.query_pages(GRANTS, &Range::newest(MOST_HELD), add).await?;
        Ok(names)
    }
}

fn record(item: &Item) -> Result<GrantRecord, LedgerError> {
    serde_json::from_str(string(item, GrantRecord::ATTRIBUTE)?)
        .map_err(|_| unreadable(GrantRecord::ATTRIBUTE))
}

pub(super) fn grant_key(item: &Item) -> Result<GrantKey, LedgerError> {
    check_version(item)?;
    let (target, subject) = (string(item, "target")?, string(item, "subject")?);
    Ok(GrantKey { target: target.to_owned(), subject: subject.to_owned() })
}

impl Document for Schedule {
    const ATTRIBUTE: &'static str = "schedule";

    fn is_changed_again(&self) -> bool {
        self.lease.is_some()
    }

    fn attributes(&self, _: Duration) -> Attributes {
        Vec::new()
    }
}

impl KeepSchedule for DynamoLedger {
    async fn change_schedule<T: Send>(
        &self,
        change: impl Fn(Schedule) -> (Schedule, T) + Send + Sync,
    ) -> Result<(Schedule, T), LedgerError> {
        self.change_document("schedule", &[], change).await
    }
}

pub(super) fn grant_pk(target: &str, subject: &str) -> String {
    format!("grant#{target}#{subject}")
}
