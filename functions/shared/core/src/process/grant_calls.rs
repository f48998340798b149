//! The calls that no request makes: a removal, and what an operator asked for. Each is made under
//! the lease of its grant.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::error::WorkerError;
use super::grants::changed_nothing;
use super::plan::{VALID_UNTIL, moment};
use super::{AttemptError, Message, Processor};
use crate::failure::{Class, Failure};
use crate::grant::{BeginError, EndReason, GrantKey, GrantRecord, Hold, HoldId, Outcome, Removal};
use crate::lease::Lease;
use crate::metrics::Metric;
use crate::ports::{Call, Clock, KeepGrants, Ports};
use crate::queued::GrantDue;
use crate::subject::Subject;
use crate::time::Timestamp;

/// What the calls to a target have in common.
struct Calling<'a> {
    key: &'a GrantKey,
    subject: &'a Subject,
    /// The same in every attempt.
    job: &'a str,
    values: &'a Map<String, Value>,
    due: &'a GrantDue,
    message: &'a Message<'a>,
}

/// The decision about a call.
enum Next {
    /// The lease is acquired for it.
    Call { generation: u64, operations: BTreeSet<String> },
    /// Another call forbids it until then.
    Wait { until: Timestamp },
    /// It is not wanted any more.
    Nothing,
}

impl<P: Ports> Processor<P> {
    /// Removes the access, if nothing holds it.
    pub(super) async fn remove(
        &self,
        record: &GrantRecord,
        due: &GrantDue,
        message: &Message<'_>,
    ) -> Result<Result<(), Failure>, AttemptError> {
        let key = due.key();
        let subject = match subject_of(key) {
            Ok(subject) => subject,
            Err(failure) => return Ok(Err(failure)),
        };
        if record.revoked_by.is_empty() {
            let error = WorkerError::NoRemoval { target: key.target.clone() };
            return Ok(Err(Failure::give_up(Class::NotConfigured, error)));
        }
        let job = format!("{key}/{}", record.last_change());
        let (subject, values) = (&subject, &Map::new());
        let calling = Calling { key, subject, job: &job, values, due, message };
        let begin = |record: GrantRecord, lease: &Lease, now| {
            let (record, removal) = record.begin_removal(lease, now);
            let next = match removal {
                Removal::StillHeld | Removal::NothingToDo => Next::Nothing,
                Removal::Wait { until } => Next::Wait { until },
                Removal::Call { generation, operations } => Next::Call { generation, operations },
            };
            (record, next)
        };
        let result = self.call_if(&calling, begin, &Outcome::Revoked { session: None }).await?;
        if let Ok(Some(record)) = &result {
            let late = self.clock.now().since(record.last_change());
            let labels = [("target", key.target.as_str())];
            tracing::info!(target = key.target, subject = subject.masked(), "access removed");
            self.metrics.measure(&Metric::once("GrantsEnded", &labels));
            self.metrics.measure(&Metric::took("EndToRemovalLatency", late, &labels));
        }
        Ok(result.map(drop))
    }

    /// Gives the access that an operator asked for. One that the target refuses ends.
    pub(super) async fn grant_by_act(
        &self,
        (id, hold): (&HoldId, &Hold),
        due: &GrantDue,
        message: &Message<'_>,
    ) -> Result<Result<(), Failure>, AttemptError> {
        let key = due.key();
        let result = match subject_of(key) {
            Err(failure) => Err(failure),
            Ok(subject) => {
                let job = format!("{key}/{}", id.as_str());
                let (subject, values) = (&subject, &of_act(id, hold));
                let calling = Calling { key, subject, job: &job, values, due, message };
                let begin = |record: GrantRecord, lease: &Lease, now| {
                    let (record, result) = record.begin_grant(id, &hold.terms, lease, now);
                    let operations = [hold.terms.operation.clone()].into();
                    let next = match result {
                        Ok(generation) => Next::Call { generation, operations },
                        Err(BeginError::Wait { until }) => Next::Wait { until },
                        // It ended meanwhile.
                        Err(BeginError::Ended { .. } | BeginError::Full) => Next::Nothing,
                    };
                    (record, next)
                };
                let granted = Outcome::Granted { hold: id.clone() };
                self.call_if(&calling, begin, &granted).await?.map(drop)
            }
        };
        let Err(failure @ Failure::GiveUp { .. }) = result else { return Ok(result) };
        let (now, reason) = (self.clock.now(), failure.reason());
        let end_reason = match reason.class {
            Class::Blocked => EndReason::Blocked,
            _ => EndReason::GivenUp,
        };
        let end = |record: GrantRecord| (record.end(id, end_reason, now), ());
        self.ledger.change_grant(key, end).await?;
        let (target, class) = (key.target.as_str(), reason.class.as_str());
        tracing::error!(target, class, reason = reason.cause.text, "access was not granted");
        Ok(Ok(()))
    }

