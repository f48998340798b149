//! The ledger in DynamoDB: each command of the state machine is one conditional write.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::error::SdkError;
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::types::{
    AttributeValue, Put, ReturnValue, ReturnValuesOnConditionCheckFailure, TransactWriteItem,
    Update,
};
use greenlight_core::audit::{AttemptRecord, Subject, day};
use greenlight_core::ledger::{
    ClaimError, Claimed, Completion, Effect, EffectKey, EffectOutcome, Lease, LeaseId, LeaseLost,
};
use greenlight_core::ports::{Claim, Complete, LedgerError, RecordEffect};
use greenlight_core::retry::RetryState;
use greenlight_core::{Request, RequestKey, Timestamp};

use super::describe;
use super::effects::EffectsOfAMoment;
use super::item::{
    GSI_PK, GSI_SK, Item, VERSION, check_version, expiry, new_item, number, of_day, string, text,
    timestamp, unreadable,
};

/// A request may be claimed when nobody has, when it failed, or when the last lease is void.
/// The expiry stands in the condition: DynamoDB's own deletion of old items is days late.
const CLAIMABLE: &str = "attribute_not_exists(pk) OR (v = :v AND (#state = :failed \
     OR (#state = :running AND lease_until <= :now)))";

/// Whoever writes must hold the lease, now.
const HELD: &str = "#state = :running AND #lease = :me AND lease_until > :now";

/// So often a completion is tried when it meets another write.
const SETTLE_TRIES: u32 = 4;

/// How long filing what an attempt found out may take: it comes out of the attempt's last seconds.
const FILE_WITHIN: Duration = Duration::from_secs(2);

/// The ledger in one DynamoDB table with the string key `pk`.
#[derive(Clone, Debug)]
pub struct DynamoLedger {
    pub(super) client: Client,
    pub(super) table: String,
    effects: Arc<EffectsOfAMoment>,
}

impl DynamoLedger {
    /// The ledger in `table`.
    pub fn new(config: &aws_types::SdkConfig, table: impl Into<String>) -> Self {
        Self { client: Client::new(config), table: table.into(), effects: Arc::default() }
    }
}

impl Claim for DynamoLedger {
    async fn claim(
        &self,
        request: &Request,
        lease: &Lease,
        now: Timestamp,
    ) -> Result<Result<Claimed, ClaimError>, LedgerError> {
        let result = self
            .client
            .update_item()
            .table_name(&self.table)
            .key("pk", request_pk(&request.key()))
            .condition_expression(CLAIMABLE)
            .update_expression(
                "SET v = :v, #state = :running, #lease = :me, lease_until = :until, \
                 attempt = if_not_exists(attempt, :zero) + :one, \
                 effects = if_not_exists(effects, :none), \
                 definition_id = :definition_id, event_id = :event_id, \
                 received_at = if_not_exists(received_at, :received_at), \
                 first_claimed_at = if_not_exists(first_claimed_at, :now), \
                 gsi1pk = if_not_exists(gsi1pk, :day), gsi1sk = if_not_exists(gsi1sk, :now), \
                 claimed_at = :now, expires_at = :expires_at \
                 REMOVE settled_at",
            )
            .expression_attribute_values(":received_at", number(request.received_at.as_millis()))
            .expression_attribute_values(":day", text(&of_day(day(now))))
            .expression_attribute_names("#state", "state")
            .expression_attribute_names("#lease", "lease_id")
            .expression_attribute_values(":running", text("running"))
            .expression_attribute_values(":failed", text("failed"))
            .expression_attribute_values(":me", text(lease.id.as_str()))
            .expression_attribute_values(":until", number(lease.until.as_millis()))
            .expression_attribute_values(":now", number(now.as_millis()))
            .expression_attribute_values(":v", number(VERSION))
            .expression_attribute_values(":zero", number(0))
            .expression_attribute_values(":one", number(1))
            .expression_attribute_values(":none", AttributeValue::M(Item::new()))
            .expression_attribute_values(":definition_id", text(&request.definition_id))
            .expression_attribute_values(":event_id", text(&request.event_id))
            .expression_attribute_values(":expires_at", expiry(now))
            .return_values(ReturnValue::AllNew)
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
            .send()
            .await;
        match result {
            Ok(output) => Ok(Ok(taken(&output.attributes.unwrap_or_default())?)),
            Err(error) => refused(&error, lease),
        }
    }
}

