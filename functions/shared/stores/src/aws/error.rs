//! The reasons for which a store on AWS does not answer as expected.

use greenlight_core::explain::Explain;
use thiserror::Error;

/// A failed call to an AWS service. It never contains the request.
#[derive(Clone, Debug, Error, Explain, PartialEq, Eq)]
#[explain("aws")]
pub(super) enum AwsError {
    #[error("these credentials are not allowed {action}, or not the KMS key behind it: {message}")]
    Denied { action: &'static str, message: String },
    #[error("no answer in time")]
    Timeout,
    #[error("no credentials, or they cannot be loaded: does `aws sts get-caller-identity` work?")]
    NoCredentials,
    #[error("no connection")]
    NoConnection,
    #[error("{code}: {message}")]
    Service { code: String, message: String },
    #[error("the request could not be built")]
    NotBuilt,
    #[error("the answer could not be read")]
    Unreadable,
}

/// An item or an answer that cannot be used.
#[derive(Clone, Debug, Error, Explain, PartialEq, Eq)]
#[explain("table")]
pub(super) enum TableError {
    #[error(
        "the item `{pk}` has version {found}, and this greenlight reads version {expected}: a \
         table belongs to one edition of greenlight, so deploy a stack of its own"
    )]
    Version { pk: String, found: String, expected: i64 },
    #[error("the attribute `{name}` is not in greenlight's format")]
    Format { name: String },
    #[error("DynamoDB throttles the writes")]
    WritesThrottled,
    #[error("the writer of its batch was cancelled")]
    WriterCancelled,
    #[error("too many workers change the same item at the same moment")]
    Contended,
    #[error("it is binary data, not the documented JSON text")]
    BinarySecret,
}
