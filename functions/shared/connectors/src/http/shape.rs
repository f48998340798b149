//! Checks that an answer has the type that its step expects; any other is never a success.

use std::collections::BTreeMap;

use http::header;

use super::answer::{Shape, TargetAnswer};
use super::connector::{AnswerType, Connector, Step};
use super::outcome::{RuleResult, may_pass};

/// Why an answer is rejected, in words for people.
pub(super) type Misfit = &'static str;

const WEB_PAGE: Misfit = "the answer is a web page: is this the API's address and port? (返回的是网页，请检查地址和端口是否为 API)";
const EMPTY: Misfit = "the answer is empty, but its data is needed (返回内容为空)";
const NOT_JSON: Misfit = "the answer is not JSON";
const NOT_XML: Misfit = "the answer is not XML";
const NOT_DATA: Misfit = "the answer is neither JSON nor XML";

impl Connector {
    /// Returns the mismatch between `answer` and the expected type; `outcome` is the result by the
    /// step's rules.
    ///
    /// A web page says nothing about the device, whatever its status; only transient statuses are
    /// left to the rules. The type does not matter for an answer that is retried, or that rejects
    /// the device by its status.
    pub(super) fn misfit(
        &self,
        step: &Step,
        answer: &TargetAnswer,
        outcome: RuleResult,
    ) -> Option<Misfit> {
        let is_refusal = matches!(outcome, RuleResult::Retry | RuleResult::Fail);
        if answer.shape == Shape::WebPage && !(is_refusal && may_pass(answer.status)) {
            return Some(WEB_PAGE);
        }
        let gives_a_reason = outcome == RuleResult::Fail && answer.status.is_success();
        if is_refusal && !gives_a_reason {
            return None;
        }
        match (answer.shape, self.expected(step)) {
            (Shape::Empty, _) => step.reads_answer(answer.status.as_u16()).then_some(EMPTY),
            (Shape::WebPage, _) => Some(WEB_PAGE),
            (Shape::Json, None | Some(AnswerType::Json))
            | (Shape::Xml, None | Some(AnswerType::Xml))
            | (_, Some(AnswerType::Text)) => None,
            (_, Some(AnswerType::Json)) => Some(NOT_JSON),
            (_, Some(AnswerType::Xml)) => Some(NOT_XML),
            (_, None) => Some(NOT_DATA),
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
