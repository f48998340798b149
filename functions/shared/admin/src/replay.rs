//! An approval is processed again, from what its source says now.

use greenlight_core::audit::{RequestStatus, Subject};
use greenlight_core::ledger::ResetError;
use greenlight_core::operator::{AuditReader, RequestStore, StoreError};
use greenlight_core::request::{BadRequest, UNKNOWN_TENANT, VERSION};
use greenlight_core::trace::TraceId;
use greenlight_core::{Decision, Request, Timestamp};
use thiserror::Error;

/// What to process again.
#[derive(Clone, Debug)]
pub struct Replay {
    /// The office system.
    pub source: String,
    /// The approval instance.
    pub instance_id: String,
    /// What became of it.
    pub decision: Decision,
    /// Its approval definition, where the ledger does not know the instance.
    pub definition_id: Option<String>,
    /// Whether what was done already is done once more.
    pub force: bool,
}

/// It cannot be processed again.
#[derive(Debug, Error)]
pub enum ReplayError {
    /// Queue or ledger did not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The ledger does not know the instance, and no definition was given.
    #[error("the ledger does not know the instance {0}")]
    Unknown(String),
    /// Everything was done.
    #[error("everything is done for {0} already")]
    Completed(String),
    /// It will be tried again by itself.
    #[error("{0} waits for its next attempt already")]
    Retrying(String),
    /// A worker is at it.
    #[error("a worker is at {0} right now")]
    Running(String),
    /// An identifier that none is.
    #[error(transparent)]
    Bad(#[from] BadRequest),
}

/// Puts a request for the instance into the queue, and gives it; the worker reads the instance at
/// its source, as always. What was done is forgotten before, so that a crash between the two leaves
/// a request that a second call finishes.
///
/// # Errors
/// [`ReplayError`] says why not.
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
    requests.enqueue_request(&request).await?;
    Ok(request)
}

async fn request(
    audit: &dyn AuditReader,
    replay: &Replay,
    now: Timestamp,
) -> Result<Request, ReplayError> {
    let unknown = || ReplayError::Unknown(replay.instance_id.clone());
    let subject = Subject::Instance(replay.instance_id.clone());
    let known = audit.find_requests(&[subject], 1).await?.pop();
    let of_known = known.map(|history| history.definition_id);
    let definition_id = replay.definition_id.clone().or(of_known).ok_or_else(unknown)?;
    let request = Request {
        v: VERSION,
        source: replay.source.clone(),
        tenant: UNKNOWN_TENANT.to_owned(),
        event_id: format!("replay-{:016x}", fastrand::u64(..)),
        definition_id,
        instance_id: replay.instance_id.clone(),
        decision: replay.decision,
        occurred_at: None,
        received_at: now,
        trace_id: Some(TraceId::random()),
    };
    Ok(Request::parse(&request.to_json())?)
}
