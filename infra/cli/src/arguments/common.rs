//! Arguments that several commands have.

use std::path::PathBuf;

use clap::Args;
use clap::builder::{OsStringValueParser, TypedValueParser};

use crate::backend::{Address, StackAddress};
use crate::flows::Files;

/// A path, or nothing: variables are often exported without a value.
fn path() -> impl TypedValueParser<Value = PathBuf> {
    OsStringValueParser::new().map(PathBuf::from)
}

/// The backend: a stack on AWS, with your own credentials, or a data folder of this machine
#[derive(Args, Clone, Debug)]
#[group(skip)]
pub struct BackendArgs {
    /// The data folder of `greenlight serve` [default: .greenlight]; takes precedence over --stack
    #[arg(long, value_name = "FOLDER")]
    data_dir: Option<PathBuf>,
    /// A stack on AWS instead, by the name given to `sam deploy`
    #[arg(long, env = "GREENLIGHT_STACK", value_name = "NAME")]
    stack: Option<String>,
    /// A profile of ~/.aws/config, for --stack
    #[arg(long, value_name = "NAME", requires = "stack")]
    profile: Option<String>,
    /// The region, for --stack
    #[arg(long, value_name = "NAME", requires = "stack")]
    region: Option<String>,
}

impl BackendArgs {
    /// The stack or the folder, if one is named.
    #[must_use]
    pub fn named(self) -> Option<Address> {
        let is_named =
            self.data_dir.is_some() || self.stack.as_ref().is_some_and(|it| !it.is_empty());
        is_named.then(|| self.address())
    }

    /// The stack, if one is named, else the folder.
    #[must_use]
    pub fn address(self) -> Address {
        let (profile, region) = (self.profile, self.region);
        // An exported GREENLIGHT_STACK must not override a typed --data-dir.
        match (self.data_dir, self.stack.filter(|stack| !stack.is_empty())) {
            (None, Some(stack)) => Address::Stack(StackAddress { stack, profile, region }),
            (folder, _) => Address::Folder(folder.unwrap_or_else(|| PathBuf::from(".greenlight"))),
        }
    }
}

/// The configuration: flows and connectors
#[derive(Args, Clone, Debug)]
pub struct FlowFiles {
    /// The flows.toml to use; the built-in flows if left out
    #[arg(long, env = "FLOWS_FILE", value_name = "FILE", global = true, value_parser = path())]
    flows: Option<PathBuf>,
    /// The connectors
    #[command(flatten)]
    connectors: ConnectorFiles,
}

impl From<FlowFiles> for Files {
    fn from(FlowFiles { flows, connectors }: FlowFiles) -> Self {
        Self { flows: unless_empty(flows), connectors: connectors.folder(), deployed: None }
    }
}

/// The connectors that stand in a folder of the user's
#[derive(Args, Clone, Debug)]
pub struct ConnectorFiles {
    /// A folder of connectors, besides those that are built in
    #[arg(
        long,
        env = "CONNECTORS_DIR",
        value_name = "FOLDER",
        global = true,
        value_parser = path()
    )]
    connectors_dir: Option<PathBuf>,
}

impl ConnectorFiles {
    /// The folder; an empty path counts as none.
    #[must_use]
    pub fn folder(self) -> Option<PathBuf> {
        unless_empty(self.connectors_dir)
    }
}

/// A path as given; one from an environment variable that is empty counts as none.
fn unless_empty(path: Option<PathBuf>) -> Option<PathBuf> {
    path.filter(|path| !path.as_os_str().is_empty())
}

/// The secret document
#[derive(Args, Clone, Debug)]
pub struct SecretsFile {
    /// The secret document, JSON [default: secrets.json in the data folder]; with --stack the
    /// secret is in Secrets Manager
    #[arg(long, value_name = "FILE")]
    pub secrets: Option<PathBuf>,
}

/// The source
#[derive(Args, Clone, Debug)]
pub struct SourceArg {
    /// The source, as `[sources.NAME]` in flows.toml [default: the default source]
    #[arg(long, value_name = "NAME")]
    pub source: Option<String>,
}

/// Rejects an empty text.
pub(crate) fn not_empty(text: &str) -> Result<String, String> {
    let text = text.trim();
    if text.is_empty() { Err("must not be empty".to_owned()) } else { Ok(text.to_owned()) }
}
