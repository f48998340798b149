//! The operator's queries over the ledger in DynamoDB: keys and one index, never a scan.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use aws_sdk_dynamodb::types::KeysAndAttributes;
use greenlight_core::audit::{
    DeployedFlows, Grant, LastFailure, Lookup, RequestHistory, RequestStatus, StoredDeadLetter,
    day, waiting_at,
};
use greenlight_core::breaker::Breaker;
use greenlight_core::explain::{Explain, Explanation};
use greenlight_core::grant::{BeginError, GrantKey, GrantRecord};
use greenlight_core::lease::{Lease, LeaseId};
use greenlight_core::ledger::State;
use greenlight_core::names::NamesInUse;
use greenlight_core::operator::{AuditReader, GrantChange, GrantStore, StoreFuture, Unwanted};
use greenlight_core::ports::{FindNamesInUse, KeepGrants, LedgerError};
use greenlight_core::sweep::{Sweep, SweepKey};
use greenlight_core::{Request, RequestKey, Timestamp};
use thiserror::Error;

use super::dynamodb::{DynamoLedger, attempt, effects, retry};
use super::grants::{grant_key, grant_pk};
use super::index::Range;
use super::item::{
    BREAKERS, DISCARDED, GRANTS, GSI_PK, GSI_SK, Item, SWEEPS, UNWANTED, WAITING, check_version,
    expiry, integer, new_item, number, of_day, string, text, timestamp, unreadable,
};
use super::{describe, pause_before};

/// The largest batch of keys in DynamoDB.
const BATCH: usize = 100;

/// The most attempts of a batch; each requests only the unprocessed keys.
const BATCH_TRIES: u32 = 6;

/// How many days back recent requests are searched.
const DAYS_BACK: i64 = 14;

impl AuditReader for DynamoLedger {
    fn find_requests<'a>(
        &'a self,
        lookups: &'a [Lookup],
        at_most: usize,
    ) -> StoreFuture<'a, Vec<RequestHistory>> {
        Box::pin(async move {
            let mut keys = BTreeSet::new();
            for lookup in lookups {
                for item in self.query(&lookup.key(), &Range::newest(at_most)).await? {
                    keys.insert(format!("request#{}", string(&item, "request")?));
                }
            }
            Ok(self.histories(keys).await?)
        })
    }

    /// Searches up to two weeks back.
    fn recent_requests(
        &self,
        at_most: usize,
        now: Timestamp,
    ) -> StoreFuture<'_, Vec<RequestHistory>> {
        Box::pin(async move {
            let mut keys = BTreeSet::new();
            for back in 0..DAYS_BACK {
                let left = at_most - keys.len();
                for item in self.query(&of_day(day(now) - back), &Range::newest(left)).await? {
                    keys.insert(string(&item, "pk")?.to_owned());
                }
                if keys.len() >= at_most {
                    break;
                }
            }
            Ok(self.histories(keys).await?)
        })
    }

    fn waiting_requests(
        &self,
        at_most: usize,
        now: Timestamp,
    ) -> StoreFuture<'_, Vec<RequestHistory>> {
        Box::pin(async move {
            let mut keys = BTreeSet::new();
            // No queue keeps a message for longer; older items are stale.
            let from = now.minus(Duration::from_hours(24 * DAYS_BACK.unsigned_abs()));
            let soonest = Range { from, is_newest_first: false, ..Range::newest(at_most) };
            for item in self.query(WAITING, &soonest).await? {
                keys.insert(format!("request#{}", string(&item, "request")?));
            }
            Ok(waiting_at(self.histories(keys).await?, now))
        })
    }

    fn read_request<'a>(&'a self, key: &'a RequestKey) -> StoreFuture<'a, Option<RequestHistory>> {
        Box::pin(async move { Ok(self.histories([format!("request#{key}")]).await?.pop()) })
    }

    fn count_requests(
        &self,
        since: Timestamp,
        now: Timestamp,
    ) -> StoreFuture<'_, BTreeMap<RequestStatus, u64>> {
        Box::pin(async move {
            let mut counts = BTreeMap::new();
            for day in day(since)..=day(now) {
                let range = Range { from: since, ..Range::newest(usize::MAX) };
                for item in self.query(&of_day(day), &range).await? {
                    let status = RequestStatus::of_state_name(string(&item, "state")?);
                    *counts.entry(status).or_default() += 1;
                }
            }
            Ok(counts)
        })
    }

    fn unwanted(&self, at_most: usize) -> StoreFuture<'_, Vec<Unwanted>> {
        Box::pin(async move {
            let found = self.query(UNWANTED, &Range::newest(at_most)).await?;
            let keys = found.iter().map(|item| Ok(string(item, "pk")?.to_owned()));
            let items = self.get_all(keys.collect::<Result<Vec<_>, LedgerError>>()?).await?;
            let mut unwanted = items.iter().map(unwanted).collect::<Result<Vec<_>, _>>()?;
            unwanted.sort_by_key(|it| std::cmp::Reverse(it.last));
            Ok(unwanted)
        })
    }

    fn sweeps(&self) -> StoreFuture<'_, Vec<(SweepKey, Sweep)>> {
        Box::pin(async move {
            let found = self.query(SWEEPS, &Range::newest(usize::MAX)).await?;
            let keys = found.iter().map(|item| Ok(string(item, "pk")?.to_owned()));
            let items = self.get_all(keys.collect::<Result<Vec<_>, LedgerError>>()?).await?;
            let mut sweeps = items.iter().map(sweep).collect::<Result<Vec<_>, _>>()?;
            sweeps.sort_by(|(one, _), (other, _)| one.cmp(other));
            Ok(sweeps)
        })
    }

    fn breakers(&self) -> StoreFuture<'_, BTreeMap<String, Breaker>> {
        Box::pin(async move {
            let items = self.query(BREAKERS, &Range::newest(usize::MAX)).await?;
            let breaker = |item: &Item| {
                let breaker = serde_json::from_str(string(item, "breaker")?);
                let breaker = breaker.map_err(|_| unreadable("breaker"))?;
                Ok((string(item, "target")?.to_owned(), breaker))
            };
            items.iter().map(breaker).collect()
        })
    }

    fn deployed_flows(&self) -> StoreFuture<'_, Option<DeployedFlows>> {
        Box::pin(async move { Ok(self.read_flows().await?) })
    }
}

