//! What happened to a request, and which device is granted.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use greenlight_core::Timestamp;
use greenlight_core::audit::{Grant, RequestHistory, Subject};
use greenlight_core::ledger::EffectKey;
use greenlight_core::operator::{AuditReader, GrantStore, StoreError};

/// The most requests of one subject.
pub const MAX_REQUESTS: usize = 50;

/// The requests of an event id, an instance, a device in any spelling or a person, oldest first;
/// empty when nothing is filed under it.
///
/// # Errors
/// [`StoreError`] when a store does not answer.
pub async fn find_requests(
    audit: &dyn AuditReader,
    wanted: &str,
) -> Result<Vec<RequestHistory>, StoreError> {
    let mut histories = audit.find_requests(&Subject::guess(wanted), MAX_REQUESTS).await?;
    histories.reverse();
    Ok(histories)
}

/// The grants of a device, a person or an instance, or all; newest first.
///
/// # Errors
/// [`StoreError`] when a store does not answer.
pub async fn find_grants(
    audit: &dyn AuditReader,
    grants: &dyn GrantStore,
    of: Option<&str>,
    at_most: usize,
) -> Result<Vec<Grant>, StoreError> {
    let forever = Timestamp::from_millis(i64::MAX);
    let Some(of) = of else { return grants.grants(at_most, forever).await };
    // Looked up through the requests: grants are not filed under people and instances.
    let subjects = Subject::guess(of);
    let histories = audit.find_requests(&subjects, MAX_REQUESTS).await?;
    let effects =
        histories.iter().flat_map(|history| history.effects.keys().filter_map(EffectKey::parts));
    let devices: BTreeSet<_> =
        effects.map(|(target, _, device)| (target.to_owned(), device.to_string())).collect();
    let mut grants = grants.grants_of(&Vec::from_iter(devices)).await?;
    grants.retain(|grant| match subjects.as_slice() {
        [Subject::Device(device)] => grant.device == device.to_string(),
        _ => histories.iter().any(|history| history.key == grant.request),
    });
    grants.sort_by_key(|grant| Reverse(grant.since));
    grants.truncate(at_most);
    Ok(grants)
}
