//! Checks that an answer has the type that its step expects; any other is never a success.

use std::collections::BTreeMap;

use greenlight_core::explain::Explain;
use http::header;
use thiserror::Error;

use super::answer::{Shape, TargetAnswer};
use super::connector::{AnswerType, Connector, Step};
use super::outcome::{RuleResult, may_pass};

/// Why an answer is rejected.
#[derive(Clone, Copy, Debug, Error, Explain)]
#[explain("answer")]
pub(super) enum Misfit {
    #[error("the answer is a web page: is this the API's address and port?")]
    WebPage,
    #[error("the answer is empty, but its data is needed")]
    Empty,
    #[error("the answer is not JSON")]
    NotJson,
    #[error("the answer is not XML")]
    NotXml,
    #[error("the answer is neither JSON nor XML")]
    NotData,
}

impl Connector {
    /// Returns the mismatch between `answer` and the expected type; `outcome` is the result by the
    /// step's rules.
    ///
    /// A web page says nothing about the subject, whatever its status; only transient statuses are
    /// left to the rules. The type does not matter for an answer that is retried, or that rejects
    /// the subject by its status.
    pub(super) fn misfit(
        &self,
        step: &Step,
        answer: &TargetAnswer,
        outcome: RuleResult,
    ) -> Option<Misfit> {
        let is_refusal = matches!(outcome, RuleResult::Retry | RuleResult::Fail);
        if answer.shape == Shape::WebPage && !(is_refusal && may_pass(answer.status)) {
            return Some(Misfit::WebPage);
        }
        let gives_a_reason = outcome == RuleResult::Fail && answer.status.is_success();
        if is_refusal && !gives_a_reason {
            return None;
        }
        match (answer.shape, self.expected(step)) {
            (Shape::Empty, _) => step.reads_answer(answer.status.as_u16()).then_some(Misfit::Empty),
            (Shape::WebPage, _) => Some(Misfit::WebPage),
            (Shape::Json, None | Some(AnswerType::Json))
            | (Shape::Xml, None | Some(AnswerType::Xml))
            | (_, Some(AnswerType::Text)) => None,
            (_, Some(AnswerType::Json)) => Some(Misfit::NotJson),
            (_, Some(AnswerType::Xml)) => Some(Misfit::NotXml),
            (_, None) => Some(Misfit::NotData),
        }
    }

    /// Returns the type that a step expects; `None` if it is not defined.
    fn expected(&self, step: &Step) -> Option<AnswerType> {
        let accepted = accepted(&step.headers).or_else(|| accepted(&self.auth.headers));
        let of_body = match (&step.json, &step.xml) {
            (Some(_), _) => Some(AnswerType::Json),
            (_, Some(_)) => Some(AnswerType::Xml),
            _ => None,
        };
        step.answer.or(accepted).or(of_body)
    }
}

/// Returns the type of an `Accept` header.
fn accepted(headers: &BTreeMap<String, String>) -> Option<AnswerType> {
    let is_accept = |name: &&String| name.eq_ignore_ascii_case(header::ACCEPT.as_str());
    let accept = headers.get(headers.keys().find(is_accept)?)?;
    if accept.contains("json") {
        Some(AnswerType::Json)
    } else if accept.contains("xml") {
        Some(AnswerType::Xml)
    } else {
        None
    }
}
