//! The answer to "获取单个审批实例详情".

use std::ops::Range;
use std::time::Duration;

use greenlight_core::flow::UtcOffset;
use greenlight_core::instance::{Instance, Status};
use greenlight_core::{Failure, Timestamp};
use serde::Deserialize;

use super::error::{AnswerPart, ApiError};
use super::form::{Component, form};
use crate::client_kind::answer_or_part;
use crate::nullable::null_is_default;

#[derive(Deserialize)]
pub(super) struct DetailAnswer {
    pub(super) result: Detail,
}

impl From<DetailAnswer> for Detail {
    fn from(answer: DetailAnswer) -> Self {
        answer.result
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Detail {
    /// `RUNNING`, `TERMINATED` (withdrawn before its end) or `COMPLETED`.
    status: String,
    /// `agree` or `refuse` at its end.
    #[serde(default, deserialize_with = "null_is_default")]
    result: String,
    /// `REVOKE` of an instance that revokes another one, `MODIFY` of one that changes it.
    #[serde(default, deserialize_with = "null_is_default")]
    biz_action: String,
    /// The instance that this one revokes or changes.
    #[serde(default, deserialize_with = "null_is_default")]
    main_process_instance_id: String,
    /// The instances that revoke or change this one.
    #[serde(default, deserialize_with = "null_is_default")]
    attached_process_instance_ids: Vec<String>,
    #[serde(default, deserialize_with = "null_is_default")]
    create_time: String,
    #[serde(default, deserialize_with = "null_is_default")]
    finish_time: String,
    #[serde(default, deserialize_with = "null_is_default")]
    originator_user_id: String,
    #[serde(default, deserialize_with = "null_is_default")]
    business_id: String,
    form_component_values: Vec<Component>,
}

impl Detail {
    /// Whether it was approved; it can be an application, a change or a revocation.
    pub(super) fn is_approved(&self) -> bool {
        self.status == "COMPLETED" && self.result == "agree"
    }

    /// Whether it revokes another instance, if it is approved.
    pub(super) fn is_revocation(&self) -> bool {
        self.biz_action == "REVOKE"
    }

    /// Whether it is the approved revocation of `instance_id`.
    pub(super) fn revokes(&self, instance_id: &str) -> bool {
        self.is_approved() && self.is_revocation() && self.main_process_instance_id == instance_id
    }

    /// The instances that revoke or change this one, the last first.
    pub(super) fn attached(&self) -> impl Iterator<Item = &str> {
        self.attached_process_instance_ids.iter().rev().map(String::as_str)
    }

    /// The minute in which it was created.
    pub(super) fn created_within(&self) -> Result<Range<Timestamp>, ApiError> {
        let part = AnswerPart::CreateTime;
        let from = moment(&self.create_time).ok_or(ApiError::Shape { part })?;
        Ok(from..from.plus(Duration::from_mins(1)))
    }

    /// When it ended.
    pub(super) fn ended_at(&self) -> Result<Timestamp, ApiError> {
        let part = AnswerPart::FinishTime;
        moment(&self.finish_time).ok_or(ApiError::Shape { part })
    }

    /// The instance `instance_id`: the detail names neither itself nor its definition.
    pub(super) fn into_instance(
        self,
        instance_id: &str,
        definition_id: &str,
        offset: &UtcOffset,
    ) -> Instance {
        let is_revocation = self.is_revocation();
        Instance {
            instance_id: instance_id.to_owned(),
            definition_id: definition_id.to_owned(),
            status: self.status(),
            ended_at: moment(&self.finish_time),
            applicant: self.originator_user_id,
            form_number: self.business_id,
            form: form(self.form_component_values, offset),
            revokes: is_revocation.then_some(self.main_process_instance_id),
        }
    }

    fn status(&self) -> Status {
        match (self.status.as_str(), self.result.as_str()) {
            ("COMPLETED", "agree") => Status::Approved,
            ("COMPLETED", "refuse") | ("TERMINATED", _) => Status::Refused,
            ("RUNNING", _) => Status::Pending,
            _ => Status::Unknown,
        }
    }
}

/// A moment without seconds, `2026-11-20T02:10Z`, or with them.
fn moment(text: &str) -> Option<Timestamp> {
    let minutes = text.strip_suffix('Z').filter(|rest| rest.len() == "2026-11-20T02:10".len());
    minutes.map_or_else(
        || Timestamp::of_moment(text),
        |minutes| Timestamp::of_moment(&format!("{minutes}:00Z")),
    )
}

/// The instance in a recorded answer, with or without the surrounding `result`. It names neither
/// itself nor its definition.
pub(super) fn parse_instance(json: &str, offset: &UtcOffset) -> Result<Instance, Failure> {
    let detail = answer_or_part::<DetailAnswer, Detail>(json);
    let detail =
        detail.ok_or_else(|| ApiError::Shape { part: AnswerPart::Instance }.into_failure())?;
    Ok(detail.into_instance("", "", offset))
}
