//! The ledger in DynamoDB: each command of the state machine is one conditional write.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::error::SdkError;
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::operation::update_item::builders::UpdateItemFluentBuilder;
use aws_sdk_dynamodb::types::{AttributeValue, ReturnValue, ReturnValuesOnConditionCheckFailure};
use greenlight_core::audit::{AttemptRecord, Lookup, day};
use greenlight_core::explain::Explanation;
use greenlight_core::lease::{Lease, LeaseId, LeaseLost};
#[cfg(feature = "operator")]
use greenlight_core::ledger::ResetError;
use greenlight_core::ledger::{
    ClaimError, Claimed, Completion, DEFAULT_RETENTION, Effect, EffectKey, EffectKind,
    EffectOutcome, Progress, Standing,
};
use greenlight_core::ports::{Claim, Complete, FileAudit, LedgerError, RecordEffect};
use greenlight_core::retry::RetryState;
use greenlight_core::{Request, RequestKey, Timestamp};

use super::describe;
use super::document::Written;
use super::effects::EffectsOfAMoment;
use super::item::{
    GSI_PK, GSI_SK, Item, VERSION, check_version, expiry, integer, new_item, number, of_day,
    string, text, timestamp, unreadable,
};

/// A request can be claimed if it is new, has failed, or its lease expired. The condition checks
/// the expiry, because DynamoDB deletes expired items days late.
const CLAIMABLE: &str = "attribute_not_exists(pk) OR (v = :v AND (#state = :failed \
     OR (#state = :running AND lease_until <= :now)))";

/// The lease is held and has not expired.
const HELD: &str = "#state = :running AND #lease = :me AND lease_until > :now";

/// The ledger in one DynamoDB table with the string key `pk`.
#[derive(Clone, Debug)]
pub struct DynamoLedger {
    pub(super) client: Client,
    pub(super) table: String,
    /// How long records are kept after their last change.
    pub(super) retention: Duration,
    effects: Arc<EffectsOfAMoment>,
    pub(super) written: Arc<Written>,
}

impl DynamoLedger {
    /// Creates a ledger over `table`.
    pub fn new(config: &aws_types::SdkConfig, table: impl Into<String>) -> Self {
        let (client, table) = (Client::new(config), table.into());
        let retention = DEFAULT_RETENTION;
        Self { client, table, retention, effects: Arc::default(), written: Arc::default() }
    }

    /// Keeps records so long after their last change.
    #[must_use]
    pub fn keeping(self, retention: Duration) -> Self {
        Self { retention, ..self }
    }

