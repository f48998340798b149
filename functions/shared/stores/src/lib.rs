//! Queue, ledger and secret: on AWS, and in SQLite for one machine.
//!
//! | | AWS | one machine |
//! |---|---|---|
//! | queue, dead-letter queue | [`aws::SqsQueue`] | [`sqlite::Database`] |
//! | ledger | [`aws::DynamoLedger`] | [`sqlite::Database`] |
//! | secret | [`aws::SecretsManager`] | [`SecretFile`] |
//! | clock | [`SystemClock`] | [`SystemClock`] |
//! | flows | [`flows_text`] | [`flows_text`] |
//!
//! [`aws::minimal`] has queue and secret for the receiver, which calls AWS without the SDK.
//!
//! Each adapter is a cargo feature, so that a function carries what it uses and no more.

#[cfg(feature = "aws")]
pub mod aws;
mod clock;
mod flows_file;
pub mod private;
mod secret_file;
#[cfg(feature = "sqlite")]
pub mod sqlite;

pub use clock::SystemClock;
pub use flows_file::{BadFlowsFile, flow_variable, flows_of_function, flows_text, variable_in};
pub use secret_file::SecretFile;
