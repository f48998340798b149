//! The record of the ticks.

#![warn(missing_docs)]

use serde::{Deserialize, Serialize};

use crate::Timestamp;
use crate::lease::{Lease, LeaseId};

/// The ledger's record of the ticks.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Schedule {
    /// The lease of the tick that is under way.
    pub lease: Option<Lease>,
    /// When the last tick ended that enqueued all that was due, or as much as one can.
    pub last: Option<Timestamp>,
}

impl Schedule {
    /// Acquires the lease for a tick; `false` while another one holds it.
    #[must_use]
    pub fn begin(mut self, lease: &Lease, now: Timestamp) -> (Self, bool) {
        let is_other = |held: &Lease| held.id != lease.id && now < held.until;
        if self.lease.as_ref().is_some_and(is_other) {
            return (self, false);
        }
        self.lease = Some(lease.clone());
        (self, true)
    }

    /// Releases the lease, if the tick still holds it.
    #[must_use]
    pub fn end(mut self, lease_id: &LeaseId, now: Timestamp) -> Self {
        if self.lease.take_if(|lease| lease.id == *lease_id).is_some() {
            self.last = Some(now);
        }
        self
    }
}