    /// The item with this key, as it is now.
    pub(super) async fn read_item(&self, pk: AttributeValue) -> Result<Option<Item>, LedgerError> {
        let get = self.client.get_item().table_name(&self.table).key("pk", pk);
        let answer = get.consistent_read(true).send().await;
        let answer = answer.map_err(|error| LedgerError(describe("dynamodb:GetItem", &error)))?;
        if let Some(item) = &answer.item {
            check_version(item)?;
        }
        Ok(answer.item)
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
                 REMOVE completed_at",
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
            .expression_attribute_values(":expires_at", expiry(now, self.retention))
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

/// Returns why the claim was rejected, from the old item. If the lease is this claim's own, the SDK
/// has repeated a call whose answer was lost, and the claim succeeded.
fn refused(
    error: &SdkError<UpdateItemError>,
    lease: &Lease,
) -> Result<Result<Claimed, ClaimError>, LedgerError> {
    let Some(UpdateItemError::ConditionalCheckFailedException(failed)) = error.as_service_error()
    else {
        return Err(LedgerError(describe("dynamodb:UpdateItem", error)));
    };
    let old = failed.item().ok_or_else(|| unreadable("item"))?;
    check_version(old)?;
    if string(old, "state")? == "done" {
        return Ok(Err(ClaimError::Completed));
    }
    if string(old, "lease_id")? == lease.id.as_str() {
        return Ok(Ok(taken(old)?));
    }
    Ok(Err(ClaimError::Held { until: timestamp(old, "lease_until")? }))
}

impl DynamoLedger {
    /// An update of a request under the condition that the lease is held at `now`.
    fn update_held(
        &self,
        request: &RequestKey,
        lease_id: &LeaseId,
        now: Timestamp,
    ) -> UpdateItemFluentBuilder {
        self.client
            .update_item()
            .table_name(&self.table)
            .key("pk", request_pk(request))
            .condition_expression(HELD)
            .expression_attribute_names("#state", "state")
            .expression_attribute_names("#lease", "lease_id")
            .expression_attribute_values(":running", text("running"))
            .expression_attribute_values(":me", text(lease_id.as_str()))
            .expression_attribute_values(":now", number(now.as_millis()))
    }
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
    /// Records all effects with one update: DynamoDB charges for the item's size, not for the added
    /// part.
    async fn write_effects(
        &self,
        request: &RequestKey,
        lease_id: &LeaseId,
        effects: Vec<(EffectKey, Effect)>,
        now: Timestamp,
    ) -> Result<Result<(), LeaseLost>, LedgerError> {
        // The lease must be held at the end of the last effect, not only of the first.
        let now = effects.iter().map(|(_, effect)| effect.at).fold(now, Timestamp::max);
        let mut update = self.update_held(request, lease_id, now);
        let mut sets = Vec::new();
        for (place, (key, effect)) in effects.iter().enumerate() {
            let (name, value) = (format!("#effect{place}"), format!(":effect{place}"));
            sets.push(format!("effects.{name} = if_not_exists(effects.{name}, {value})"));
            let item = Item::from([
                ("kind".to_owned(), text(effect.kind.as_str())),
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

/// Returns whether the condition of the update failed.
pub(super) fn is_refused(error: &SdkError<UpdateItemError>) -> bool {
    error.as_service_error().is_some_and(UpdateItemError::is_conditional_check_failed_exception)
}

impl Complete for DynamoLedger {
    async fn complete(
        &self,
        request: &RequestKey,
        lease_id: &LeaseId,
        completion: &Completion,
        now: Timestamp,
    ) -> Result<Result<(), LeaseLost>, LedgerError> {
        let mut sets = Vec::new();
        let mut update = self.update_held(request, lease_id, now);
        if completion.is_final() {
            sets.extend(["#state = :ended", "completed_at = :now", "expires_at = :expires_at"]);
            update = update
                .expression_attribute_values(":ended", text(end_state(completion)))
                .expression_attribute_values(":expires_at", expiry(now, self.retention));
        } else {
            sets.push("lease_until = :void");
            update = update.expression_attribute_values(":void", number(0));
        }
        if let Some((reason, retry)) = completion.failure() {
            sets.extend([
                "failure_class = :class",
                "failure_reason = :reason",
                "failure_cause = :cause",
                "failure_target = :target",
                "failed_at = :now",
                "retry = :retry",
            ]);
            let target = reason.target.as_deref().unwrap_or_default();
            let retry = serde_json::to_string(retry);
            let retry =
                retry.map_err(|error| LedgerError(Explanation::quoted(error.to_string())))?;
            update = update
                .expression_attribute_values(":class", text(reason.class.as_str()))
                .expression_attribute_values(":reason", text(&reason.cause.text))
                .expression_attribute_values(":cause", text(&reason.cause.data()))
                .expression_attribute_values(":target", text(target))
                .expression_attribute_values(":retry", text(&retry));
        }
        let result = update
            .update_expression(format!("SET {}", sets.join(", ")))
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
            .send()
            .await;
        match result {
            Ok(_) => Ok(Ok(())),
            Err(error) => match error.as_service_error() {
                Some(UpdateItemError::ConditionalCheckFailedException(refused)) => {
                    // The SDK repeats a call whose answer was lost.
                    let old = refused.item();
                    let is_ours =
                        old.is_some_and(|old| completed_by(old, lease_id, completion, now));
                    Ok(if is_ours { Ok(()) } else { Err(LeaseLost) })
                }
                _ => Err(LedgerError(describe("dynamodb:UpdateItem", &error))),
            },
        }
    }
}

const fn end_state(completion: &Completion) -> &'static str {
    match completion {
        Completion::Done => "done",
        Completion::Failed { .. } => "failed",
        Completion::Released { .. } => "running",
    }
}

/// Returns whether the item is in the state after this completion.
fn completed_by(item: &Item, lease_id: &LeaseId, completion: &Completion, now: Timestamp) -> bool {
    let is = |name: &str, at: Timestamp| timestamp(item, name).is_ok_and(|found| found == at);
    let is_as_left = match completion {
        Completion::Done | Completion::Failed { .. } => is("completed_at", now),
        Completion::Released { retry: left, .. } => {
            is("lease_until", Timestamp::default())
                && retry(item).is_ok_and(|found| found.as_ref() == Some(left))
        }
    };
    is_as_left
        && string(item, "lease_id").is_ok_and(|id| id == lease_id.as_str())
        && string(item, "state").is_ok_and(|state| state == end_state(completion))
}

impl FileAudit for DynamoLedger {
    async fn file_attempt(
        &self,
        request: &Request,
        completion: &Completion,
        record: Option<&AttemptRecord>,
        now: Timestamp,
    ) -> Result<(), LedgerError> {
        if let Some(record) = record {
            let key = request.key();
            let described = self.describe_request(&key, record);
            futures_util::try_join!(self.file(request, record, now), described)?;
        }
        match completion {
            Completion::Released { retry, .. } if retry.wait_ms > 0 => {
                self.put_waiting(request, retry, now).await
            }
            Completion::Done | Completion::Failed { .. }
                if record.is_some_and(|record| record.has_waited) =>
            {
                self.delete_waiting(&request.key()).await
            }
            _ => Ok(()),
        }
    }

    async fn file_event(&self, request: &Request, now: Timestamp) -> Result<(), LedgerError> {
        self.client
            .put_item()
            .table_name(&self.table)
            .set_item(Some(event_item(request, now, self.retention)))
            .send()
            .await
            .map_err(|error| LedgerError(describe("dynamodb:PutItem", &error)))?;
        Ok(())
    }
}

impl DynamoLedger {
    /// Adds the source's data to the request. An attempt that ended before reading it leaves
    /// earlier data unchanged.
    async fn describe_request(
        &self,
        request: &RequestKey,
        record: &AttemptRecord,
    ) -> Result<(), LedgerError> {
        if !record.is_read {
            return Ok(());
        }
        self.client
            .update_item()
            .table_name(&self.table)
            .key("pk", request_pk(request))
            .condition_expression("attribute_exists(pk)")
            .update_expression(
                "SET #flow = :flow, applicant = :applicant, form_number = :form_number",
            )
            .expression_attribute_names("#flow", "flow")
            .expression_attribute_values(":flow", text(&record.flow))
            .expression_attribute_values(":applicant", text(&record.applicant))
            .expression_attribute_values(":form_number", text(&record.form_number))
            .send()
            .await
            .map_err(|error| LedgerError(describe("dynamodb:UpdateItem", &error)))?;
        Ok(())
    }
}

#[cfg(feature = "operator")]
impl greenlight_core::ports::ResetRequest for DynamoLedger {
    async fn reset_request(
        &self,
        request: &RequestKey,
        attempt: u32,
        now: Timestamp,
    ) -> Result<Result<(), ResetError>, LedgerError> {
        let call = self
            .client
            .update_item()
            .table_name(&self.table)
            .key("pk", request_pk(request))
            .condition_expression(
                "v = :v AND attempt IN (:attempt, :void) \
                 AND (#state <> :running OR lease_until <= :now)",
            )
            .expression_attribute_values(":attempt", number(attempt.into()))
            .update_expression(
                "SET #state = :running, lease_until = :void, effects = :none, attempt = :void \
                 REMOVE completed_at, retry",
            )
            .expression_attribute_names("#state", "state")
            .expression_attribute_values(":v", number(VERSION))
            .expression_attribute_values(":running", text("running"))
            .expression_attribute_values(":now", number(now.as_millis()))
            .expression_attribute_values(":void", number(0))
            .expression_attribute_values(":none", AttributeValue::M(Item::new()))
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        match call.send().await {
            Ok(_) => Ok(Ok(())),
            Err(error) => match error.as_service_error() {
                Some(UpdateItemError::ConditionalCheckFailedException(refused)) => {
                    let Some(old) = refused.item() else { return Ok(Err(ResetError::Unknown)) };
                    check_version(old)?;
                    let is_running =
                        string(old, "state")? == "running" && timestamp(old, "lease_until")? > now;
                    Ok(Err(if is_running { ResetError::Running } else { ResetError::Changed }))
                }
                _ => Err(LedgerError(describe("dynamodb:UpdateItem", &error))),
            },
        }
    }
}

/// A processed event id, which points to its request.
fn event_item(request: &Request, now: Timestamp, retention: Duration) -> Item {
    let pk = format!("event#{}#{}#{}", request.source, request.tenant, request.event_id);
    let event = Lookup::event(&request.event_id);
    new_item(
        &pk,
        [
            (GSI_PK.to_owned(), text(&event.key())),
            (GSI_SK.to_owned(), number(request.received_at.as_millis())),
            ("request".to_owned(), text(request.key().as_str())),
            ("processed_at".to_owned(), number(now.as_millis())),
            ("expires_at".to_owned(), expiry(now, retention)),
        ],
    )
}

pub(super) fn request_pk(key: &RequestKey) -> AttributeValue {
    AttributeValue::S(format!("request#{key}"))
}

fn taken(item: &Item) -> Result<Claimed, LedgerError> {
    Ok(Claimed { attempt: attempt(item)?, effects: effects(item)?, retry: retry(item)? })
}

pub(super) fn progress(item: &Item) -> Result<Progress, LedgerError> {
    let standing = match string(item, "state")? {
        "done" => Standing::Done,
        "failed" => Standing::Failed,
        _ => Standing::Running { until: timestamp(item, "lease_until")? },
    };
    Ok(Progress { standing, claimed: taken(item)? })
}

/// Reads what the last attempt left, as JSON.
pub(super) fn retry(item: &Item) -> Result<Option<RetryState>, LedgerError> {
    if !item.contains_key("retry") {
        return Ok(None);
    }
    let retry = serde_json::from_str(string(item, "retry")?);
    retry.map(Some).map_err(|_| unreadable("retry"))
}

pub(super) fn attempt(item: &Item) -> Result<u32, LedgerError> {
    u32::try_from(integer(item, "attempt")?).map_err(|_| unreadable("attempt"))
}

pub(super) fn effects(item: &Item) -> Result<BTreeMap<EffectKey, Effect>, LedgerError> {
    let effects = item.get("effects").and_then(|effects| effects.as_m().ok());
    let effects = effects.ok_or_else(|| unreadable("effects"))?;
    let effects = effects.iter().map(|(key, effect)| {
        let effect = effect.as_m().map_err(|_| unreadable("effects"))?;
        let outcome = match string(effect, "outcome")? {
            "done" => EffectOutcome::Done,
            "already_exists" => EffectOutcome::AlreadyExists,
            _ => return Err(unreadable("outcome")),
        };
        let kind = EffectKind::of_str(string(effect, "kind")?);
        let kind = kind.ok_or_else(|| unreadable("kind"))?;
        let at = timestamp(effect, "at")?;
        Ok((EffectKey::from(key.as_str()), Effect { kind, outcome, at }))
    });
    effects.collect()
}
