//! The records of sweeps in DynamoDB: one item per approval definition.

use std::time::Duration;

use greenlight_core::ports::{KeepSweeps, LedgerError};
use greenlight_core::sweep::{Sweep, SweepKey};

use super::document::{Attributes, Document};
use super::dynamodb::DynamoLedger;
use super::item::{GSI_PK, GSI_SK, SWEEPS, number, text};

/// What is no longer swept expires.
impl Document for Sweep {
    const ATTRIBUTE: &'static str = "sweep";

    fn is_changed_again(&self) -> bool {
        self.lease.is_some()
    }

    fn attributes(&self, retention: Duration) -> Attributes {
        let expiry = self.last_change().plus(retention).as_seconds();
        vec![(GSI_PK, text(SWEEPS)), (GSI_SK, number(0)), ("expires_at", number(expiry))]
    }
}

impl KeepSweeps for DynamoLedger {
    async fn change_sweep<T: Send>(
        &self,
        key: &SweepKey,
        change: impl Fn(Sweep) -> (Sweep, T) + Send + Sync,
    ) -> Result<(Sweep, T), LedgerError> {
        self.change_document(&format!("sweep#{}", key.as_text()), &[], change).await
    }
}
