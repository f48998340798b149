//! Changes records in databases. The statements are data, as the requests of the HTTP connector
//! are.

mod connector;
#[cfg(feature = "act")]
mod databases;
#[cfg(feature = "act")]
mod error;
mod statement;

pub(crate) use connector::secret_keys;
pub use connector::{SqlConnector, SqlOperation, refuse_file};
#[cfg(feature = "act")]
pub use databases::{Databases, StatementPreview};
pub use statement::Statement;
