//! The answer to "获取审批申请详情".

use greenlight_core::flow::UtcOffset;
use greenlight_core::instance::{Instance, Status};
use greenlight_core::{Failure, Timestamp};
use serde::Deserialize;

use super::error::{AnswerPart, ApiError};
use super::form::{Control, form};
use super::sp_status;
use crate::client_kind::answer_or_part;
use crate::nullable::null_is_default;

#[derive(Deserialize)]
pub(super) struct DetailAnswer {
    pub(super) info: Detail,
}

impl From<DetailAnswer> for Detail {
    fn from(answer: DetailAnswer) -> Self {
        answer.info
    }
}

#[derive(Deserialize)]
pub(super) struct Detail {
    sp_no: String,
    sp_status: i64,
    template_id: String,
    /// Seconds since the Unix epoch.
    #[serde(default, deserialize_with = "null_is_default")]
    apply_time: i64,
    #[serde(default, deserialize_with = "null_is_default")]
    applyer: Applicant,
    #[serde(default, deserialize_with = "null_is_default")]
    sp_record: Vec<Step>,
    apply_data: ApplyData,
}

#[derive(Default, Deserialize)]
struct Applicant {
    #[serde(default, deserialize_with = "null_is_default")]
    userid: String,
}

#[derive(Deserialize)]
struct Step {
    #[serde(default, deserialize_with = "null_is_default")]
    details: Vec<StepDetail>,
}

#[derive(Deserialize)]
struct StepDetail {
    /// Seconds since the Unix epoch; 0 while the approver has not decided.
    #[serde(default, deserialize_with = "null_is_default")]
    sptime: i64,
}

#[derive(Deserialize)]
struct ApplyData {
    contents: Vec<Control>,
}

impl Detail {
    pub(super) fn into_instance(self, offset: &UtcOffset) -> Result<Instance, ApiError> {
        let (status, ended_at) = (self.status(), self.ended_at());
        // Without it an approval of any age would count as a new one.
        if status == Status::Approved && ended_at.is_none() {
            return Err(ApiError::Shape { part: AnswerPart::EndTime });
        }
        Ok(Instance {
            status,
            ended_at,
            form_number: self.sp_no.clone(),
            instance_id: self.sp_no,
            definition_id: self.template_id,
            applicant: self.applyer.userid,
            form: form(self.apply_data.contents, offset),
            revokes: None,
        })
    }

    const fn status(&self) -> Status {
        match self.sp_status {
            sp_status::RUNNING => Status::Pending,
            sp_status::PASSED | sp_status::PAID => Status::Approved,
            sp_status::REFUSED | sp_status::DELETED => Status::Refused,
            sp_status::WITHDRAWN | sp_status::REVOKED => Status::Revoked,
            _ => Status::Unknown,
        }
    }

    /// WeCom does not say when an approval ended: it is the last decision of an approver, or the
    /// application if there is none.
    fn ended_at(&self) -> Option<Timestamp> {
        if self.sp_status == sp_status::RUNNING {
            return None;
        }
        let decisions = self.sp_record.iter().flat_map(|step| &step.details);
        let last = decisions.map(|detail| detail.sptime).max().unwrap_or_default();
        let seconds = last.max(self.apply_time);
        (seconds > 0).then(|| Timestamp::from_millis(seconds.saturating_mul(1_000)))
    }
}

/// The instance in a recorded answer, with or without the members around `info`.
pub(super) fn parse_instance(json: &str, offset: &UtcOffset) -> Result<Instance, Failure> {
    let detail = answer_or_part::<DetailAnswer, Detail>(json);
    let detail =
        detail.ok_or_else(|| ApiError::Shape { part: AnswerPart::Instance }.into_failure())?;
    detail.into_instance(offset).map_err(ApiError::into_failure)
}
