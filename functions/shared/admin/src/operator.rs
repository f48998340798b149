//! Who acts, and the record of it: before anything is done.

use std::sync::Arc;

use greenlight_core::Timestamp;
use greenlight_core::act::{Act, ActKind};
use greenlight_core::operator::{ActStore, StoreError};

/// An operator, whose acts are recorded.
#[derive(Clone, Debug)]
pub struct Operator {
    /// The ARN of the caller on AWS, else the user and the host.
    pub who: String,
    /// Where acts are recorded.
    pub acts: Arc<dyn ActStore>,
}

impl Operator {
    /// Records an act that is about to be done.
    ///
    /// # Errors
    /// [`StoreError`] when it cannot be recorded: then it must not be done.
    pub async fn record(
        &self,
        what: ActKind,
        on: &str,
        why: Option<&str>,
        now: Timestamp,
    ) -> Result<Act, StoreError> {
        let act = Act::new(&self.who, what, on, why, now);
        self.acts.record_act(&act).await?;
        Ok(act)
    }
}
