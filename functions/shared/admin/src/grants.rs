//! What an operator does about access: through the same ledger as approvals, and carried out by the
//! worker.

use greenlight_core::Timestamp;
use greenlight_core::act::ActKind;
use greenlight_core::audit::Grant;
use greenlight_core::block::Block;
use greenlight_core::grant::{BeginError, EndReason, GrantKey, HoldId, Terms};
use greenlight_core::operator::{GrantChange, StoreError};
use greenlight_core::subject::Subject;
use thiserror::Error;

use crate::audit::{MAX_GRANTS, find_grants};
use crate::operator::Operator;
use crate::stores::Stores;

/// The reason for which an act about access is refused.
#[derive(Debug, Error)]
pub enum GrantError {
    /// The queue or the ledger did not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The ledger lists no such access.
    #[error("nothing is granted to `{0}` there")]
    NotGranted(String),
    /// The end is not in the future.
    #[error("the end is not in the future")]
    Past,
    /// The access lasts as long already.
    #[error("the access ends no earlier as it is")]
    NotLater,
    /// An operator blocked the subject.
    #[error("an operator blocked the subject: {0}")]
    Blocked(String),
    /// The ledger refuses the hold.
    #[error(transparent)]
    Refused(BeginError),
}

/// An access that an act changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Changed {
    /// The target.
    pub target: String,
    /// The value of the subject.
    pub subject: String,
    /// The person who held it, or holds it.
    pub owner: String,
    /// The approval or the act of the hold.
    pub hold: String,
    /// When it ends; `None` if that is now, or not by time.
    pub until: Option<Timestamp>,
    /// Whether another approval still holds the access.
    pub is_held: bool,
}

/// An access that an operator gives.
#[derive(Clone, Debug)]
pub struct NewGrant {
    /// Where.
    pub target: String,
    /// To whom or what.
    pub subject: Subject,
    /// The connector's operation, with the one that takes the access away.
    pub operation: String,
    /// As [`Terms::revoked_by`].
    pub revoked_by: Option<String>,
    /// The person who holds it.
    pub owner: String,
    /// When it ends.
    pub until: Timestamp,
}

/// Gives access without an approval, until a time.
///
/// # Errors
/// [`GrantError`] with the reason for which it is refused.
pub async fn grant(
    stores: &Stores,
    operator: &Operator,
    new: &NewGrant,
    reason: &str,
    now: Timestamp,
) -> Result<Changed, GrantError> {
    hold(stores, operator, ActKind::Grant, new, reason, now).await
}

async fn hold(
    stores: &Stores,
    operator: &Operator,
    what: ActKind,
    new: &NewGrant,
    reason: &str,
    now: Timestamp,
) -> Result<Changed, GrantError> {
    if new.until <= now {
        return Err(GrantError::Past);
    }
    let key = GrantKey::new(&new.target, &new.subject);
    let blocks = stores.blocks.blocks(MAX_GRANTS).await?;
    let mut of_subject = blocks.into_iter().filter(|(subject, _)| *subject == key.subject);
    if let Some((_, block)) = of_subject.find(|(_, block)| block.is_in_force(now)) {
        return Err(GrantError::Blocked(block.reason));
    }
    let act = operator.record(what, &key.to_string(), Some(reason), now).await?;
    let id = HoldId::of_act(&act.id);
    let terms = Terms {
        owner: new.owner.clone(),
        applicant: operator.who.clone(),
        operation: new.operation.clone(),
        revoked_by: new.revoked_by.clone(),
        asked_at: now,
        until: Some(new.until),
        outlives_approval: true,
    };
    let change = GrantChange::Hold { id: id.clone(), terms };
    let (_, held) = stores.grants.change(&key, &change, now).await?;
    held.map_err(GrantError::Refused)?;
    hasten(stores, &key, now).await;
    Ok(Changed {
        target: key.target,
        subject: new.subject.value().to_owned(),
        owner: new.owner.clone(),
        hold: id.as_str().to_owned(),
        until: Some(new.until),
        is_held: true,
    })
}

