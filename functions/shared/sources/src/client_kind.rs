//! What each kind of office system provides to its callers: the worker and the operator's commands.

#![warn(missing_docs)]

use greenlight_core::instance::Instance;
use greenlight_core::secret::Credentials;
use greenlight_core::{Failure, Timestamp};
use serde::de::DeserializeOwned;

use crate::source::{Source, SourcePorts};
use crate::test_request::{NotSendable, Sent, TestEvent};

/// The half of a kind that calls the office system.
pub trait ClientKind {
    /// The half that calls the office system.
    fn client(&self, source: &str, ports: SourcePorts) -> Box<dyn Source>;

    /// The instance in a document of the office system, as an operator saved it.
    ///
    /// # Errors
    /// [`Failure`] with the missing part.
    fn parse_instance(&self, document: &str) -> Result<Instance, Failure>;

    /// A webhook request as the office system sends it, for tests of a deployment.
    ///
    /// # Errors
    /// [`NotSendable`] when such an event does not exist, or cannot be signed.
    fn test_request(
        &self,
        event: &TestEvent,
        credentials: &Credentials,
        now: Timestamp,
    ) -> Result<Sent, NotSendable>;
}

/// A part of an answer of the office system, as an operator saved it: with the members around it,
/// or alone.
pub(crate) fn answer_or_part<A: DeserializeOwned + Into<P>, P: DeserializeOwned>(
    json: &str,
) -> Option<P> {
    let answer = serde_json::from_str::<A>(json).map(Into::into);
    answer.or_else(|_| serde_json::from_str(json)).ok()
}
