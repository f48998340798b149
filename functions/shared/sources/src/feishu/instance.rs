//! The answer to "obtain a single approval instance".

use greenlight_core::instance::{Instance, Status};
use greenlight_core::{Failure, Timestamp};
use serde::Deserialize;
use serde_json::Value;

use super::error::{AnswerPart, ApiError};
use crate::client_kind::answer_or_part;

#[derive(Deserialize)]
pub(super) struct InstanceAnswer {
    pub(super) data: InstanceData,
}

impl From<InstanceAnswer> for InstanceData {
    fn from(answer: InstanceAnswer) -> Self {
        answer.data
    }
}

#[derive(Deserialize)]
pub(super) struct InstanceData {
    approval_code: String,
    instance_code: String,
    status: String,
    #[serde(default)]
    reverted: Option<bool>,
    #[serde(default)]
    open_id: Option<String>,
    #[serde(default)]
    serial_number: Option<String>,
    /// Milliseconds since the Unix epoch; `0` while it is pending.
    #[serde(default)]
    end_time: Value,
    form: String,
}

impl InstanceData {
    pub(super) fn into_instance(self) -> Result<Instance, ApiError> {
        let form = super::form::parse(&self.form)
            .map_err(|_| ApiError::Shape { part: AnswerPart::Widgets })?;
        let (status, ended_at) = (self.status(), moment(&self.end_time));
        // Without it an approval of any age would count as a new one.
        if status == Status::Approved && ended_at.is_none() {
            return Err(ApiError::Shape { part: AnswerPart::EndTime });
        }
        Ok(Instance {
            status,
            definition_id: self.approval_code,
            instance_id: self.instance_code,
            ended_at,
            applicant: self.open_id.unwrap_or_default(),
            form_number: self.serial_number.unwrap_or_default(),
            form,
            revokes: None,
        })
    }

    /// The OpenAPI has no status `REVERTED`: it returns `CANCELED`, or sets `reverted`.
    fn status(&self) -> Status {
        match (self.status.as_str(), self.reverted.unwrap_or(false)) {
            (_, true) | ("CANCELED", _) => Status::Revoked,
            ("APPROVED", false) => Status::Approved,
            ("PENDING", false) => Status::Pending,
            ("REJECTED" | "DELETED", false) => Status::Refused,
            _ => Status::Unknown,
        }
    }
}

/// A string with milliseconds, as documented; a number is read, too.
fn moment(value: &Value) -> Option<Timestamp> {
    let millis = value.as_i64().or_else(|| value.as_str()?.parse().ok());
    millis.filter(|millis| *millis > 0).map(Timestamp::from_millis)
}

/// Parses the instance in a recorded answer of the OpenAPI, with or without the surrounding `data`.
///
/// # Errors
/// [`Failure`] with the missing part.
pub fn parse_instance(json: &str) -> Result<Instance, Failure> {
    let data = answer_or_part::<InstanceAnswer, InstanceData>(json);
    let data = data.ok_or_else(|| ApiError::Shape { part: AnswerPart::Instance }.into_failure())?;
    data.into_instance().map_err(ApiError::into_failure)
}
