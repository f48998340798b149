//! The half of the kind `seeyon` that calls the API.

use greenlight_core::explain::Explanation;
use greenlight_core::instance::{Instance, Status};
use greenlight_core::secret::Credentials;
use greenlight_core::{Failure, Timestamp};

use super::client::SeeyonClient;
use super::error::{AnswerPart, ApiError};
use super::form::form_in;
use super::settings::Seeyon;
use crate::client_kind::{About, Arrival, ClientKind, DocumentsOnly};
use crate::hook;
use crate::source::{Source, SourcePorts};
use crate::test_request::{NotSendable, Sent, TestEvent};

impl ClientKind for Seeyon {
    fn about() -> About {
        About {
            title: Explanation::quoted("Seeyon 致远OA"),
            arrivals: &[Arrival::Polling, Arrival::Hook],
            checked_with: DocumentsOnly::explained(),
        }
    }

    fn client(&self, source: &str, ports: SourcePorts) -> Box<dyn Source> {
        Box::new(SeeyonClient::new(source, self.clone(), ports))
    }

    /// The form of a flow, as `flow/data` returns it. It does not say of what template it is, nor
    /// that it is approved.
    fn parse_instance(&self, document: &str) -> Result<Instance, Failure> {
        let form = form_in(document)
            .ok_or_else(|| ApiError::unexpected(AnswerPart::Form).into_failure())?;
        Ok(Instance {
            instance_id: String::new(),
            definition_id: String::new(),
            status: Status::Approved,
            ended_at: None,
            applicant: String::new(),
            form_number: String::new(),
            form,
            revokes: None,
        })
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
