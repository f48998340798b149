//! Whether approvals that ended have arrived: an event that was lost is seen in the list of the
//! office system.

use std::collections::BTreeSet;
use std::time::Duration;

use greenlight_core::audit::Lookup;
use greenlight_core::explain::{Explain, Explanation};
use greenlight_core::flow::Flow;
use greenlight_core::operator::AuditReader;
use greenlight_core::ports::Clock;
use greenlight_core::{Request, Timestamp};
use greenlight_sources::source::{InstanceList, Source};
use greenlight_stores::SystemClock;

/// Approvals created earlier are not looked for.
const LOOK_BACK: Duration = Duration::from_hours(24);

/// An event may still be on its way, or in the queue, for so long after the end.
const ARRIVES_WITHIN: Duration = Duration::from_mins(10);

/// The most instances of one definition that are looked up: those at the end of the list.
const MAX_INSTANCES: usize = 100;

/// The instances of one definition that were created lately.
pub(super) struct Arrived {
    /// How many there are.
    pub(super) listed: usize,
    /// How many of them were looked up.
    pub(super) looked_up: usize,
    /// Those that ended as a flow wants, and that the ledger does not know.
    pub(super) missed: BTreeSet<String>,
}

/// A source that can list, with the ledger.
#[derive(Clone, Copy)]
pub(super) struct Arrivals<'a> {
    /// The name of the source.
    pub(super) name: &'a str,
    /// Reads its instances.
    pub(super) source: &'a dyn Source,
    /// Lists them.
    pub(super) list: &'a dyn InstanceList,
    /// Knows those that arrived.
    pub(super) ledger: &'a dyn AuditReader,
}

impl Arrivals<'_> {
    /// Looks up the instances of the definition of `flow`.
    pub(super) async fn look(&self, flow: &Flow) -> Result<Arrived, Explanation> {
        let now = SystemClock.now();
        let listed = self.list.created_within(&flow.definition_id, now.minus(LOOK_BACK)..now);
        let listed = listed.await.map_err(|failure| failure.reason().cause.clone())?;
        let looked_up: Vec<_> = listed.iter().rev().take(MAX_INSTANCES).collect();
        let mut missed = BTreeSet::new();
        for instance_id in &looked_up {
            if !self.has_arrived(instance_id).await?
                && self.ended_as_wanted(flow, instance_id, now).await?
            {
                missed.insert((*instance_id).clone());
            }
        }
        Ok(Arrived { listed: listed.len(), looked_up: looked_up.len(), missed })
    }

    async fn has_arrived(&self, instance_id: &str) -> Result<bool, Explanation> {
        let lookups = [Lookup::instance(instance_id)];
        let known = self.ledger.find_requests(&lookups, MAX_INSTANCES).await;
        let known = known.map_err(|error| error.explain())?;
        let is_of_source = |key: Option<[&str; 4]>| key.is_some_and(|[it, ..]| it == self.name);
        Ok(known.iter().any(|history| is_of_source(history.key_parts())))
    }

    async fn ended_as_wanted(
        &self,
        flow: &Flow,
        instance_id: &str,
        now: Timestamp,
    ) -> Result<bool, Explanation> {
        let request = Request::about(self.name, &flow.definition_id, instance_id, flow.on, now);
        let request = request.map_err(|bad| bad.explain())?;
        let instance = self.source.read_instance(&request).await;
        let instance = instance.map_err(|failure| failure.reason().cause.clone())?;
        let has_time_passed =
            instance.ended_at.is_some_and(|ended| now.since(ended) > ARRIVES_WITHIN);
        Ok(instance.status.confirms(flow.on) && has_time_passed)
    }
}
