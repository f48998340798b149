//! `greenlight flows`: validates flows.toml, and plans without sending.

mod dry_run;
mod of_backend;
mod place;

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::path::PathBuf;

use greenlight_connectors::connector::ConnectorError;
use greenlight_connectors::{Connectors, Setup};
use greenlight_core::flow::{self, Action, Flow, Flows, FlowsError};
use greenlight_core::secret::SecretError;
use greenlight_core::{Reason, Timestamp, ValidationErrors};
use greenlight_runtime::{Configuration, StartError};
use greenlight_stores::{BadFlowsFile, flow_variable, flows_text};
use thiserror::Error;

pub use dry_run::{DryEffect, DryRun, Feishu, dry_run, render_dry_run};
pub use of_backend::{OfBackend, OfBackendError, of_backend};

/// Appends a line to a text.
macro_rules! say {
    ($text:expr, $($line:tt)*) => {{
        $text.push_str(&format!($($line)*));
        $text.push('\n');
    }};
}
use say;

/// The configuration files.
#[derive(Clone, Debug, Default)]
pub struct Files {
    /// `flows.toml`; if left out the deployed flows, else the built-in ones.
    pub flows: Option<PathBuf>,
    /// The text of the flows that are deployed at the backend.
    pub deployed: Option<String>,
    /// A folder of connectors, besides those that are built in.
    pub connectors: Option<PathBuf>,
}

impl Files {
    fn text(&self) -> Result<String, BadFlowsFile> {
        let built_in = self.deployed.as_deref();
        flows_text(self.flows.as_deref(), built_in.unwrap_or(include_str!("../../../flows.toml")))
    }
}

/// The flows are wrong, or the instance cannot be planned.
#[derive(Debug, Error)]
pub enum FlowsProblem {
    /// The file cannot be read.
    #[error(transparent)]
    File(#[from] BadFlowsFile),
    /// The connectors cannot be read or used.
    #[error(transparent)]
    Connectors(#[from] ConnectorError),
    /// The file is wrong.
    #[error("the flows are wrong (配置有误):\n{0:#}")]
    Wrong(ValidationErrors<LocatedError>),
    /// No flow has that name.
    #[error("there is no flow `{name}`; there is: {known}")]
    NoFlow {
        /// The name.
        name: String,
        /// The names that are there.
        known: String,
    },
    /// The instance cannot be read from its file.
    #[error("{file}: {problem}")]
    Instance {
        /// The file.
        file: String,
        /// Why.
        problem: String,
    },
    /// The instance cannot be read from Feishu.
    #[error("the instance cannot be read: {0}")]
    Unread(Reason),
    /// Targets or the office system cannot be set up.
    #[error(transparent)]
    Start(#[from] StartError),
    /// A request cannot be rendered.
    #[error("{0}")]
    NotPlanned(Reason),
    /// The secret cannot be read.
    #[error(transparent)]
    Secret(#[from] SecretError),
}

/// An error in `flows.toml`, with its line.
#[derive(Clone, Debug, Error)]
#[error("{file}:{line}: {problem}")]
pub struct LocatedError {
    file: String,
    /// Counted from 1.
    line: usize,
    problem: String,
}

/// Valid flows, with their setup.
pub(crate) struct Checked {
    pub(crate) flows: Flows,
    pub(crate) setup: Setup,
    /// Variables that are not set here.
    pub(crate) unset: BTreeSet<String>,
}

/// A line about variables that are not set here, if there are any.
fn taken_for_granted(unset: &[String]) -> String {
    if unset.is_empty() {
        return String::new();
    }
    format!("not set here, and taken for granted: {}\n", unset.join(", "))
}

/// Checks the flows and their connectors, and lists the credentials they need.
///
/// # Errors
/// [`FlowsProblem::Wrong`] with file and line of each error.
pub fn check(files: &Files) -> Result<String, FlowsProblem> {
    let checked = read(files)?;
    let mut text = String::new();
    for flow in &checked.flows.flows {
        let Flow { name, source, definition_id, on: decision, .. } = flow;
        say!(text, "flow {name}: {source} {definition_id} {decision}");
        for action in &flow.actions {
            let target = &checked.flows.targets[&action.target];
            let Action { operation, target: name, for_each, .. } = action;
            say!(
                text,
                "  {operation} at {name} ({}, {}), for each {for_each}",
                target.connector,
                target.url
            );
        }
    }
    let credentials = checked.setup.credentials();
    let credentials: Vec<_> =
        credentials.map(|(target, key)| format!("targets.{target}.{key}")).collect();
    if !credentials.is_empty() {
        say!(text, "the secret must hold: {}", credentials.join(", "));
    }
    text.push_str(&taken_for_granted(&Vec::from_iter(checked.unset)));
    say!(text, "right. 正确。");
    Ok(text)
}

/// The credentials that the flows need, as target and key, with the values of variables from
/// `known`.
///
/// # Errors
/// [`FlowsProblem`] when the flows are wrong.
pub fn credentials(
    files: &Files,
    known: &dyn Fn(&str) -> Option<String>,
) -> Result<Vec<(String, String)>, FlowsProblem> {
    let checked = read_with(files, known)?;
    let credentials = checked.setup.credentials();
    Ok(credentials.map(|(target, key)| (target.to_owned(), key)).collect())
}

/// The JSON Schema of flows.toml, for editors.
#[must_use]
pub fn schema() -> String {
    format!("{:#}\n", greenlight_core::flow::schema())
}

fn read(files: &Files) -> Result<Checked, FlowsProblem> {
    read_with(files, &flow_variable)
}

/// As [`read`], with the values of variables from `known`.
pub(crate) fn read_with(
    files: &Files,
    known: &dyn Fn(&str) -> Option<String>,
) -> Result<Checked, FlowsProblem> {
    let text = files.text()?;
    let connectors = Connectors::built_in_and(files.connectors.as_deref())?;
    let unset = RefCell::new(BTreeSet::new());
    let environment = |variable: &str| {
        Some(known(variable).unwrap_or_else(|| {
            unset.borrow_mut().insert(variable.to_owned());
            flow::stand_in(variable)
        }))
    };
    let name = match (&files.flows, &files.deployed) {
        (Some(path), _) => path.display().to_string(),
        (None, Some(_)) => "flows.toml, as deployed".to_owned(),
        (None, None) => "infra/flows.toml".to_owned(),
    };
    let located = |line, problem| LocatedError { file: name.clone(), line, problem };
    let at = |place: &[&str], problem| located(place::line_of(&text, place), problem);
    let read = Configuration::parse(text.clone(), &connectors, &environment, Timestamp::default());
    match read {
        Ok(Configuration { flows, setup, .. }) => {
            Ok(Checked { flows, setup, unset: unset.into_inner() })
        }
        Err(StartError::Flows(errors)) => {
            Err(FlowsProblem::Wrong(errors.map(|error| match error {
                FlowsError::Toml { line, problem } => located(line, problem),
                error => at(&place::in_flows(&error), error.to_string()),
            })))
        }
        Err(StartError::Setup(errors)) => {
            let flows = Flows::parse(&text, &environment).map_err(StartError::from)?;
            Err(FlowsProblem::Wrong(
                errors.map(|error| at(&place::in_setup(&error, &flows), error.to_string())),
            ))
        }
        Err(error) => Err(error.into()),
    }
}
