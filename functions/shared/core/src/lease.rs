//! Leases: the exclusive right to work on something, for a limited time.

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::Timestamp;
use crate::explain::Explain;

/// The id of a lease, new for every attempt.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct LeaseId(String);

impl LeaseId {
    /// Draws 128 bits from the operating system's random number generator: two workers that start
    /// at the same moment, or from the same memory snapshot, must not draw the same id.
    ///
    /// # Errors
    /// [`getrandom::Error`] when the operating system returns none.
    pub fn random() -> Result<Self, getrandom::Error> {
        let mut bytes = [0; 16];
        getrandom::fill(&mut bytes)?;
        Ok(Self(format!("{:032x}", u128::from_be_bytes(bytes))))
    }

    /// The form in which stores keep it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&str> for LeaseId {
    fn from(name: &str) -> Self {
        Self(name.to_owned())
    }
}

/// The exclusive right to work on a request, for a limited time.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Lease {
    /// The id, drawn for the attempt that holds the lease.
    pub id: LeaseId,
    /// The moment at which it expires.
    pub until: Timestamp,
}

/// The lease has expired or another worker holds it; the command changed nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error, Explain)]
#[explain("lease_lost")]
#[error("the lease on the request is lost")]
pub struct LeaseLost;
