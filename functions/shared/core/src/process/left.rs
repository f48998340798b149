//! A person who left holds nothing any more.

use std::time::Duration;

use super::error::WorkerError;
use super::{AttemptError, Message, Processor};
use crate::failure::{Class, Failure};
use crate::grant::{EndReason, GrantKey, GrantRecord, Hold, HoldId};
use crate::metrics::Metric;
use crate::person::{PersonKey, PersonRecord, Presence};
use crate::ports::{Clock, FindHeldGrants, KeepGrants, KeepPersons, Ports, ReadPerson};
use crate::queued::PersonLeft;

/// A worker that began before the leaving was recorded has ended so long after it: longer than the
/// lease of an attempt.
const LOOK_AGAIN_AFTER: Duration = Duration::from_mins(10);

/// How long a source that has just sent the event may still call the person a member.
const MAY_LAG: Duration = Duration::from_hours(1);

/// The interval at which it is asked meanwhile.
const ASK_AGAIN_AFTER: Duration = Duration::from_mins(5);

impl<P: Ports> Processor<P> {
    /// Ends every hold of a person of whom the source says that the person left.
    pub(super) async fn person_left(
        &self,
        left: &PersonLeft,
        message: &Message<'_>,
    ) -> Result<(), AttemptError> {
        let key = left.key();
        let now = self.clock.now();
        match self.source.presence(key).await? {
            Presence::Left => {}
            // The source's reads can lag behind its events.
            Presence::Present if now.since(message.first_received) < MAY_LAG => {
                let (after, error) = (Some(ASK_AGAIN_AFTER), WorkerError::StillMember);
                return Err(Failure::retry_after(after, Class::DeadlineExceeded, error).into());
            }
            Presence::Present => {
                let source = key.source.as_str();
                tracing::error!(source, "a person is said to have left, and is still a member");
                self.metrics.measure(&Metric::once("PersonsStillMembers", &[]));
                return Ok(());
            }
            Presence::Unknown => {
                return Err(Failure::give_up(Class::NotApproved, WorkerError::NotLeft).into());
            }
        }
        // First: an approval that is carried out at this moment sees it, or its hold is seen later.
        let leave = |record: PersonRecord| (record.leave(message.first_received, now), ());
        let (record, ()) = self.ledger.change_person(key, leave).await?;
        let ended = self.end_held_by(key, message).await?;
        tracing::info!(source = key.source, ended, "a person left: the holds have ended");
        let look_again_at = record.left_at.unwrap_or(now).plus(LOOK_AGAIN_AFTER);
        if now < look_again_at {
            let (after, error) = (Some(look_again_at.since(now)), WorkerError::LookAgain);
            return Err(Failure::retry_after(after, Class::DeadlineExceeded, error).into());
        }
        let drop = |it: PersonRecord| (it.drop_counted(record.left_at), ());
        self.ledger.change_person(key, drop).await?;
        Ok(())
    }

    /// Ends the holds of a person, those of approvals at the same source and those that operators
    /// gave. The result is their number.
    async fn end_held_by(
        &self,
        person: &PersonKey,
        message: &Message<'_>,
    ) -> Result<usize, AttemptError> {
        let mut ended = 0;
        for (key, record) in self.ledger.grants_held_by(&person.person).await? {
            if self.clock.now() >= message.budget.no_new_calls_after {
                let (after, error) = (Some(Duration::ZERO), WorkerError::OutOfTime);
                return Err(Failure::retry_after(after, Class::DeadlineExceeded, error).into());
            }
            let held = record.holds.iter().filter(|(id, hold)| is_held_by(person, id, hold));
            let held: Vec<_> = held.map(|(id, _)| id.clone()).collect();
            if !held.is_empty() {
                self.end_and_remove(&key, &held, EndReason::Left).await?;
                ended += held.len();
            }
        }
        Ok(ended)
    }

    /// Ends holds of a grant, and enqueues its removal if nothing else holds it.
    pub(super) async fn end_and_remove(
        &self,
        key: &GrantKey,
        holds: &[HoldId],
        reason: EndReason,
    ) -> Result<(), AttemptError> {
        let now = self.clock.now();
        let end = |record: GrantRecord| {
            (holds.iter().fold(record, |record, id| record.end(id, reason, now)), ())
        };
        let (record, ()) = self.ledger.change_grant(key, end).await?;
        if record.due().is_some_and(|due| due <= now) {
            self.hasten(key).await;
        }
        Ok(())
    }
}

/// Whether a hold that keeps access is this person's. Other sources may identify another person in
/// the same way.
pub(super) fn is_held_by(person: &PersonKey, id: &HoldId, hold: &Hold) -> bool {
    let source = id.approval().map(|(source, _, _)| source);
    hold.is_live()
        && hold.terms.owner == person.person
        && source.is_none_or(|source| source == person.source)
}
