//! The flows of a backend: the deployed ones, and whether given files differ from them.

use greenlight_connectors::Connectors;
use greenlight_connectors::connector::ConnectorError;
use greenlight_core::Timestamp;
use greenlight_core::explain::Explain;
use greenlight_core::operator::StoreError;
use greenlight_stores::BadFlowsFile;
use thiserror::Error;

use super::Files;
use crate::backend::Backend;

/// The flows to look at for a backend.
#[derive(Clone, Debug)]
pub struct OfBackend {
    /// The files, with the deployed flows if no file was given.
    pub files: Files,
    /// The start of the deployment; `None` before it, or if a file was given that differs.
    pub since: Option<Timestamp>,
    /// The difference from the deployment.
    pub difference: Option<Difference>,
}

/// The flows to look at for a backend: those of the given file, else the deployed ones. A stack's
/// parameter takes precedence over the flows that its worker recorded at its last start.
///
/// # Errors
/// [`OfBackendError`] when the ledger or a file cannot be read.
pub async fn of_backend(backend: &Backend, mut files: Files) -> Result<OfBackend, OfBackendError> {
    let kept = backend.stores.audit.deployed_flows().await?;
    let parameter = backend.flows_parameter();
    let running =
        parameter.map(str::to_owned).or_else(|| kept.as_ref().map(|kept| kept.text.clone()));
    if files.flows.is_none() {
        files.deployed.clone_from(&running);
    }
    let connectors = Connectors::built_in_and(files.connectors.as_deref())?.digest();
    let text = files.text()?;
    let has_other_flows = running.as_ref().is_some_and(|running| *running != text);
    let has_other_connectors = kept.as_ref().is_some_and(|kept| kept.connectors != connectors);
    let difference = match (has_other_flows, has_other_connectors) {
        (false, false) => None,
        (true, false) => Some(Difference::Flows),
        (false, true) => Some(Difference::Connectors),
        (true, true) => Some(Difference::Both),
    };
    let since = kept.filter(|kept| kept.text == text).map(|kept| kept.since);
    Ok(OfBackend { files, since, difference })
}

/// The difference of the given files from the deployment.
#[derive(Clone, Copy, Debug, Error, Explain, PartialEq, Eq)]
#[explain("difference")]
pub enum Difference {
    /// The flows differ.
    #[error("the flows of --flows differ from the deployed ones")]
    Flows,
    /// The connectors differ.
    #[error("the connectors of this command and --connectors-dir differ from the deployed ones")]
    Connectors,
    /// Both differ.
    #[error(
        "the flows of --flows, and the connectors of this command and --connectors-dir, differ \
         from the deployed ones"
    )]
    Both,
}

/// The flows of a backend cannot be read.
#[derive(Debug, Error, Explain)]
#[explain("of_backend")]
pub enum OfBackendError {
    /// The ledger cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The file cannot be read.
    #[error(transparent)]
    File(#[from] BadFlowsFile),
    /// The connectors cannot be read.
    #[error(transparent)]
    Connectors(#[from] ConnectorError),
}
