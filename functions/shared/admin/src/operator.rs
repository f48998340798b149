//! Who acts, and the record of it: before anything is done.

use std::collections::BTreeMap;
use std::sync::Arc;

use greenlight_core::Timestamp;
use greenlight_core::act::{Act, ActKind};
use greenlight_core::ledger::{Effect, EffectKey};
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

    /// Records a forced replay, with the effects that the request has recorded and that it is about
    /// to forget.
    ///
    /// # Errors
    /// As [`Operator::record`].
    pub async fn record_forced_replay(
        &self,
        instance_id: &str,
        effects: BTreeMap<EffectKey, Effect>,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let act = Act::new(&self.who, ActKind::ForcedReplay, instance_id, None, now);
        self.acts.record_act(&Act { effects, ..act }).await
    }
}
