//! The half of the kind `weaver` that calls the API.

use greenlight_core::explain::Explanation;
use greenlight_core::instance::Instance;
use greenlight_core::secret::Credentials;
use greenlight_core::{Failure, Timestamp};
use serde_json::Value;

use super::client::{WeaverClient, data_in};
use super::error::{AnswerPart, ApiError};
use super::instance::WorkflowRequest;
use super::settings::Weaver;
use crate::client_kind::{About, Arrival, ClientKind, DocumentsOnly};
use crate::hook;
use crate::source::{Source, SourcePorts};
use crate::test_request::{NotSendable, Sent, TestEvent};

impl ClientKind for Weaver {
    fn about() -> About {
        About {
            title: Explanation::quoted("Weaver 泛微 e-cology 9"),
            arrivals: &[Arrival::Hook],
            checked_with: DocumentsOnly::explained(),
        }
    }

    fn client(&self, source: &str, ports: SourcePorts) -> Box<dyn Source> {
        Box::new(WeaverClient::new(source, self.clone(), ports))
    }

    /// The answer to `getWorkflowRequest`, of a form that is archived.
    fn parse_instance(&self, document: &str) -> Result<Instance, Failure> {
        let not_one = || ApiError::Shape { part: AnswerPart::Instance }.into_failure();
        let body: Value = serde_json::from_str(document).map_err(|_| not_one())?;
        let form: WorkflowRequest = data_in(body).map_err(|_| not_one())?;
        let instance = form.into_instance(true, &self.approved, &self.utc_offset);
        instance.map_err(ApiError::into_failure)
    }

    fn test_request(
        &self,
        event: &TestEvent,
        credentials: &Credentials,
        now: Timestamp,
    ) -> Result<Sent, NotSendable> {
        hook::test_request(event, credentials, now)
    }
}
