//! Replaces the identifiers of a person in the ledger by a pseudonym.

use std::collections::BTreeSet;

use greenlight_core::act::{Act, ActKind};
use greenlight_core::audit::{Grant, Lookup, RequestHistory, RequestStatus};
use greenlight_core::flow::{SourceConfigs, stand_in};
use greenlight_core::grant::GrantKey;
use greenlight_core::ledger::granted_by;
use greenlight_core::operator::{GrantChange, StoreError};
use greenlight_core::person::PersonKey;
use greenlight_core::request::RequestKey;
use greenlight_core::{Decision, Timestamp};
use thiserror::Error;

use crate::audit::{MAX_GRANTS, all_acts, find_grants};
use crate::operator::Operator;
use crate::stores::Stores;

/// The most requests of one person.
const MAX_REQUESTS: usize = 10_000;

/// The reason for which a person is not erased.
#[derive(Debug, Error)]
pub enum EraseError {
    /// The ledger did not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The owner of access must be known while it lasts.
    #[error("`{0}` holds access")]
    Holds(String),
    /// A worker would record the person again.
    #[error("the request about {0} has not ended")]
    Open(String),
}

/// What was erased, or would be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Erased {
    /// What the ledger has instead of the person.
    pub pseudonym: String,
    /// The number of requests that named the person.
    pub requests: usize,
}

/// Replaces a person as applicant in requests, and as applicant and owner of access that has ended.
/// The keys of the ledger and the record of what operators did stay, also where they name the
/// person; and that the person left, as nothing may be granted to one who did. A dry run only
/// counts. After a crash the same call goes on, with another pseudonym for what is left.
///
/// # Errors
/// [`EraseError`] with the reason for which nothing is erased.
pub async fn erase(
    stores: &Stores,
    operator: &Operator,
    person: &str,
    reason: &str,
    is_dry: bool,
    now: Timestamp,
) -> Result<Erased, EraseError> {
    let live = find_grants(&*stores.grants, Some(person), MAX_GRANTS).await?;
    if live.iter().any(|grant| grant.record.is_held_by(person)) {
        return Err(EraseError::Holds(person.to_owned()));
    }
    let histories = stores.audit.find_requests(&[Lookup::person(person)], MAX_REQUESTS).await?;
    let is_open = |history: &&RequestHistory| {
        matches!(history.status(now), RequestStatus::Running | RequestStatus::Retrying)
    };
    if let Some(open) = histories.iter().find(is_open) {
        return Err(EraseError::Open(open.instance_id().to_owned()));
    }
    let keys = grants_of(&live, &histories, &all_acts(&*stores.acts).await?);
    let sources = sources_of(&histories, stores).await?;
    let pseudonym = format!("erased-{:016x}", fastrand::u64(..));
    let erased = Erased { pseudonym, requests: histories.len() };
    if is_dry {
        return Ok(erased);
    }
    // The act names the pseudonym: it must not tell whose it is.
    operator.record(ActKind::Erase, &erased.pseudonym, Some(reason), now).await?;
    let rename =
        GrantChange::Rename { person: person.to_owned(), pseudonym: erased.pseudonym.clone() };
    for key in &keys {
        // A rename is refused by no record.
        drop(stores.grants.change(key, &rename, now).await?);
    }
    for key in sources.iter().filter_map(|source| PersonKey::new(source, person)) {
        stores.persons.forget_person(&key).await?;
    }
    // Last: what is left after a crash is found by them.
    for history in &histories {
        let Some([source, definition, instance, decision]) = history.key_parts() else { continue };
        let Some(decision) = Decision::of_str(decision) else { continue };
        let key = RequestKey::of(source, definition, instance, decision);
        stores.persons.rename_in_request(&key, person, &erased.pseudonym).await?;
    }
    Ok(erased)
}

/// The grants whose holds may name the person: of the effects of the requests, also of those before
/// a forced replay; of what failed in them; and of what operators gave.
fn grants_of(live: &[Grant], histories: &[RequestHistory], acts: &[Act]) -> BTreeSet<GrantKey> {
    let of_live = live.iter().map(|Grant { target, subject, .. }| GrantKey {
        target: target.clone(),
        subject: subject.clone(),
    });
    let failed = histories.iter().filter_map(|history| history.retry.as_ref());
    let failed = failed.flat_map(|retry| &retry.failed);
    let given = acts.iter().filter(|act| matches!(act.what, ActKind::Grant | ActKind::Extend));
    let named = failed.chain(given.map(|act| &act.on)).filter_map(|key| GrantKey::parse(key));
    let named = of_live.chain(named);
    let is_of_request = |act: &&Act| histories.iter().any(|it| it.instance_id() == act.on);
    let before = acts.iter().filter(is_of_request).map(|act| &act.effects);
    let effects = histories.iter().map(|history| &history.effects).chain(before);
    named.chain(effects.flat_map(granted_by)).collect()
}

/// The sources that may know the person: of the requests, and of the flows that are deployed.
async fn sources_of(
    histories: &[RequestHistory],
    stores: &Stores,
) -> Result<BTreeSet<String>, StoreError> {
    let of_requests = histories.iter().filter_map(RequestHistory::key_parts);
    let mut sources: BTreeSet<_> = of_requests.map(|[source, ..]| source.to_owned()).collect();
    if let Some(deployed) = stores.audit.deployed_flows().await? {
        let configs = SourceConfigs::parse(&deployed.text, &|name| Some(stand_in(name)));
        sources.extend(configs.into_iter().flat_map(|configs| configs.0.into_keys()));
    }
    Ok(sources)
}
