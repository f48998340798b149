//! A secret that never changes.

use std::sync::Arc;

use super::Secret;
use crate::ports::ReadSecret;

/// A secret that is never read again: for a dry run, and for tests.
#[derive(Clone, Debug)]
pub struct FixedSecret(pub Arc<Secret>);

impl ReadSecret for FixedSecret {
    fn current(&self) -> Arc<Secret> {
        Arc::clone(&self.0)
    }

    async fn renewed(&self, _: &Arc<Secret>) -> Option<Arc<Secret>> {
        None
    }
}
