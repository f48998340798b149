//! Where greenlight runs: a stack on AWS, or a data folder of this machine. Every command works on
//! both.

mod aws;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use greenlight_admin::operator::Operator;
use greenlight_admin::stores::Stores;
use greenlight_core::explain::{Explain, Explanation};
use greenlight_core::flow::LedgerRule;
use greenlight_core::operator::{AuditReader, StoreError};
use greenlight_stores::aws::StackError;
use greenlight_stores::sqlite::{Database, OpenError};
use greenlight_stores::{SecretFile, flow_variable, variable_in};
use thiserror::Error;

use crate::secrets::Secrets;

/// The address of a backend.
#[derive(Clone, Debug)]
pub enum Address {
    /// The data folder of `greenlight serve`.
    Folder(PathBuf),
    /// A stack on AWS.
    Stack(StackAddress),
}

/// The name of the secret document in a data folder.
const SECRETS_FILE: &str = "secrets.json";

impl Address {
    /// The secret document of a data folder: `given`, or the one in the folder itself.
    #[must_use]
    pub fn secrets_file(&self, given: Option<PathBuf>) -> PathBuf {
        given.unwrap_or_else(|| match self {
            Self::Folder(folder) => folder.join(SECRETS_FILE),
            // A stack has its secret in Secrets Manager.
            Self::Stack(_) => PathBuf::from(SECRETS_FILE),
        })
    }
}

/// A stack on AWS. The defaults are those of the AWS CLI: `AWS_PROFILE`, `AWS_REGION`,
/// `AWS_ENDPOINT_URL`, the files in `~/.aws`.
#[derive(Clone, Debug, Default)]
pub struct StackAddress {
    /// Its name.
    pub stack: String,
    /// A profile of `~/.aws/config`.
    pub profile: Option<String>,
    pub region: Option<String>,
}

/// The backend cannot be opened.
#[derive(Debug, Error, Explain)]
#[explain("backend")]
pub enum BackendError {
    /// The database is absent, or not one of greenlight's.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// No region is configured.
    #[error("no region: set AWS_REGION, or name it with --region")]
    NoRegion,
    /// There is no such stack.
    #[error(transparent)]
    Stack(#[from] StackError),
    /// The flows that are deployed cannot be read: they say how long records are kept.
    #[error(transparent)]
    Flows(#[from] StoreError),
    /// Who acts is not known, and no act is done without a record of it.
    #[error("AWS does not tell whose credentials these are: {cause}")]
    Caller { cause: Explanation },
}

/// A data folder or a stack: its stores, and what is known of its deployment.
#[derive(Clone, Debug)]
pub struct Backend {
    pub stores: Stores,
    deployment: Deployment,
}

/// Outputs and parameters of a stack; a data folder has none.
#[derive(Clone, Debug, Default)]
struct Deployment {
    webhook_url: Option<String>,
    secrets: Option<Secrets>,
    parameters: HashMap<String, String>,
    /// Tells whose credentials are used.
    caller: Option<aws::Caller>,
}

/// How long the deployed flows keep records; before a worker has started, as long as by default.
async fn retention(audit: &dyn AuditReader) -> Result<Duration, StoreError> {
    let deployed = audit.deployed_flows().await?;
    Ok(deployed.map(|flows| LedgerRule::of_text(&flows.text)).unwrap_or_default().retention)
}

impl Backend {
    /// Opens the stores.
    ///
    /// # Errors
    /// [`BackendError`] says what is missing.
    pub async fn open(address: &Address) -> Result<Self, BackendError> {
        match address {
            Address::Folder(folder) => {
                let database = Database::open_beside(folder).await?;
                let retention = retention(&database).await?;
                Ok(database.keeping(retention).into())
            }
            Address::Stack(address) => aws::open(address).await,
        }
    }

    /// Who acts with this command: whose credentials are used, or which user of which host.
    ///
    /// # Errors
    /// [`BackendError::Caller`] when AWS does not tell.
    pub async fn operator(&self) -> Result<Operator, BackendError> {
        let who = match &self.deployment.caller {
            Some(caller) => caller.arn().await?,
            None => local_user(),
        };
        Ok(Operator { who, acts: Arc::clone(&self.stores.acts) })
    }

    /// The text of flows.toml as a parameter of the stack; `None` for a data folder, and where the
    /// flows were built in.
    #[must_use]
    pub fn flows_parameter(&self) -> Option<&str> {
        let text = self.deployment.parameters.get("Flows").map(String::as_str);
        text.filter(|text| !text.trim().is_empty())
    }

    /// The webhook URL for the office system's events; `None` for a data folder.
    #[must_use]
    pub fn webhook_url(&self) -> Option<&str> {
        self.deployment.webhook_url.as_deref()
    }

    /// The store of the secret; `file` for a data folder.
    #[must_use]
    pub fn secrets(&self, file: PathBuf) -> Secrets {
        self.deployment.secrets.clone().unwrap_or_else(|| Secrets::File(SecretFile::new(file)))
    }

    /// As [`Backend::variable`], for a backend that may not exist yet.
    #[must_use]
    pub fn variable_of(backend: Option<&Self>, name: &str) -> Option<String> {
        backend.map_or_else(|| flow_variable(name), |backend| backend.variable(name))
    }

    /// The value of a variable of the flows: the stack's parameter of that name or its entry in the
    /// parameter `FlowVariables`, else the variable of this process.
    #[must_use]
    pub fn variable(&self, name: &str) -> Option<String> {
        let words = name.split('_').map(|word| {
            let (first, rest) = word.split_at_checked(1).unwrap_or((word, ""));
            first.to_ascii_uppercase() + &rest.to_ascii_lowercase()
        });
        let parameters = &self.deployment.parameters;
        let own = parameters.get(&words.collect::<String>()).filter(|value| !value.is_empty());
        let listed = || variable_in(parameters.get("FlowVariables")?, name);
        let of_stack = own.cloned().or_else(listed).filter(|value| !value.is_empty());
        of_stack.or_else(|| flow_variable(name))
    }
}

/// The user and the host of this process: `li@host.example.com`.
pub(crate) fn local_user() -> String {
    let system = rustix::system::uname();
    let host = system.nodename().to_string_lossy().into_owned();
    let name = ["SUDO_USER", "USER", "LOGNAME"].iter().find_map(|name| flow_variable(name));
    let user = name.unwrap_or_else(|| format!("uid-{}", rustix::process::getuid().as_raw()));
    format!("{user}@{host}")
}

impl From<Database> for Backend {
    fn from(database: Database) -> Self {
        Self { stores: Stores::of(database), deployment: Deployment::default() }
    }
}