/// The old item says why the claim was refused; that of our own claim, sent again after its answer
/// was lost, is no refusal.
fn refused(
    error: &SdkError<UpdateItemError>,
    lease: &Lease,
) -> Result<Result<Claimed, ClaimError>, LedgerError> {
    let Some(UpdateItemError::ConditionalCheckFailedException(failed)) = error.as_service_error()
    else {
        return Err(LedgerError(describe("dynamodb:UpdateItem", error)));
    };
    let old = failed.item().ok_or_else(|| unreadable("the refused item"))?;
    check_version(old)?;
    if string(old, "state")? == "done" {
        return Ok(Err(ClaimError::Completed));
    }
    if string(old, "lease_id")? == lease.id.as_str() {
        return Ok(Ok(taken(old)?));
    }
    Ok(Err(ClaimError::Held { until: timestamp(old, "lease_until")? }))
}

impl RecordEffect for DynamoLedger {
    async fn record_effect(
        &self,
        request: &RequestKey,
        lease_id: &LeaseId,
        key: &EffectKey,
        effect: Effect,
        now: Timestamp,
    ) -> Result<Result<(), LeaseLost>, LedgerError> {
        let write = |effects| self.write_effects(request, lease_id, effects, now);
        self.effects.record(request, lease_id, key.clone(), effect, write).await
    }
}

impl DynamoLedger {
    /// All of them with one update, whose price is the size of the item and not that of what is added.
    async fn write_effects(
        &self,
        request: &RequestKey,
        lease_id: &LeaseId,
        effects: Vec<(EffectKey, Effect)>,
        now: Timestamp,
    ) -> Result<Result<(), LeaseLost>, LedgerError> {
        // The lease is held when the last of them ended, and not only when the first did.
        let now = effects.iter().map(|(_, effect)| effect.at).fold(now, Timestamp::max);
        let mut update = self
            .client
            .update_item()
            .table_name(&self.table)
            .key("pk", request_pk(request))
            .condition_expression(HELD)
            .expression_attribute_names("#state", "state")
            .expression_attribute_names("#lease", "lease_id")
            .expression_attribute_values(":running", text("running"))
            .expression_attribute_values(":me", text(lease_id.as_str()))
            .expression_attribute_values(":now", number(now.as_millis()));
        let mut sets = Vec::new();
        for (place, (key, effect)) in effects.iter().enumerate() {
            let (name, value) = (format!("#effect{place}"), format!(":effect{place}"));
            sets.push(format!("effects.{name} = if_not_exists(effects.{name}, {value})"));
            let item = Item::from([
                ("outcome".to_owned(), text(effect.outcome.as_str())),
                ("at".to_owned(), number(effect.at.as_millis())),
            ]);
            update = update
                .expression_attribute_names(name, key.as_str())
                .expression_attribute_values(value, AttributeValue::M(item));
        }
        match update.update_expression(format!("SET {}", sets.join(", "))).send().await {
            Ok(_) => Ok(Ok(())),
            Err(error) if is_refused(&error) => Ok(Err(LeaseLost)),
            Err(error) => Err(LedgerError(describe("dynamodb:UpdateItem", &error))),
        }
    }
}

/// Whether the condition of the update did not hold.
pub(super) fn is_refused(error: &SdkError<UpdateItemError>) -> bool {
    error.as_service_error().is_some_and(UpdateItemError::is_conditional_check_failed_exception)
}

