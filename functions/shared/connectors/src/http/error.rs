//! The reasons for which a call to an HTTP target fails.

use greenlight_core::explain::{Explain, Explanation};
use greenlight_core::ports::{Call, HttpError};
use thiserror::Error;

use super::connector::Step;
use super::render::RenderError;
use super::shape::Misfit;

/// A failed call to a target.
#[derive(Debug, Error, Explain)]
#[explain("call")]
pub(super) enum CallError {
    #[error("target `{target}` had no permit for another call in time")]
    NoPermit { target: String },
    #[error("operation `{operation}` of target `{target}` captured no `document`")]
    NoDocument { target: String, operation: String },
    #[error("target `{target}` does not show the subject after `{operation}`")]
    NotShown { target: String, operation: String },
    #[error("target `{target}`: its URL is not usable: {cause}")]
    UrlNotUsable { target: String, cause: http::Error },
    #[error("{at}: {cause}")]
    NotRendered { at: StepAt, cause: RenderError },
    #[error("target `{target}`: `auth` cannot be used: {cause}")]
    AuthNotUsable { target: String, cause: RenderError },
    #[error("target `{target}`: {cause}")]
    NoAnswer { target: String, cause: HttpError },
    #[error("target `{target}`: the answer is larger than 512 KiB")]
    TooLarge { target: String },
    #[error("target `{target}` rejected the credentials (HTTP {status})")]
    Unauthorized { target: String, status: u16 },
    #[error("{at} could not be started in time")]
    NotStarted { at: OperationAt },
    #[error("{at} did not finish before the deadline")]
    NotFinished { at: OperationAt },
    #[error("{at} did not finish after 200 answers")]
    Endless { at: OperationAt },
    #[error("{at} was answered HTTP {status}")]
    Answered { at: OperationAt, status: u16 },
    #[error("{at} was answered HTTP {status}: {reason}")]
    AnsweredWith { at: OperationAt, status: u16, reason: Explanation },
}

/// A failed login.
#[derive(Debug, Error, Explain)]
#[explain("login")]
pub(super) enum LoginError {
    #[error("target `{target}`: the login has a rule that fails")]
    Rule { target: String },
    #[error("target `{target}`: the login was answered HTTP {status}")]
    Answered { target: String, status: u16 },
    #[error("target `{target}`: the login was answered HTTP {status}: {misfit}")]
    Misfit { target: String, status: u16, misfit: Misfit },
    #[error("target `{target}`: the login returned no `{name}`")]
    NotCaptured { target: String, name: String },
    #[error("target `{target}`: the login has a bad `expires_in`")]
    ExpiresIn { target: String },
}

/// A step of a target's operation, or the only one.
#[derive(Debug, Error, Explain)]
#[explain("step")]
pub(super) enum StepAt {
    #[error("target `{target}`")]
    Only { target: String },
    #[error("target `{target}`, step `{step}`")]
    Named { target: String, step: String },
}

impl StepAt {
    pub(super) fn of(target: &str, step: &Step) -> Self {
        let target = target.to_owned();
        match step.name.as_str() {
            "" => Self::Only { target },
            step => Self::Named { target, step: step.to_owned() },
        }
    }
}

/// An operation at a target.
#[derive(Debug, Error, Explain)]
#[explain("operation")]
pub(super) enum OperationAt {
    #[error("`{operation}` of {subject} at {step}")]
    Subject { operation: String, subject: String, step: StepAt },
    #[error("`{operation}` at {step}")]
    Once { operation: String, step: StepAt },
}

impl OperationAt {
    /// The operation of `call`, with its subject masked.
    pub(super) fn of(call: &Call<'_>, step: &Step) -> Self {
        let (operation, step) = (call.operation.to_owned(), StepAt::of(call.target, step));
        match call.subject {
            Some(subject) => Self::Subject { operation, subject: subject.masked(), step },
            None => Self::Once { operation, step },
        }
    }
}
