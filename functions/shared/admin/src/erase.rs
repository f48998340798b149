//! Replaces the identifiers of a person in the ledger by a pseudonym.

use std::collections::BTreeSet;

use greenlight_core::act::ActKind;
use greenlight_core::audit::{Lookup, RequestHistory, RequestStatus};
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
    /// Who holds access must be known.
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

/// Replaces a person as applicant and owner in requests and in access that has ended. The keys of
/// the ledger and the record of what operators did stay, also where they name the person. A dry run
/// only counts. After a crash the same call goes on, with another pseudonym for what is left.
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
    let is_of_person = |owner: &str, applicant: &str| owner == person || applicant == person;
    let holds = live.iter().flat_map(|grant| grant.record.holds.values());
    let mut holds = holds.filter(|hold| hold.is_live());
    if holds.any(|hold| is_of_person(&hold.terms.owner, &hold.terms.applicant)) {
        return Err(EraseError::Holds(person.to_owned()));
    }
    let histories = stores.audit.find_requests(&[Lookup::person(person)], MAX_REQUESTS).await?;
    let is_open = |history: &&RequestHistory| {
        matches!(history.status(now), RequestStatus::Running | RequestStatus::Retrying)
    };
    if let Some(open) = histories.iter().find(is_open) {
        return Err(EraseError::Open(open.instance_id().to_owned()));
    }
    // What operators granted is in no request.
    let acts = all_acts(&*stores.acts).await?;
    let given = acts.iter().filter(|act| matches!(act.what, ActKind::Grant | ActKind::Extend));
    let given = given.filter_map(|act| {
        let (target, subject) = act.on.split_once('/')?;
        Some(GrantKey { target: target.to_owned(), subject: subject.to_owned() })
    });
    let by_requests = histories.iter().flat_map(|history| granted_by(&history.effects));
    let keys: BTreeSet<_> = by_requests.chain(given).collect();
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
    let mut sources = BTreeSet::new();
    for history in &histories {
        let Some([source, definition, instance, decision]) = history.key_parts() else { continue };
        let Some(decision) = Decision::of_str(decision) else { continue };
        sources.insert(source.to_owned());
        let key = RequestKey::of(source, definition, instance, decision);
        stores.persons.rename_in_request(&key, person, &erased.pseudonym).await?;
    }
    for source in sources {
        if let Some(key) = PersonKey::new(&source, person) {
            stores.persons.forget_person(&key).await?;
        }
    }
    Ok(erased)
}
