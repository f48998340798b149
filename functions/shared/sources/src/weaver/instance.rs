//! The answers to `getWorkflowRequest` and `getRequestStatus`.

use greenlight_core::Timestamp;
use greenlight_core::flow::UtcOffset;
use greenlight_core::instance::{Instance, Status};
use serde::Deserialize;

use super::error::{AnswerPart, ApiError};
use super::form::{DetailTable, MainTable, form};
use super::settings::Approved;
use crate::long_id::LongId;
use crate::nullable::null_is_default;

/// The type of the node at which a form has ended.
const ARCHIVE: &str = "3";

/// A form.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct WorkflowRequest {
    request_id: LongId,
    #[serde(default)]
    creator_id: Option<LongId>,
    /// In the zone of the server.
    #[serde(default, deserialize_with = "null_is_default")]
    last_operate_time: String,
    workflow_base_info: Workflow,
    #[serde(default, deserialize_with = "null_is_default")]
    workflow_main_table_info: MainTable,
    #[serde(default, deserialize_with = "null_is_default")]
    workflow_detail_table_infos: Vec<DetailTable>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Workflow {
    workflow_id: LongId,
}

/// Where a form is.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct RequestStatus {
    current_node_type: LongId,
}

impl RequestStatus {
    pub(super) fn is_archived(&self) -> bool {
        self.current_node_type.is(ARCHIVE)
    }
}

impl WorkflowRequest {
    /// The instance. An archived form is approved if its field says so, and refused if not.
    pub(super) fn into_instance(
        self,
        is_archived: bool,
        approved: &Approved,
        offset: &UtcOffset,
    ) -> Result<Instance, ApiError> {
        let is_approved = self.workflow_main_table_info.has(&approved.field, &approved.value);
        let status = match (is_archived, is_approved) {
            (false, _) => Status::Pending,
            (true, true) => Status::Approved,
            (true, false) => Status::Refused,
        };
        let ended_at =
            offset.moment(&self.last_operate_time).and_then(|at| Timestamp::of_moment(&at));
        // An approval without a readable end could renew access however old it is.
        if status == Status::Approved && ended_at.is_none() {
            return Err(ApiError::Shape { part: AnswerPart::LastOperateTime });
        }
        let instance_id = self.request_id.into_text();
        Ok(Instance {
            form_number: instance_id.clone(),
            instance_id,
            definition_id: self.workflow_base_info.workflow_id.into_text(),
            status,
            ended_at: ended_at.filter(|_| is_archived),
            applicant: self.creator_id.map(LongId::into_text).unwrap_or_default(),
            form: form(self.workflow_main_table_info, self.workflow_detail_table_infos),
            revokes: None,
        })
    }
}
