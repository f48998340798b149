//! A withdrawn approval holds nothing any more.

use std::collections::BTreeSet;

use super::admit::confirm;
use super::error::WorkerError;
use super::{AttemptError, Job, NOTHING_RECORDED, PlanInput, Processor, plan, read_sheets};
use crate::audit::AttemptRecord;
use crate::event::Decision;
use crate::failure::{Class, Failure};
use crate::flow::{Flow, WhenWithdrawn};
use crate::grant::{GrantKey, GrantRecord};
use crate::instance::Instance;
use crate::ledger::{EffectKind, Progress, Standing};
use crate::ports::{
    Clock, Conditions, Enqueue, KeepGrants, LedgerError, Ports, ReadInstance, ReadRequest,
};
use crate::queued::GrantDue;
use crate::request::{Request, RequestKey};

impl<P: Ports> Processor<P> {
    /// Ends the holds of an approval that its source says was withdrawn.
    pub(super) async fn withdraw(
        &self,
        job: &Job<'_>,
        attempt_record: &mut AttemptRecord,
    ) -> Result<(), AttemptError> {
        let approved = self.approved(job.request).await?;
        // What that attempt begins is known when it has ended.
        if let Some(Progress { standing: Standing::Running { until }, .. }) = approved {
            let now = self.clock.now();
            if now < until {
                let error = WorkerError::LeaseHeld;
                let after = Some(until.since(now));
                return Err(Failure::retry_after(after, Class::LeaseHeld, error).into());
            }
        }
        let instance = self.source.read_instance(job.request).await;
        let confirmed = instance.and_then(|it| confirm(job.request, &it).map(|()| it));
        let instance = match confirmed {
            Ok(instance) => instance,
            // Nothing began: there is nothing to take back, and nothing to tell an operator.
            Err(Failure::GiveUp { .. }) if approved.is_none() => return Ok(()),
            Err(failure) => return Err(failure.into()),
        };
        attempt_record.see(&instance);
        let recorded = approved.map(|progress| progress.claimed.grants()).unwrap_or_default();
        self.end_holds(job, instance, &recorded, attempt_record).await
    }

    /// Enqueues a revocation of `revoked`, for a request whose instance is itself a revocation. It
    /// is confirmed at the source when it is processed; enqueuing it twice, after a crash, has no
    /// further effect.
    pub(super) async fn enqueue_revocation(
        &self,
        request: &Request,
        revoked: &str,
    ) -> Result<(), AttemptError> {
        let Request { source, definition_id, .. } = request;
        let (decision, now) = (Decision::Revoked, self.clock.now());
        let revocation = Request::about(source, definition_id, revoked, decision, now)?;
        let revocation = Request { trace_id: request.trace_id.clone(), ..revocation };
        let enqueued = self.queue.enqueue(&revocation).await;
        enqueued.map_err(|error| Failure::retry(Class::InternalError, error).into())
    }

    /// What the attempts to carry the approval out recorded; `None` if there was none.
    async fn approved(&self, request: &Request) -> Result<Option<Progress>, LedgerError> {
        let Request { source, definition_id, instance_id, .. } = request;
        let approved = RequestKey::of(source, definition_id, instance_id, Decision::Approved);
        self.ledger.progress(&approved).await
    }

    /// Ends the holds of a withdrawn approval for which there is no flow any more.
    pub(super) async fn withdraw_without_flow(
        &self,
        request: &Request,
    ) -> Result<(), AttemptError> {
        let recorded = self.approved(request).await?;
        let recorded = recorded.map(|progress| progress.claimed.grants()).unwrap_or_default();
        if recorded.is_empty() {
            return Ok(());
        }
        match confirm(request, &self.source.read_instance(request).await?) {
            Ok(()) => self.end_each(request, &recorded).await,
            // Without a claim there is no budget: it is found when the hold is confirmed.
            Err(failure) => {
                let reason = failure.reason();
                tracing::warn!(%reason, "a withdrawal was not confirmed");
                Ok(())
            }
        }
    }

    /// Ends the holds of a withdrawn approval: those that its request has recorded, and those that
    /// its form leads to, as a worker may be about to begin one.
    pub(super) async fn end_holds(
        &self,
        job: &Job<'_>,
        mut instance: Instance,
        recorded: &BTreeSet<GrantKey>,
        attempt_record: &mut AttemptRecord,
    ) -> Result<(), AttemptError> {
        self.end_each(job.request, recorded).await?;
        if job.flow.grant.when_withdrawn == WhenWithdrawn::Keep {
            return Ok(());
        }
        // After those: a form or a sheet that cannot be read must not keep them.
        read_sheets(job.flow, &mut instance.form, &self.source).await?;
        let input = PlanInput {
            event_id: &job.request.event_id,
            received_at: job.request.received_at,
            now: self.clock.now(),
            recorded: NOTHING_RECORDED,
        };
        let plan = plan(job.flow, &instance, input, &self.targets)?;
        attempt_record.subjects.clone_from(&plan.subjects);
        let granted = plan.effects.iter().filter(|effect| effect.kind == EffectKind::Grant);
        let granted = granted.filter_map(|effect| {
            Some(GrantKey::new(&effect.action.target, effect.subject.as_ref()?))
        });
        let planned: BTreeSet<_> = granted.filter(|key| !recorded.contains(key)).collect();
        self.end_each(job.request, &planned).await
    }

    async fn end_each(
        &self,
        request: &Request,
        keys: &BTreeSet<GrantKey>,
    ) -> Result<(), AttemptError> {
        let (hold, now) = (request.hold(), self.clock.now());
        for key in keys {
            let end = |record: GrantRecord| (record.withdraw(&hold, now), ());
            let (record, ()) = self.ledger.change_grant(key, end).await?;
            if record.due().is_some_and(|due| due <= now) {
                self.hasten(key).await;
            }
        }
        Ok(())
    }

    /// Enqueues the grant at once. If that fails, the next tick does it.
    pub(super) async fn hasten(&self, key: &GrantKey) {
        let due = GrantDue::new(key.clone(), self.clock.now());
        if let Err(error) = self.queue.enqueue(&due).await {
            tracing::warn!(target = key.target, %error, "the next tick removes the access");
        }
    }

    /// Whether an action of the flow gives access, which a withdrawal takes back.
    pub(super) fn grants_access(&self, flow: &Flow) -> bool {
        flow.actions
            .iter()
            .any(|action| self.targets.kind(&action.target, &action.operation) == EffectKind::Grant)
    }
}