impl Complete for DynamoLedger {
    async fn complete(
        &self,
        request: &Request,
        lease_id: &LeaseId,
        completion: &Completion,
        attempt_record: Option<&AttemptRecord>,
        now: Timestamp,
    ) -> Result<Result<(), LeaseLost>, LedgerError> {
        let filing = self.file_end(request, completion, attempt_record, now);
        let late = || LedgerError("it took too long".to_owned());
        // What an operator asks for must not keep a request from ending.
        let filed = tokio::time::timeout(FILE_WITHIN, filing).await;
        if let Err(error) = filed.unwrap_or_else(|_| Err(late())) {
            tracing::warn!(%error, "what the attempt found out could not be filed");
        }
        let update = self.completion(request, lease_id, completion, attempt_record, now)?;
        let mut writes = vec![TransactWriteItem::builder().update(update).build()];
        if completion.is_final() {
            let put = Put::builder()
                .table_name(&self.table)
                .set_item(Some(event_item(request, now)))
                .build()
                .map_err(|error| LedgerError(error.to_string()))?;
            writes.push(TransactWriteItem::builder().put(put).build());
        }
        // The SDK gives each call a token of its own, so that one sent again settles once.
        let call = self.client.transact_write_items().set_transact_items(Some(writes));
        let mut tries = 1..SETTLE_TRIES;
        loop {
            match call.clone().send().await {
                Ok(_) => return Ok(Ok(())),
                Err(error) if is_cancelled_by(&error, "ConditionalCheckFailed") => {
                    return Ok(Err(LeaseLost));
                }
                // Somebody else's claim came at the same moment; the SDK does not try that again.
                Err(error)
                    if is_cancelled_by(&error, "TransactionConflict") && tries.next().is_some() => {
                }
                Err(error) => {
                    return Err(LedgerError(describe(
                        "dynamodb:UpdateItem and dynamodb:PutItem",
                        &error,
                    )));
                }
            }
        }
    }

    async fn file_event(&self, request: &Request, now: Timestamp) -> Result<(), LedgerError> {
        self.client
            .put_item()
            .table_name(&self.table)
            .set_item(Some(event_item(request, now)))
            .send()
            .await
            .map_err(|error| LedgerError(describe("dynamodb:PutItem", &error)))?;
        Ok(())
    }
}

impl DynamoLedger {
    /// Files what an operator looks a request up by: what the attempt found out, and whether it
    /// waits.
    async fn file_end(
        &self,
        request: &Request,
        completion: &Completion,
        attempt_record: Option<&AttemptRecord>,
        now: Timestamp,
    ) -> Result<(), LedgerError> {
        if let Some(attempt_record) = attempt_record {
            self.file(request, attempt_record, now).await?;
        }
        match completion {
            Completion::Released { retry, .. } if retry.wait_ms > 0 => {
                self.put_waiting(request, retry, now).await
            }
            Completion::Released { .. } => Ok(()),
            Completion::Done | Completion::Failed { .. } => {
                if attempt_record.is_some_and(|attempt_record| attempt_record.has_waited) {
                    self.delete_waiting(&request.key()).await?;
                }
                Ok(())
            }
        }
    }

