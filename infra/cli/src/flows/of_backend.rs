//! The flows of a stack or a data folder: those that run there, and whether a file is another one.

use greenlight_connectors::Connectors;
use greenlight_connectors::connector::ConnectorError;
use greenlight_core::Timestamp;
use greenlight_core::operator::StoreError;
use greenlight_stores::BadFlowsFile;
use thiserror::Error;

use super::Files;
use crate::backend::Backend;

/// The flows to look at for a backend.
#[derive(Clone, Debug)]
pub struct OfBackend {
    /// With the flows that run there, where no file was given.
    pub files: Files,
    /// Since when they run there; `None` before the first start, or when a file was given.
    pub since: Option<Timestamp>,
    /// What is not as it runs there: the flows that were given, or the connectors.
    pub differences: Vec<&'static str>,
}

/// The flows to look at for a backend: those of the file that was given, else those that run there.
/// A stack's parameter goes before what its worker kept when it started last.
///
/// # Errors
/// [`OfBackendError`] when the ledger or a file cannot be read.
pub async fn of_backend(backend: &Backend, mut files: Files) -> Result<OfBackend, OfBackendError> {
    let kept = backend.audit.deployed_flows().await?;
    let parameter = backend.flows_parameter();
    let running =
        parameter.map(str::to_owned).or_else(|| kept.as_ref().map(|kept| kept.text.clone()));
    if files.flows.is_none() {
        files.deployed.clone_from(&running);
    }
    let connectors = Connectors::built_in_and(files.connectors.as_deref())?.digest();
    let mut differences = Vec::new();
    let text = files.text()?;
    if running.as_ref().is_some_and(|running| *running != text) {
        differences.push("the flows of --flows");
    }
    if kept.as_ref().is_some_and(|kept| kept.connectors != connectors) {
        differences.push("the connectors of this command and --connectors-dir");
    }
    let since = kept.filter(|kept| kept.text == text).map(|kept| kept.since);
    Ok(OfBackend { files, since, differences })
}

impl OfBackend {
    /// What is not as it runs there, as a sentence; `None` where all is.
    #[must_use]
    pub fn warning(&self) -> Option<String> {
        let what = self.differences.join(" and ");
        (!what.is_empty())
            .then(|| format!("{what} are not those that run there (与已部署的配置不一致)"))
    }
}

/// The flows of a backend cannot be read.
#[derive(Debug, Error)]
pub enum OfBackendError {
    /// The ledger says no.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The file cannot be read.
    #[error(transparent)]
    File(#[from] BadFlowsFile),
    /// The connectors cannot be read.
    #[error(transparent)]
    Connectors(#[from] ConnectorError),
}