    /// Makes calls under the lease of the grant, if `begin` says so, and records their outcome,
    /// which is `done` if all succeed. The record after that; `None` if there was no call.
    async fn call_if(
        &self,
        calling: &Calling<'_>,
        begin: impl Fn(GrantRecord, &Lease, Timestamp) -> (GrantRecord, Next) + Send + Sync,
        done: &Outcome,
    ) -> Result<Result<Option<GrantRecord>, Failure>, AttemptError> {
        let (key, lease) = (calling.key, &calling.message.lease);
        if let Err(failure) = self.lock(&key.target, lease).await? {
            return Ok(Err(failure));
        }
        let now = self.clock.now();
        let begin = |record: GrantRecord| begin(record, lease, now);
        let (record, next) = self.ledger.change_grant(key, begin).await?;
        let result = match next {
            Next::Nothing => Ok(None),
            // Nothing was tried: this is no failure.
            Next::Wait { until } => {
                let wait = |record: GrantRecord| (record.wait(until), ());
                self.ledger.change_grant(key, wait).await?;
                Ok(None)
            }
            Next::Call { generation, operations } => {
                let mut values = calling.values.clone();
                if let Some(until) = record.lasts_until() {
                    values.insert(VALID_UNTIL.to_owned(), moment(until));
                }
                let operations = operations.iter();
                let calls: Vec<_> = operations.map(|it| calling.call(it, &values)).collect();
                // After the hold was recorded, as for approvals.
                let blocked = match done {
                    Outcome::Granted { .. } => self.blocked(key, now).await?,
                    _ => None,
                };
                let result = match blocked {
                    Some(failure) => Err(failure),
                    None => self.call_all(&calls, &key.target, &lease.id).await?,
                };
                let outcome = match (&result, done) {
                    (Ok(session), Outcome::Revoked { .. }) => {
                        Outcome::Revoked { session: *session }
                    }
                    (Ok(_), _) => done.clone(),
                    // Of several calls, one before may have changed something.
                    (Err(failure), _) if calls.len() == 1 && changed_nothing(failure) => {
                        Outcome::Unchanged
                    }
                    (Err(_), _) => Outcome::Unknown,
                };
                let now = self.clock.now();
                let settle = |record: GrantRecord| {
                    record.settle(&lease.id, generation, outcome.clone(), now)
                };
                let (record, settled) = self.ledger.change_grant(key, settle).await?;
                settled?;
                result.map(|_| Some(record))
            }
        };
        self.unlock(&key.target, &lease.id).await;
        Ok(result)
    }
}

impl Calling<'_> {
    fn call<'a>(&'a self, operation: &'a str, variables: &'a Map<String, Value>) -> Call<'a> {
        Call {
            job: self.job,
            target: &self.key.target,
            operation,
            subject: Some(self.subject),
            variables,
            trace_id: Some(&self.due.trace_id),
            deadline: self.message.budget.no_new_calls_after,
        }
    }
}

fn subject_of(key: &GrantKey) -> Result<Subject, Failure> {
    let unknown = || WorkerError::NoSuchSubject { target: key.target.clone() };
    let subject = Subject::of_key(&key.subject);
    subject.ok_or_else(|| Failure::give_up(Class::NotConfigured, unknown()))
}

/// What templates see of an access that an operator gave, in place of an instance.
fn of_act(id: &HoldId, hold: &Hold) -> Map<String, Value> {
    let values = [
        ("definition_id", "operator"),
        ("instance_id", id.as_str()),
        ("event_id", id.as_str()),
        ("applicant", &hold.terms.applicant),
        ("form_number", ""),
    ];
    let value = |(name, value): (&str, &str)| (name.to_owned(), Value::String(value.to_owned()));
    values.into_iter().map(value).collect()
}
