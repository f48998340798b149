//! Processes an approval again, from the current state of the instance at its source.

use greenlight_core::audit::{Lookup, RequestStatus};
use greenlight_core::ledger::ResetError;
use greenlight_core::operator::{AuditReader, RequestStore, StoreError};
use greenlight_core::request::{BadRequest, Trigger, UNKNOWN_TENANT, VERSION};
use greenlight_core::trace::TraceId;
use greenlight_core::{Decision, Request, Timestamp};
use thiserror::Error;

/// The request to replay.
#[derive(Clone, Debug)]
pub struct Replay {
    /// The office system.
    pub source: String,
    /// The approval instance.
    pub instance_id: String,
    /// The decision on the instance.
    pub decision: Decision,
    /// The approval definition; needed when the ledger does not know the instance.
    pub definition_id: Option<String>,
    /// Whether to repeat effects that were already done.
    pub force: bool,
}

/// The reason for which a replay is refused.
#[derive(Debug, Error)]
pub enum ReplayError {
    /// The queue or the ledger did not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The ledger does not know the instance, and no definition was given.
    #[error("the ledger does not know the instance {0}")]
    Unknown(String),
    /// The request has already succeeded.
    #[error("{0} has succeeded already")]
    Completed(String),
    /// The request is waiting for its next attempt.
    #[error("{0} is waiting for its next attempt")]
    Retrying(String),
    /// A worker holds its lease.
    #[error("a worker is processing {0}")]
    Running(String),
    /// An identifier is invalid.
    #[error(transparent)]
    Bad(#[from] BadRequest),
}

/// Enqueues a request for the instance and returns it; the worker reads the instance at its source,
/// as always. The recorded effects are deleted first: after a crash between the two steps, a second
/// call completes the replay.
///
/// # Errors
/// [`ReplayError`] with the reason for which it is refused.
pub async fn replay(
    audit: &dyn AuditReader,
    requests: &dyn RequestStore,
    replay: &Replay,
    now: Timestamp,
) -> Result<Request, ReplayError> {
    let request = request(audit, replay, now).await?;
    let (instance, key) = (|| replay.instance_id.clone(), request.key());
    let known = audit.read_request(&key).await?;
    match known.map(|history| history.status(now)) {
        Some(RequestStatus::Running) => return Err(ReplayError::Running(instance())),
        Some(_) if replay.force => {
            if requests.reset(&key, now).await? == Err(ResetError::Running) {
                return Err(ReplayError::Running(instance()));
            }
        }
        Some(RequestStatus::Succeeded) => return Err(ReplayError::Completed(instance())),
        Some(RequestStatus::Retrying) => return Err(ReplayError::Retrying(instance())),
        Some(RequestStatus::Failed) | None => {}
    }
    requests.enqueue_replay(&request, now).await?;
    Ok(request)
}

async fn request(
    audit: &dyn AuditReader,
    replay: &Replay,
    now: Timestamp,
) -> Result<Request, ReplayError> {
    let unknown = || ReplayError::Unknown(replay.instance_id.clone());
    let instance = Lookup::instance(&replay.instance_id);
    let known = audit.find_requests(&[instance], 1).await?.pop();
    let of_known = known.map(|history| history.definition_id);
    let definition_id = replay.definition_id.clone().or(of_known).ok_or_else(unknown)?;
    let request = Request {
        v: VERSION,
        source: replay.source.clone(),
        tenant: UNKNOWN_TENANT.to_owned(),
        event_id: format!("replay-{:016x}", fastrand::u64(..)),
        definition_id,
        instance_id: replay.instance_id.clone(),
        trigger: Trigger::Decision(replay.decision),
        occurred_at: None,
        received_at: now,
        trace_id: Some(TraceId::random()),
    };
    Ok(Request::parse(&request.to_json())?)
}
