//! Whether approvals that ended have arrived: an event that was lost is seen in the list of the
//! office system.

use std::collections::BTreeSet;
use std::time::Duration;

use greenlight_core::audit::Lookup;
use greenlight_core::event::ApprovalEvent;
use greenlight_core::explain::{Explain, Explanation};
use greenlight_core::flow::Flow;
use greenlight_core::operator::AuditReader;
use greenlight_core::ports::Clock;
use greenlight_core::trace::TraceId;
use greenlight_core::{Request, Timestamp};
use greenlight_sources::source::{ListInstances, Source};
use greenlight_stores::SystemClock;

/// Approvals created earlier are not looked for: one query of Feishu's list.
const LOOK_BACK: Duration = Duration::from_hours(10);

/// An event may still be on its way, or in the queue, for so long after the end.
const ARRIVES_WITHIN: Duration = Duration::from_mins(10);

/// The most instances of one definition that are looked up; those listed last are.
const MAX_INSTANCES: usize = 100;

/// A source that can list, with the ledger.
#[derive(Clone, Copy)]
pub(super) struct Arrivals<'a> {
    /// The name of the source.
    pub(super) name: &'a str,
    /// Reads its instances.
    pub(super) source: &'a dyn Source,
    /// Lists them.
    pub(super) list: &'a dyn ListInstances,
    /// Knows those that arrived.
    pub(super) ledger: &'a dyn AuditReader,
}

impl Arrivals<'_> {
    /// The instances of one definition that ended as one of its `flows` wants, and that the ledger
    /// does not know.
    pub(super) async fn missed(&self, flows: &[&Flow]) -> Result<BTreeSet<String>, Explanation> {
        let Some(first) = flows.first() else { return Ok(BTreeSet::new()) };
        let now = SystemClock.now();
        let listed = self.list.created_within(&first.definition_id, now.minus(LOOK_BACK)..now);
        let listed = listed.await.map_err(|failure| failure.reason().cause.clone())?;
        let mut missed = BTreeSet::new();
        for instance_id in listed.into_iter().rev().take(MAX_INSTANCES) {
            if !self.has_arrived(&instance_id).await? {
                for flow in flows {
                    if self.ended_as_wanted(flow, &instance_id, now).await? {
                        missed.insert(instance_id.clone());
                    }
                }
            }
        }
        Ok(missed)
    }

    async fn has_arrived(&self, instance_id: &str) -> Result<bool, Explanation> {
        let lookups = [Lookup::instance(instance_id)];
        let known = self.ledger.find_requests(&lookups, MAX_INSTANCES).await;
        let known = known.map_err(|error| error.explain())?;
        let is_of_source = |key: Option<[&str; 3]>| key.is_some_and(|[it, ..]| it == self.name);
        Ok(known.iter().any(|history| is_of_source(history.key_parts())))
    }

    async fn ended_as_wanted(
        &self,
        flow: &Flow,
        instance_id: &str,
        now: Timestamp,
    ) -> Result<bool, Explanation> {
        let event = ApprovalEvent {
            tenant: String::new(),
            event_id: String::new(),
            definition_id: flow.definition_id.clone(),
            instance_id: instance_id.to_owned(),
            decision: Some(flow.on),
            occurred_at: None,
            signed: None,
        };
        let request = Request::new(self.name, event, flow.on, now, TraceId::random());
        let request = request.map_err(|bad| bad.explain())?;
        let instance = self.source.read_instance(&request).await;
        let instance = instance.map_err(|failure| failure.reason().cause.clone())?;
        let has_time_passed =
            instance.ended_at.is_some_and(|ended| now.since(ended) > ARRIVES_WITHIN);
        Ok(instance.status.confirms(flow.on) && has_time_passed)
    }
}