/// Extends an access: the operator holds it until a later time, for the person who holds it now.
/// What approvals hold stays as it is.
///
/// # Errors
/// [`GrantError::NotGranted`] when nothing holds it now, and [`GrantError::NotLater`] when it ends
/// no earlier as it is.
pub async fn extend(
    stores: &Stores,
    operator: &Operator,
    new: NewGrant,
    reason: &str,
    now: Timestamp,
) -> Result<Changed, GrantError> {
    let at = [(new.target.clone(), new.subject.key())];
    let grants = stores.grants.grants_of(&at).await?;
    let not_granted = || GrantError::NotGranted(new.subject.value().to_owned());
    let grant = grants.into_iter().find(|grant| grant.record.is_held()).ok_or_else(not_granted)?;
    // Without an end it lasts until its approval is withdrawn: the operator's hold outlasts that.
    if grant.record.lasts_until().is_some_and(|until| until >= new.until) {
        return Err(GrantError::NotLater);
    }
    let holders = grant.holders();
    let (_, last) = holders.last().ok_or_else(not_granted)?;
    let new = NewGrant { owner: last.terms.owner.clone(), ..new };
    hold(stores, operator, ActKind::Extend, &new, reason, now).await
}

/// Ends the access of a subject at all targets, or at one: whatever approvals hold it.
///
/// # Errors
/// [`GrantError::NotGranted`] when there is none.
pub async fn end(
    stores: &Stores,
    operator: &Operator,
    (subject, target): (&str, Option<&str>),
    reason: &str,
    now: Timestamp,
) -> Result<Vec<Changed>, GrantError> {
    let mut grants = find_grants(&*stores.grants, Some(subject), MAX_GRANTS).await?;
    grants.retain(|grant| grant.is_of(subject) && target.is_none_or(|it| it == grant.target));
    let holds = holds_of(&grants, |_| true);
    if holds.is_empty() {
        return Err(GrantError::NotGranted(subject.to_owned()));
    }
    let ending = Ending { what: ActKind::End, on: subject, reason: EndReason::Ended };
    end_each(stores, operator, &ending, Some(reason), &holds, now).await
}

/// Ends every access that a person holds. A dry run only returns what would end.
///
/// # Errors
/// [`GrantError::NotGranted`] when there is none.
pub async fn offboard(
    stores: &Stores,
    operator: &Operator,
    person: &str,
    is_dry: bool,
    now: Timestamp,
) -> Result<Vec<Changed>, GrantError> {
    let grants = find_grants(&*stores.grants, Some(person), MAX_GRANTS).await?;
    let holds = holds_of(&grants, |owner| owner == person);
    if holds.is_empty() {
        return Err(GrantError::NotGranted(person.to_owned()));
    }
    if is_dry {
        return Ok(holds.into_iter().map(|hold| hold.changed).collect());
    }
    let ending = Ending { what: ActKind::Offboard, on: person, reason: EndReason::Left };
    end_each(stores, operator, &ending, None, &holds, now).await
}

/// Blocks a subject: nothing grants it access, and what it has at any target ends. `targets` are
/// those of the deployed flows.
///
/// # Errors
/// [`StoreError`] when a store does not answer; the same call can be repeated.
pub async fn block(
    stores: &Stores,
    operator: &Operator,
    (subject, targets): (&Subject, &[String]),
    until: Option<Timestamp>,
    reason: &str,
    now: Timestamp,
) -> Result<Vec<Changed>, GrantError> {
    if until.is_some_and(|until| until <= now) {
        return Err(GrantError::Past);
    }
    let key = subject.key();
    operator.record(ActKind::Block, &key, Some(reason), now).await?;
    let (reason, who) = (reason.to_owned(), operator.who.clone());
    let block = Block { reason, who, since: now, until };
    // First: an approval that is carried out at this moment sees it, or is seen below.
    stores.blocks.set_block(&key, Some(&block), now).await?;
    let of = Some(subject.value());
    let listed = find_grants(&*stores.grants, of, MAX_GRANTS).await?;
    let listed = listed.into_iter().filter(|grant| grant.subject == key);
    // Read by their keys, too: a list can be a second old.
    let keys = targets.iter().map(|target| (target.clone(), key.clone()));
    let mut grants = stores.grants.grants_of(&keys.collect::<Vec<_>>()).await?;
    grants.extend(listed.filter(|grant| !targets.contains(&grant.target)));
    let holds = holds_of(&grants, |_| true);
    end_holds(stores, EndReason::Blocked, &holds, now).await
}

