//! Processes an approval again, from the current state of the instance at its source.

use std::collections::BTreeSet;

use greenlight_core::act::ActKind;
use greenlight_core::audit::{Lookup, RequestHistory, RequestStatus};
use greenlight_core::ledger::ResetError;
use greenlight_core::operator::{AuditReader, RequestStore, StoreError};
use greenlight_core::request::BadRequest;
use greenlight_core::{Decision, Request, Timestamp};
use thiserror::Error;

use crate::operator::Operator;

/// The request to replay.
#[derive(Clone, Debug)]
pub struct Replay {
    /// The source; needed when the ledger knows the instance from several.
    pub source: Option<String>,
    /// The approval instance.
    pub instance_id: String,
    /// The decision on the instance.
    pub decision: Decision,
    /// The approval definition; needed when the ledger does not know the instance.
    pub definition_id: Option<String>,
    /// Whether to repeat effects that were already done.
    pub force: bool,
}

/// The sources of the deployed flows, as far as a replay goes.
#[derive(Clone, Debug, Default)]
pub struct ReplaySources {
    /// The source of an instance that the ledger does not know.
    pub default: Option<String>,
    /// Sources whose instances cannot be read again: their signed messages are the authority.
    pub not_readable: BTreeSet<String>,
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
    /// The ledger knows the instance from several sources or definitions, and none was given.
    #[error("the ledger knows the instance {0} from several sources or definitions")]
    Ambiguous(String),
    /// The ledger does not know the instance, no source was given, and none is the default.
    #[error("no source is the default")]
    NoSource,
    /// The source's signed message is the authority, and a replay has none.
    #[error(
        "instances of the source {0} cannot be read again: its signed message is the authority"
    )]
    NotReadable(String),
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
/// as always. The recorded effects are moved into the record of the act first: after a crash
/// between the two steps, a second call completes the replay.
///
/// # Errors
/// [`ReplayError`] with the reason for which it is refused.
pub async fn replay(
    audit: &dyn AuditReader,
    requests: &dyn RequestStore,
    operator: &Operator,
    replay: &Replay,
    sources: &ReplaySources,
    now: Timestamp,
) -> Result<Request, ReplayError> {
    let request = request(audit, replay, sources, now).await?;
    if sources.not_readable.contains(&request.source) {
        return Err(ReplayError::NotReadable(request.source));
    }
    let (instance, key) = (|| replay.instance_id.clone(), request.key());
    let known = audit.read_request(&key).await?;
    match known.as_ref().map(|history| history.status(now)) {
        Some(RequestStatus::Running) => return Err(ReplayError::Running(instance())),
        Some(_) if replay.force => {
            let (effects, attempt) =
                known.map(|history| (history.effects, history.attempt)).unwrap_or_default();
            operator.record_forced_replay(&replay.instance_id, effects, now).await?;
            match requests.reset(&key, attempt, now).await? {
                Err(ResetError::Running | ResetError::Changed) => {
                    return Err(ReplayError::Running(instance()));
                }
                Ok(()) | Err(ResetError::Unknown) => {}
            }
        }
        Some(RequestStatus::Succeeded) => return Err(ReplayError::Completed(instance())),
        Some(RequestStatus::Retrying) => return Err(ReplayError::Retrying(instance())),
        Some(RequestStatus::Failed) | None => {
            operator.record(ActKind::Replay, &replay.instance_id, None, now).await?;
        }
    }
    requests.enqueue_replay(&request, now).await?;
    Ok(request)
}

/// The most requests about one instance that are looked at.
const MAX_KNOWN: usize = 20;

async fn request(
    audit: &dyn AuditReader,
    replay: &Replay,
    sources: &ReplaySources,
    now: Timestamp,
) -> Result<Request, ReplayError> {
    let instance = || replay.instance_id.clone();
    let known = audit.find_requests(&[Lookup::instance(&replay.instance_id)], MAX_KNOWN).await?;
    let is_given = |given: &Option<String>, it: &str| given.as_deref().is_none_or(|one| one == it);
    let parts = known.iter().filter_map(RequestHistory::key_parts);
    let mut of_given = parts.filter(|[source, definition, ..]| {
        is_given(&replay.source, source) && is_given(&replay.definition_id, definition)
    });
    let newest = of_given.next();
    let is_other = |it: [&str; 4]| newest.is_some_and(|newest| newest[..2] != it[..2]);
    if of_given.any(is_other) {
        return Err(ReplayError::Ambiguous(instance()));
    }
    let of_known = newest.map(|[_, definition, ..]| definition.to_owned());
    let source = newest.map(|[source, ..]| source.to_owned());
    let definition_id = replay.definition_id.clone().or(of_known);
    let definition_id = definition_id.ok_or_else(|| ReplayError::Unknown(instance()))?;
    let source = replay.source.clone().or(source).or_else(|| sources.default.clone());
    let source = source.ok_or(ReplayError::NoSource)?;
    let of_instance =
        Request::about(&source, &definition_id, &replay.instance_id, replay.decision, now)?;
    let event_id = format!("replay-{:016x}", fastrand::u64(..));
    Ok(Request { event_id, ..of_instance })
}
