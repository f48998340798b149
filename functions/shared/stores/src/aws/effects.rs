//! Batches effects of one request: effects that end during a write are recorded by the next one.
//!
//! They are all in their request's item, and DynamoDB allows 1,000 write units a second per item,
//! one per KiB: one update per effect would exceed this for a form with hundreds of subjects.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use greenlight_core::RequestKey;
use greenlight_core::lease::{LeaseId, LeaseLost};
use greenlight_core::ledger::{Effect, EffectKey};
use greenlight_core::ports::LedgerError;
use tokio::sync::oneshot;

use super::error::TableError;

/// The most effects in one update: DynamoDB allows update expressions of 4 KB, and an effect takes
/// up to 70 bytes.
/// <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Constraints.html>
const MAX_EFFECTS_PER_UPDATE: usize = 48;

type Recorded = Result<Result<(), LeaseLost>, LedgerError>;

/// Effects that wait to be recorded, by request. An entry means that a writer is active, which
/// records the waiting effects next.
#[derive(Debug, Default)]
pub(super) struct EffectsOfAMoment(Mutex<HashMap<(RequestKey, LeaseId), Vec<Waiting>>>);

#[derive(Debug)]
struct Waiting {
    key: EffectKey,
    effect: Effect,
    sender: oneshot::Sender<Recorded>,
}

/// Removes the entry when the writer is dropped, so that no effect waits for ever.
struct Writing<'a> {
    effects: &'a EffectsOfAMoment,
    of: (RequestKey, LeaseId),
    is_over: bool,
}

impl Drop for Writing<'_> {
    fn drop(&mut self) {
        if !self.is_over {
            self.effects.waiting().remove(&self.of);
        }
    }
}

impl EffectsOfAMoment {
    fn waiting(&self) -> MutexGuard<'_, HashMap<(RequestKey, LeaseId), Vec<Waiting>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Records an effect with `write`, or waits until the request's active writer has recorded it.
    pub(super) async fn record<W, F>(
        &self,
        request: &RequestKey,
        lease_id: &LeaseId,
        key: EffectKey,
        effect: Effect,
        write: W,
    ) -> Recorded
    where
        W: Fn(Vec<(EffectKey, Effect)>) -> F,
        F: Future<Output = Recorded>,
    {
        let of = (request.clone(), lease_id.clone());
        let (sender, receiver) = oneshot::channel();
        let is_written_for = {
            let mut waiting = self.waiting();
            if let Some(line) = waiting.get_mut(&of) {
                line.push(Waiting { key: key.clone(), effect, sender });
                true
            } else {
                waiting.insert(of.clone(), Vec::new());
                false
            }
        };
        if is_written_for {
            let gone = || LedgerError(TableError::WriterCancelled.into());
            return receiver.await.unwrap_or_else(|_| Err(gone()));
        }
        let writing = Writing { effects: self, of, is_over: false };
        let own = write(vec![(key, effect)]).await;
        writing.write_for_others(write).await;
        own
    }
}

impl Writing<'_> {
    /// Records waiting effects until there are none.
    async fn write_for_others<W, F>(mut self, write: W)
    where
        W: Fn(Vec<(EffectKey, Effect)>) -> F,
        F: Future<Output = Recorded>,
    {
        loop {
            let line = {
                let mut waiting = self.effects.waiting();
                let line = waiting.get_mut(&self.of).map(|line| {
                    let count = line.len().min(MAX_EFFECTS_PER_UPDATE);
                    line.drain(..count).collect::<Vec<_>>()
                });
                let line = line.unwrap_or_default();
                if line.is_empty() {
                    // Under the lock no effect can join; the next one starts a new writer.
                    waiting.remove(&self.of);
                    self.is_over = true;
                    return;
                }
                line
            };
            let effects = line.iter().map(|it| (it.key.clone(), it.effect)).collect();
            let recorded = write(effects).await;
            for waiting in line {
                drop(waiting.sender.send(recorded.clone()));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use futures_util::FutureExt;
    use futures_util::future::join_all;
    use greenlight_core::Timestamp;
    use greenlight_core::ledger::{EffectKind, EffectOutcome};
    use greenlight_testkit::request::request;
    use tokio::sync::Semaphore;

    use super::*;

    fn effect() -> Effect {
        Effect {
            kind: EffectKind::Grant,
            outcome: EffectOutcome::Done,
            at: Timestamp::from_millis(1),
        }
    }

    #[tokio::test]
    async fn effects_that_end_during_a_record_are_recorded_with_the_next_as_many_as_fit() {
        let (effects, request) = (EffectsOfAMoment::default(), request("I-1").key());
        let lease_id = LeaseId::from("me");
        let written = RefCell::new(Vec::new());
        let write = |effects: Vec<(EffectKey, Effect)>| {
            written.borrow_mut().push(effects.len());
            async {
                tokio::task::yield_now().await;
                Ok(Ok(()))
            }
        };
        let records = (0..100).map(|n| {
            effects.record(
                &request,
                &lease_id,
                EffectKey::from(n.to_string().as_str()),
                effect(),
                write,
            )
        });
        let recorded = join_all(records).await;
        assert!(recorded.iter().all(|it| matches!(it, Ok(Ok(())))));
        assert_eq!(*written.borrow(), [1, 48, 48, 3]);
        assert!(effects.waiting().is_empty());
    }

    #[tokio::test]
    async fn whoever_waits_for_one_that_is_stopped_is_told() {
        let (effects, request) = (EffectsOfAMoment::default(), request("I-1").key());
        let lease_id = LeaseId::from("me");
        let room = Semaphore::new(0);
        let write = |_| async {
            drop(room.acquire().await);
            Ok(Ok(()))
        };
        let key = |text: &str| EffectKey::from(text);
        let mut first = Box::pin(effects.record(&request, &lease_id, key("a"), effect(), write));
        assert!((&mut first).now_or_never().is_none());
        let mut second = Box::pin(effects.record(&request, &lease_id, key("b"), effect(), write));
        assert!((&mut second).now_or_never().is_none());
        drop(first);
        assert!(second.await.is_err());
        assert!(effects.waiting().is_empty());
    }
}