    /// The write of a completion, under the condition that the lease is held.
    fn completion(
        &self,
        request: &Request,
        lease_id: &LeaseId,
        completion: &Completion,
        attempt_record: Option<&AttemptRecord>,
        now: Timestamp,
    ) -> Result<Update, LedgerError> {
        let update = Update::builder()
            .table_name(&self.table)
            .key("pk", request_pk(&request.key()))
            .condition_expression(HELD)
            .expression_attribute_names("#state", "state")
            .expression_attribute_names("#lease", "lease_id")
            .expression_attribute_values(":running", text("running"))
            .expression_attribute_values(":me", text(lease_id.as_str()))
            .expression_attribute_values(":now", number(now.as_millis()));
        let (update, mut sets) = if completion.is_final() {
            let is_done = *completion == Completion::Done;
            let ended = text(if is_done { "done" } else { "failed" });
            let update = update
                .expression_attribute_values(":ended", ended)
                .expression_attribute_values(":expires_at", expiry(now));
            (update, vec!["#state = :ended", "settled_at = :now", "expires_at = :expires_at"])
        } else {
            let update = update.expression_attribute_values(":void", number(0));
            (update, vec!["lease_until = :void"])
        };
        let update = match completion.failure() {
            None => update,
            Some((reason, retry)) => {
                sets.extend([
                    "failure_class = :class",
                    "failure_reason = :reason",
                    "failure_target = :target",
                    "failed_at = :now",
                    "retry = :retry",
                ]);
                let target = reason.target.as_deref().unwrap_or_default();
                let retry = serde_json::to_string(retry);
                let retry = retry.map_err(|error| LedgerError(error.to_string()))?;
                update
                    .expression_attribute_values(":class", text(reason.class.as_str()))
                    .expression_attribute_values(":reason", text(&reason.text))
                    .expression_attribute_values(":target", text(target))
                    .expression_attribute_values(":retry", text(&retry))
            }
        };
        // What was found out before the source was away must not be forgotten.
        let update = match attempt_record
            .filter(|attempt_record| !attempt_record.applicant.is_empty())
        {
            None => update,
            Some(attempt_record) => {
                sets.extend(["#flow = :flow", "applicant = :applicant", "form_number = :serial"]);
                update
                    .expression_attribute_names("#flow", "flow")
                    .expression_attribute_values(":flow", text(&attempt_record.flow))
                    .expression_attribute_values(":applicant", text(&attempt_record.applicant))
                    .expression_attribute_values(":serial", text(&attempt_record.form_number))
            }
        };
        update
            .update_expression(format!("SET {}", sets.join(", ")))
            .build()
            .map_err(|error| LedgerError(error.to_string()))
    }
}

fn is_cancelled_by(error: &SdkError<TransactWriteItemsError>, code: &str) -> bool {
    let Some(TransactWriteItemsError::TransactionCanceledException(cancelled)) =
        error.as_service_error()
    else {
        return false;
    };
    let mut reasons = cancelled.cancellation_reasons().iter();
    reasons.any(|reason| reason.code() == Some(code))
}

/// A processed event id, which points to its request.
fn event_item(request: &Request, now: Timestamp) -> Item {
    let pk = format!("event#{}#{}#{}", request.source, request.tenant, request.event_id);
    let subject = Subject::Event(request.event_id.clone());
    new_item(
        &pk,
        [
            (GSI_PK.to_owned(), text(&subject.key())),
            (GSI_SK.to_owned(), number(request.received_at.as_millis())),
            ("request".to_owned(), text(request.key().as_str())),
            ("processed_at".to_owned(), number(now.as_millis())),
            ("expires_at".to_owned(), expiry(now)),
        ],
    )
}

pub(super) fn request_pk(key: &RequestKey) -> AttributeValue {
    AttributeValue::S(format!("request#{key}"))
}

fn taken(item: &Item) -> Result<Claimed, LedgerError> {
    Ok(Claimed { attempt: attempt(item)?, effects: effects(item)?, retry: retry(item)? })
}

/// What the last attempt that ended left, as JSON.
pub(super) fn retry(item: &Item) -> Result<Option<RetryState>, LedgerError> {
    if !item.contains_key("retry") {
        return Ok(None);
    }
    let retry = serde_json::from_str(string(item, "retry")?);
    retry.map(Some).map_err(|_| unreadable("retry"))
}

pub(super) fn attempt(item: &Item) -> Result<u32, LedgerError> {
    u32::try_from(timestamp(item, "attempt")?.as_millis()).map_err(|_| unreadable("attempt"))
}

pub(super) fn effects(item: &Item) -> Result<BTreeMap<EffectKey, Effect>, LedgerError> {
    let effects = item.get("effects").and_then(|effects| effects.as_m().ok());
    let effects = effects.ok_or_else(|| unreadable("effects"))?;
    let effects = effects.iter().map(|(key, effect)| {
        let effect = effect.as_m().map_err(|_| unreadable("an effect"))?;
        let outcome = match string(effect, "outcome")? {
            "done" => EffectOutcome::Done,
            "already_exists" => EffectOutcome::AlreadyExists,
            _ => return Err(unreadable("an effect's outcome")),
        };
        let at = timestamp(effect, "at")?;
        Ok((EffectKey::from(key.as_str()), Effect { outcome, at }))
    });
    effects.collect()
}
