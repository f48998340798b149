//! The SQL action: changes records in some system's database. How is data, as with the HTTP
//! connector.

mod connector;
#[cfg(feature = "act")]
mod databases;
mod statement;

pub(crate) use connector::secret_keys;
pub use connector::{SqlConnector, SqlOperation, refuse_file};
#[cfg(feature = "act")]
pub use databases::{Databases, StatementPreview};
pub use statement::Statement;
