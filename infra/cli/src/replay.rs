//! `greenlight replay`: an approval is processed again, from what its source says now.

use greenlight_core::audit::{RequestStatus, Subject};
use greenlight_core::ledger::ResetError;
use greenlight_core::ports::Clock;
use greenlight_core::request::{BadRequest, UNKNOWN_TENANT, VERSION};
use greenlight_core::trace::TraceId;
use greenlight_core::{Decision, Request, Timestamp};
use greenlight_stores::SystemClock;
use thiserror::Error;

use crate::backend::{Backend, BackendError};

/// What to process again.
#[derive(Clone, Debug)]
pub struct Replay {
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
    /// Queue or ledger say no.
    #[error(transparent)]
    Backend(#[from] BackendError),
    /// The ledger does not know the instance.
    #[error(
        "the ledger does not know the instance {0}: say --approval-code (请指定 --approval-code)"
    )]
    Unknown(String),
    /// Everything was done.
    #[error(
        "everything is done for {0} already; --force forgets that and does all of it once more (已全部完成)"
    )]
    Done(String),
    /// It is tried again by itself.
    #[error(
        "{0} waits for its next attempt already: `greenlight audit {0}` says for what; --force starts it anew (已在等待重试)"
    )]
    Waiting(String),
    /// A worker is at it.
    #[error("a worker is at {0} right now: wait for it (正在处理)")]
    Busy(String),
    /// An identifier that none is.
    #[error("{0}")]
    Bad(#[from] BadRequest),
}

/// Puts a request for the instance into the queue; the worker reads the instance at its source, as always. What was
/// done is forgotten before, so that a crash between the two leaves a request that a second call finishes.
///
/// # Errors
/// [`ReplayError`] says what is missing.
pub async fn replay(backend: &Backend, replay: &Replay) -> Result<String, ReplayError> {
    let now = SystemClock.now();
    let request = request(backend, replay, now).await?;
    let (code, key) = (&replay.instance_id, request.key());
    let known = backend.history(key.as_str()).await?;
    match known.map(|history| history.status(now)) {
        Some(RequestStatus::Succeeded) if !replay.force => {
            return Err(ReplayError::Done(code.clone()));
        }
        Some(RequestStatus::Retrying) if !replay.force => {
            return Err(ReplayError::Waiting(code.clone()));
        }
        Some(RequestStatus::Running) => return Err(ReplayError::Busy(code.clone())),
        Some(_) if replay.force => {
            if let Err(ResetError::Running) = backend.reset(&key, now).await? {
                return Err(ReplayError::Busy(code.clone()));
            }
        }
        _ => {}
    }
    backend.enqueue(&request).await?;
    Ok(format!("a request for {code} is in the queue, event {} (已入队)\n", request.event_id))
}

async fn request(
    backend: &Backend,
    replay: &Replay,
    now: Timestamp,
) -> Result<Request, ReplayError> {
    let unknown = || ReplayError::Unknown(replay.instance_id.clone());
    let subject = Subject::Instance(replay.instance_id.clone());
    let known = backend.histories_of(&[subject], 1).await?.pop();
    let of_known = known.map(|history| history.definition_id);
    let definition_id = replay.definition_id.clone().or(of_known).ok_or_else(unknown)?;
    let request = Request {
        v: VERSION,
        source: greenlight_sources::feishu::SOURCE.to_owned(),
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
