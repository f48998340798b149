//! The counterexamples of deliberately broken machines.

use std::fmt::Debug;
use std::hash::Hash;

use stateright::{Checker, HasDiscoveries, Model};

/// The properties that do not hold in one of these worlds, each once. A broken machine may run for
/// ever, so that the search ends at `depth` steps.
pub(crate) fn discoveries<M>(worlds: impl IntoIterator<Item = M>, depth: usize) -> Vec<&'static str>
where
    M: Model + Send + Sync + 'static,
    M::State: Clone + Debug + Hash + PartialEq + Send + Sync + 'static,
    M::Action: Clone + Debug + PartialEq + Send + Sync,
{
    let mut found = Vec::new();
    for world in worlds {
        let checker = world
            .checker()
            .finish_when(HasDiscoveries::AnyFailures)
            .target_max_depth(depth)
            .spawn_bfs()
            .join();
        found.extend(checker.discoveries().into_keys());
    }
    found.sort_unstable();
    found.dedup();
    found
}