fn sweep(item: &Item) -> Result<(SweepKey, Sweep), LedgerError> {
    check_version(item)?;
    let key = string(item, "pk")?.strip_prefix("sweep#").and_then(SweepKey::of_text);
    let record = serde_json::from_str(string(item, "sweep")?).map_err(|_| unreadable("sweep"))?;
    Ok((key.ok_or_else(|| unreadable("pk"))?, record))
}

impl GrantStore for DynamoLedger {
    fn grants(&self, at_most: usize) -> StoreFuture<'_, Vec<Grant>> {
        Box::pin(async move {
            let range = Range { is_newest_first: false, ..Range::newest(at_most) };
            let items = self.query(GRANTS, &range).await?;
            Ok(items.iter().map(grant).collect::<Result<_, _>>()?)
        })
    }

    fn grants_of<'a>(&'a self, subjects: &'a [(String, String)]) -> StoreFuture<'a, Vec<Grant>> {
        Box::pin(async move {
            let keys = subjects.iter().map(|(target, subject)| grant_pk(target, subject));
            let items = self.get_all(keys).await?;
            Ok(items.iter().map(grant).collect::<Result<_, _>>()?)
        })
    }

    fn names_in_use(&self) -> StoreFuture<'_, NamesInUse> {
        Box::pin(async move { Ok(FindNamesInUse::names_in_use(self).await?) })
    }

    fn change<'a>(
        &'a self,
        key: &'a GrantKey,
        change: &'a GrantChange,
        now: Timestamp,
    ) -> StoreFuture<'a, (GrantRecord, Result<(), BeginError>)> {
        Box::pin(async move { Ok(self.change_grant(key, |it| change.apply(it, now)).await?) })
    }
}

/// DynamoDB returned fewer items than were asked for, again and again.
#[derive(Debug, Error, Explain)]
#[explain("reads_throttled")]
#[error("DynamoDB throttles the reads")]
struct ReadsThrottled;

impl DynamoLedger {
    /// Stores a dead letter that an operator discards, with the reason.
    pub(super) async fn keep_discarded(
        &self,
        letter: &StoredDeadLetter,
        reason: &str,
        now: Timestamp,
    ) -> Result<(), LedgerError> {
        let cause = letter.last_failure.as_ref().map(|last_failure| &last_failure.cause);
        let item = new_item(
            &format!("discarded#{}", letter.id),
            [
                (GSI_PK.to_owned(), text(DISCARDED)),
                (GSI_SK.to_owned(), number(now.as_millis())),
                ("body".to_owned(), text(&Request::without_content(&letter.body))),
                ("class".to_owned(), text(letter.class())),
                ("failure_reason".to_owned(), text(cause.map_or("", |cause| &cause.text))),
                (
                    "failure_cause".to_owned(),
                    text(&cause.map(Explanation::data).unwrap_or_default()),
                ),
                ("reason".to_owned(), text(reason)),
                ("expires_at".to_owned(), expiry(now, self.retention)),
            ],
        );
        let put = self.client.put_item().table_name(&self.table).set_item(Some(item));
        put.send().await.map_err(|error| LedgerError(describe("dynamodb:PutItem", &error)))?;
        Ok(())
    }

