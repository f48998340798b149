//! Whether a request is to be carried out: a flow wants it, the source confirms it now, and it is
//! not too old.

use std::time::Duration;

use super::error::WorkerError;
use super::{AttemptError, Job, Message, Processor};
use crate::event::Decision;
use crate::failure::{Class, Failure};
use crate::flow::Flow;
use crate::instance::{Instance, Status};
use crate::ledger::Completion;
use crate::ports::{Clock, Complete, CountUnwanted, Ports, ReadInstance, ReadRequest};
use crate::request::{Request, RequestKey};

impl<P: Ports> Processor<P> {
    pub(super) fn flow_of(&self, request: &Request) -> Option<&Flow> {
        let flow = self.flows.find(&request.source, &request.definition_id)?;
        (request.decision() == Decision::Approved || self.grants_access(flow)).then_some(flow)
    }

    /// The flow for the request; `None` when none is for it, which is counted.
    ///
    /// # Errors
    /// [`Class::NotConfigured`] when it must not be dropped without a flow: an operator asked for
    /// it, or an earlier attempt began it and flows were changed since.
    pub(super) async fn wanted_flow(
        &self,
        request: &Request,
        message: &Message<'_>,
    ) -> Result<Option<&Flow>, AttemptError> {
        if let Some(flow) = self.flow_of(request) {
            return Ok(Some(flow));
        }
        if request.decision() == Decision::Revoked {
            self.withdraw_without_flow(request).await?;
        }
        // First, as a revocation is kept whether or not an attempt began it before.
        if is_signed(request, Decision::Revoked) {
            self.keep_revocation(request, message).await?;
            return Ok(None);
        }
        if self.ledger.is_replayed(request).await?
            || self.ledger.is_done(&request.key()).await? == Some(false)
        {
            let error = WorkerError::NoFlow {
                definition: request.definition_id.clone(),
                source_name: request.source.clone(),
                decision: request.decision(),
            };
            return Err(Failure::give_up(Class::NotConfigured, error).into());
        }
        self.ledger.count_unwanted(request, self.clock.now()).await?;
        Ok(None)
    }

    /// Keeps a signed revocation in the ledger: where the signed message is the authority, nothing
    /// else tells a later attempt that the approval was revoked.
    async fn keep_revocation(
        &self,
        request: &Request,
        message: &Message<'_>,
    ) -> Result<(), AttemptError> {
        confirm(request, &self.source.read_instance(request).await?)?;
        if self.claim(request, message).await?.is_some() {
            let (key, lease_id) = (request.key(), &message.lease.id);
            self.ledger.complete(&key, lease_id, &Completion::Done, self.clock.now()).await??;
        }
        Ok(())
    }

    /// Refuses a signed approval that was revoked since; also one that is approved again under the
    /// same id, which would be lost in silence.
    pub(super) async fn check_revoked(&self, request: &Request) -> Result<(), AttemptError> {
        let Request { source, definition_id, instance_id, .. } = request;
        let revocation = RequestKey::of(source, definition_id, instance_id, Decision::Revoked);
        if is_signed(request, Decision::Approved)
            && self.ledger.is_done(&revocation).await? == Some(true)
        {
            return Err(Failure::give_up(Class::NotApproved, WorkerError::RevokedSince).into());
        }
        Ok(())
    }

    /// Refuses a request unless the source confirms its decision now, and an approval that ended
    /// too long ago unless an operator asked for it: an old event that is sent again, or a message
    /// that someone put into the queue, must not renew access.
    pub(super) async fn admit(
        &self,
        job: &Job<'_>,
        instance: &Instance,
    ) -> Result<(), AttemptError> {
        confirm(job.request, instance)?;
        self.check_revoked(job.request).await?;
        let Some(ended_at) = instance.ended_at else { return Ok(()) };
        let (age, max) = (self.clock.now().since(ended_at), job.flow.max_age);
        if age <= max || self.ledger.is_replayed(job.request).await? {
            return Ok(());
        }
        let error = WorkerError::TooOld { days: days(age), max: days(max) };
        Err(Failure::give_up(Class::TooOld, error).into())
    }
}

/// Whether the message itself is the authority on this decision.
fn is_signed(request: &Request, decision: Decision) -> bool {
    request.signed.is_some() && request.decision() == decision
}

/// Whole days, rounded up.
const fn days(duration: Duration) -> u64 {
    duration.as_secs().div_ceil(24 * 3_600)
}

/// Refuses a request unless the source confirms its decision now.
pub(super) fn confirm(request: &Request, instance: &Instance) -> Result<(), Failure> {
    if instance.definition_id != request.definition_id {
        return Err(Failure::give_up(Class::NotApproved, WorkerError::OtherApproval));
    }
    if instance.instance_id != request.instance_id {
        return Err(Failure::give_up(Class::NotApproved, WorkerError::OtherInstance));
    }
    if instance.status.confirms(request.decision()) {
        return Ok(());
    }
    if instance.status == Status::Revoked && request.decision() == Decision::Approved {
        return Err(Failure::give_up(Class::Withdrawn, WorkerError::Withdrawn));
    }
    let (status, decision) = (instance.status, request.decision());
    let error = WorkerError::NotConfirmed { status, decision };
    // The source's reads can lag behind its events, and a status can be one that is new.
    let may_lag = request.decision() == Decision::Revoked && instance.status == Status::Approved;
    if may_lag || matches!(instance.status, Status::Pending | Status::Unknown) {
        return Err(Failure::retry(Class::NotApproved, error));
    }
    Err(Failure::give_up(Class::NotApproved, error))
}
