//! What each kind of office system provides to its callers: the worker and the operator's commands.

#![warn(missing_docs)]

use greenlight_core::explain::{Explain, Explanation};
use greenlight_core::instance::Instance;
use greenlight_core::secret::Credentials;
use greenlight_core::{Failure, Timestamp};
use serde::de::DeserializeOwned;
use thiserror::Error;

use crate::source::{Source, SourcePorts};
use crate::test_request::{NotSendable, Sent, TestEvent};

/// What a kind is, for a list of them.
#[derive(Clone, Debug)]
pub struct About {
    /// The office systems.
    pub title: Explanation,
    /// How events arrive.
    pub arrivals: &'static [Arrival],
    /// What it was checked with, besides the documents of the office system.
    pub checked_with: Explanation,
}

/// A way by which events arrive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error, Explain)]
#[explain("arrival")]
pub enum Arrival {
    /// The office system sends requests.
    #[error("webhook")]
    Webhook,
    /// The host holds a connection.
    #[error("a connection that `greenlight serve` opens")]
    Connection,
    /// The list of approvals is read at an interval.
    #[error("polling")]
    Polling,
    /// Code inside of the office system sends signed messages.
    #[error("a hook in the OA")]
    Hook,
}

/// Nothing but documents.
#[derive(Clone, Copy, Debug, Error, Explain)]
#[explain("documents_only")]
#[error("nothing: from documents only")]
pub(crate) struct DocumentsOnly;

impl DocumentsOnly {
    pub(crate) fn explained() -> Explanation {
        Self.explain()
    }
}

/// The half of a kind that calls the office system.
pub trait ClientKind {
    /// What the kind is.
    #[must_use]
    fn about() -> About
    where
        Self: Sized,
    {
        About {
            title: Explanation::quoted(""),
            arrivals: &[Arrival::Webhook],
            checked_with: DocumentsOnly::explained(),
        }
    }

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
