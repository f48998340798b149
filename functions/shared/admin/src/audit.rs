//! What happened to a request, and what is granted to whom.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use greenlight_core::audit::{Grant, Lookup, RequestHistory};
use greenlight_core::grant::HoldId;
use greenlight_core::ledger::EffectKey;
use greenlight_core::operator::{AuditReader, GrantStore, StoreError};

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

/// The grants of a subject, a person or an instance, or all that did not end; those first that end
/// soonest.
///
/// # Errors
/// [`StoreError`] when a store does not answer.
pub async fn find_grants(
    audit: &dyn AuditReader,
    grants: &dyn GrantStore,
    of: Option<&str>,
    at_most: usize,
) -> Result<Vec<Grant>, StoreError> {
    let Some(of) = of else {
        let mut grants = grants.grants(at_most).await?;
        sort(&mut grants);
        return Ok(grants);
    };
    // Looked up through the requests: grants are not filed under people and instances.
    let (of_request, others): (Vec<_>, Vec<_>) =
        Lookup::guess(of).into_iter().partition(Lookup::is_of_request);
    let requests = audit.find_requests(&of_request, MAX_REQUESTS).await?;
    let histories = audit.find_requests(&others, MAX_REQUESTS).await?;
    let keys = requests.iter().chain(&histories).flat_map(|history| history.effects.keys());
    let subjects: BTreeSet<_> = keys
        .filter_map(EffectKey::parts)
        .filter_map(|parts| Some((parts.target.to_owned(), parts.subject?.to_owned())))
        .collect();
    let mut grants = grants.grants_of(&Vec::from_iter(subjects)).await?;
    let of_requests = requests.iter().filter_map(|it| it.key_parts());
    let of_requests: Vec<_> = of_requests
        .map(|[source, form, instance, _]| HoldId::of_approval(source, form, instance))
        .collect();
    grants.retain(|grant| {
        let holders = grant.holders();
        let people =
            holders.iter().flat_map(|(_, hold)| [&hold.terms.owner, &hold.terms.applicant]);
        let people: Vec<_> = people.map(|person| Lookup::person(person)).collect();
        let is_meant =
            |lookup: &Lookup| lookup.is_of_subject(&grant.subject) || people.contains(lookup);
        others.iter().any(is_meant) || holders.iter().any(|(id, _)| of_requests.contains(id))
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