/// Ends the block of a subject.
///
/// # Errors
/// [`StoreError`] when a store does not answer.
pub async fn unblock(
    stores: &Stores,
    operator: &Operator,
    subject: &Subject,
    reason: &str,
    now: Timestamp,
) -> Result<(), GrantError> {
    let key = subject.key();
    operator.record(ActKind::Unblock, &key, Some(reason), now).await?;
    Ok(stores.blocks.set_block(&key, None, now).await?)
}

/// A hold that an act ends.
struct HeldBy {
    key: GrantKey,
    id: HoldId,
    changed: Changed,
}

/// The holds that keep these grants, of the owners that are meant.
fn holds_of(grants: &[Grant], is_meant: impl Fn(&str) -> bool) -> Vec<HeldBy> {
    let holds = grants.iter().flat_map(|grant| {
        let live = grant.record.holds.iter().filter(|(_, hold)| hold.is_live());
        live.map(move |(id, hold)| (grant, id, hold))
    });
    let meant = holds.filter(|(_, _, hold)| is_meant(&hold.terms.owner));
    meant
        .map(|(grant, id, hold)| {
            let (target, subject) = (grant.target.clone(), grant.subject.clone());
            let changed = Changed {
                target: target.clone(),
                subject: grant.kind_and_value().1.to_owned(),
                owner: hold.terms.owner.clone(),
                hold: id.as_str().to_owned(),
                until: None,
                is_held: true,
            };
            HeldBy { key: GrantKey { target, subject }, id: id.clone(), changed }
        })
        .collect()
}

/// An act that ends holds.
struct Ending<'a> {
    what: ActKind,
    on: &'a str,
    reason: EndReason,
}

async fn end_each(
    stores: &Stores,
    operator: &Operator,
    ending: &Ending<'_>,
    why: Option<&str>,
    holds: &[HeldBy],
    now: Timestamp,
) -> Result<Vec<Changed>, GrantError> {
    operator.record(ending.what, ending.on, why, now).await?;
    end_holds(stores, ending.reason, holds, now).await
}

/// Ends all of them, whatever happens to one; the first error is returned then.
async fn end_holds(
    stores: &Stores,
    reason: EndReason,
    holds: &[HeldBy],
    now: Timestamp,
) -> Result<Vec<Changed>, GrantError> {
    let mut ended: Vec<Changed> = Vec::new();
    let mut failed = None;
    for HeldBy { key, id, changed } in holds {
        let change = GrantChange::End { id: id.clone(), reason };
        match stores.grants.change(key, &change, now).await {
            Ok((record, _)) => {
                if !record.is_held() {
                    hasten(stores, key, now).await;
                }
                // Those of the same access that were ended before it are in the same state now.
                let is_held = record.is_held();
                let is_same = |it: &&mut Changed| {
                    it.target == changed.target && it.subject == changed.subject
                };
                ended.iter_mut().filter(is_same).for_each(|it| it.is_held = is_held);
                ended.push(Changed { is_held, ..changed.clone() });
            }
            Err(error) => failed = failed.or(Some(error)),
        }
    }
    failed.map_or(Ok(ended), |error| Err(error.into()))
}

/// Enqueues a grant at once. If that fails, the next tick does it.
async fn hasten(stores: &Stores, key: &GrantKey, now: Timestamp) {
    if let Err(error) = stores.requests.enqueue_due(key, now).await {
        tracing::warn!(target = key.target, %error, "the next tick does what is due");
    }
}
