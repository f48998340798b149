//! What happened to a request, and what is granted to whom.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use greenlight_core::Timestamp;
use greenlight_core::act::Act;
use greenlight_core::audit::{Grant, Lookup, RequestHistory};
use greenlight_core::grant::{Hold, HoldId, Terms};
use greenlight_core::ledger::granted_by;
use greenlight_core::operator::{ActStore, AuditReader, GrantStore, StoreError};

use crate::stores::Stores;

/// The most requests of one subject.
pub const MAX_REQUESTS: usize = 50;

/// The requests of an event id, an instance, a subject in any notation or a person, oldest first;
/// empty when nothing is filed under it.
///
/// # Errors
/// [`StoreError`] when a store does not answer.
pub async fn find_requests(
    audit: &dyn AuditReader,
    wanted: &str,
) -> Result<Vec<RequestHistory>, StoreError> {
    let mut histories = audit.find_requests(&Lookup::guess(wanted), MAX_REQUESTS).await?;
    histories.reverse();
    Ok(histories)
}

/// The number of acts that are searched, the last ones.
const SEARCHED_ACTS: usize = 10_000;

/// Later than any act.
const NEVER: Timestamp = Timestamp::from_millis(i64::MAX);

pub(crate) async fn all_acts(acts: &dyn ActStore) -> Result<Vec<Act>, StoreError> {
    acts.acts(usize::MAX, NEVER).await
}

/// What is known besides the requests themselves.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Related {
    /// What operators did, the earliest first.
    pub acts: Vec<Act>,
    /// The access that the requests gave, whether it ended or not.
    pub grants: Vec<Grant>,
}

/// What operators did about what was searched for, and about these requests, and the access that
/// the requests gave. Of the acts the last 10,000 are searched.
///
/// # Errors
/// [`StoreError`] when a store does not answer.
pub async fn find_related(
    stores: &Stores,
    wanted: &str,
    histories: &[RequestHistory],
) -> Result<Related, StoreError> {
    let of_requests = histories.iter().map(|history| Lookup::instance(history.instance_id()));
    let lookups: Vec<_> = Lookup::guess(wanted).into_iter().chain(of_requests).collect();
    let mut acts = stores.acts.acts(SEARCHED_ACTS, NEVER).await?;
    acts.retain(|act| act.is_on(&lookups));
    acts.reverse();
    let granted = histories.iter().flat_map(|history| granted_by(&history.effects));
    let granted: BTreeSet<_> = granted.map(|key| (key.target, key.subject)).collect();
    let granted: Vec<_> = granted.into_iter().collect();
    let grants =
        if granted.is_empty() { Vec::new() } else { stores.grants.grants_of(&granted).await? };
    Ok(Related { acts, grants })
}

/// The most grants that are searched.
pub const MAX_GRANTS: usize = 100_000;

/// The grants of a subject, a person or an instance, or all that did not end; those first that end
/// soonest. All of them are read: an access that an operator gave is in no request.
///
/// # Errors
/// [`StoreError`] when a store does not answer.
pub async fn find_grants(
    grants: &dyn GrantStore,
    of: Option<&str>,
    at_most: usize,
) -> Result<Vec<Grant>, StoreError> {
    let Some(of) = of else {
        let mut grants = grants.grants(at_most).await?;
        sort(&mut grants);
        return Ok(grants);
    };
    let mut grants = grants.grants(MAX_GRANTS).await?;
    grants.retain(|grant| {
        let holders = grant.holders();
        let is_held_by = |(id, hold): &(&HoldId, &Hold)| {
            let Terms { owner, applicant, .. } = &hold.terms;
            owner == of || applicant == of || id.instance_id() == of || id.as_str() == of
        };
        grant.is_of(of) || holders.iter().any(is_held_by)
    });
    sort(&mut grants);
    grants.truncate(at_most);
    Ok(grants)
}

/// Those first whose removal is under way, then by their next end, and then the newest.
fn sort(grants: &mut [Grant]) {
    grants.sort_by_key(|Grant { record, .. }| {
        let next_end = record.next_end().filter(|_| record.is_held());
        (record.is_held(), next_end.is_none(), next_end, Reverse(record.since()))
    });
}