    /// Returns the requests with these keys, newest first; skips missing ones.
    async fn histories(
        &self,
        keys: impl IntoIterator<Item = String>,
    ) -> Result<Vec<RequestHistory>, LedgerError> {
        let items = self.get_all(keys).await?;
        let mut histories = items.iter().map(history).collect::<Result<Vec<_>, _>>()?;
        histories.sort_by_key(|history| {
            std::cmp::Reverse((history.first_claimed_at, history.key.clone()))
        });
        Ok(histories)
    }

    /// Returns the items with these keys; skips missing ones.
    async fn get_all(
        &self,
        keys: impl IntoIterator<Item = String>,
    ) -> Result<Vec<Item>, LedgerError> {
        let keys: Vec<Item> =
            keys.into_iter().map(|pk| Item::from([("pk".to_owned(), text(&pk))])).collect();
        let mut items = Vec::new();
        for batch in keys.chunks(BATCH) {
            let mut left = batch.to_vec();
            for number in 0..BATCH_TRIES {
                pause_before(number).await;
                let (found, unread) = self.get(left).await?;
                items.extend(found);
                left = unread;
                if left.is_empty() {
                    break;
                }
            }
            if !left.is_empty() {
                return Err(LedgerError(ReadsThrottled.into()));
            }
        }
        Ok(items)
    }

    async fn get(&self, keys: Vec<Item>) -> Result<(Vec<Item>, Vec<Item>), LedgerError> {
        let wanted =
            KeysAndAttributes::builder().set_keys(Some(keys)).consistent_read(true).build();
        let wanted = wanted.map_err(|error| LedgerError(Explanation::quoted(error.to_string())))?;
        let answer = self
            .client
            .batch_get_item()
            .request_items(&self.table, wanted)
            .send()
            .await
            .map_err(|error| LedgerError(describe("dynamodb:BatchGetItem", &error)))?;
        let mut found = answer.responses.unwrap_or_default();
        let mut unread: HashMap<_, _> = answer.unprocessed_keys.unwrap_or_default();
        let unread = unread.remove(&self.table).map(|unread| unread.keys).unwrap_or_default();
        Ok((found.remove(&self.table).unwrap_or_default(), unread))
    }
}

fn unwanted(item: &Item) -> Result<Unwanted, LedgerError> {
    check_version(item)?;
    let key = string(item, "pk")?.strip_prefix(UNWANTED).and_then(|key| key.strip_prefix('#'));
    let count = u64::try_from(integer(item, "count")?).unwrap_or(0);
    let unwanted = key.and_then(|key| Unwanted::of_key(key, count, timestamp(item, GSI_SK).ok()?));
    unwanted.ok_or_else(|| unreadable("pk"))
}

fn grant(item: &Item) -> Result<Grant, LedgerError> {
    let GrantKey { target, subject } = grant_key(item)?;
    Ok(Grant {
        target,
        subject,
        record: serde_json::from_str(string(item, "grant")?).map_err(|_| unreadable("grant"))?,
    })
}

fn history(item: &Item) -> Result<RequestHistory, LedgerError> {
    check_version(item)?;
    let optional = |name: &str| {
        let value = item.get(name).and_then(|value| value.as_s().ok());
        value.filter(|value| !value.is_empty()).cloned()
    };
    let moment = |name: &str| item.contains_key(name).then(|| timestamp(item, name)).transpose();
    let key = string(item, "pk")?;
    let lease_id = LeaseId::from(string(item, "lease_id")?);
    let state = match string(item, "state")? {
        "done" => State::Done { at: timestamp(item, "completed_at")?, by: lease_id },
        "failed" => State::Failed {
            at: timestamp(item, "completed_at")?,
            by: lease_id,
            reason: string(item, "failure_reason")?.to_owned(),
        },
        _ => State::Running(Lease { id: lease_id, until: timestamp(item, "lease_until")? }),
    };
    let last_failure = match (optional("failure_class"), moment("failed_at")?) {
        (Some(class), Some(at)) => Some(LastFailure {
            class,
            cause: Explanation::stored(
                optional("failure_reason").unwrap_or_default(),
                optional("failure_cause").as_deref(),
            ),
            target: optional("failure_target"),
            at,
        }),
        _ => None,
    };
    Ok(RequestHistory {
        key: key.strip_prefix("request#").unwrap_or(key).to_owned(),
        definition_id: string(item, "definition_id")?.to_owned(),
        event_id: string(item, "event_id")?.to_owned(),
        received_at: moment("received_at")?,
        first_claimed_at: moment("first_claimed_at")?,
        flow: optional("flow"),
        applicant: optional("applicant"),
        form_number: optional("form_number"),
        state,
        attempt: attempt(item)?,
        effects: effects(item)?,
        last_failure,
        retry: retry(item)?,
    })
}
