//! The reasons for which an operation on a database fails.

use greenlight_core::explain::Explain;
use thiserror::Error;

use crate::template::TemplateError;

/// A failed operation on a database.
#[derive(Debug, Error, Explain)]
#[explain("sql")]
pub(super) enum SqlError {
    #[error("target `{target}` did not answer in time")]
    Timeout { target: String },
    #[error("target `{target}`: its `url` cannot be used")]
    BadUrl { target: String },
    #[error("target `{target}`: no connection to the database")]
    NoConnection { target: String },
    #[error("target `{target}`: the database answered with the error {code}")]
    Answered { target: String, code: String },
    #[error("target `{target}`: conflicts with other transactions ({code})")]
    Conflict { target: String, code: String },
    #[error("`{operation}` of {subject} at target `{target}` found no row")]
    NoRow { operation: String, subject: String, target: String },
    #[error("target `{target}`: {cause}")]
    Value { target: String, cause: ValueError },
    #[error("target `{target}`: a value cannot be bound: {cause}")]
    NotBound { target: String, cause: String },
}

/// A value that a statement cannot take.
#[derive(Debug, Error, Explain)]
#[explain("sql_value")]
pub(super) enum ValueError {
    #[error("`:{name}` contains a NUL character")]
    Nul { name: String },
    #[error("`:{name}` is not a single value")]
    NotSingle { name: String },
    #[error(transparent)]
    Template(#[from] TemplateError),
}
