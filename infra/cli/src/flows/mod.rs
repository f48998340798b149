//! `greenlight flows`: validates flows.toml, and plans without sending.

mod dry_run;
mod of_backend;
mod place;

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fmt;
use std::path::PathBuf;

use greenlight_connectors::connector::ConnectorError;
use greenlight_connectors::{Connectors, Setup};
use greenlight_core::explain::{Explain, Explanation};
use greenlight_core::flow::{self, Action, Flow, Flows, FlowsError, SourceConfigs, Target};
use greenlight_core::names::{MissingName, NamesInUse};
use greenlight_core::secret::SecretError;
use greenlight_core::{Decision, Timestamp, ValidationErrors};
use greenlight_render::language::Language;
use greenlight_render::text;
use greenlight_runtime::{Configuration, StartError};
use greenlight_sources::registry::Registry;
use greenlight_stores::{BadFlowsFile, flow_variable, flows_text};
use thiserror::Error;

use crate::backend::Backend;
use crate::secrets::{Field, Section};
use crate::sources::NoSuchSource;

pub use dry_run::{DryEffect, DryRun, dry_run, render_dry_run};
pub use of_backend::{Difference, OfBackend, OfBackendError, of_backend};

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
    /// The name of the file of flows, in errors.
    fn name(&self) -> String {
        match (&self.flows, &self.deployed) {
            (Some(path), _) => path.display().to_string(),
            (None, Some(_)) => "flows.toml".to_owned(),
            (None, None) => "infra/flows.toml".to_owned(),
        }
    }

    fn text(&self) -> Result<String, BadFlowsFile> {
        let built_in = self.deployed.as_deref();
        flows_text(self.flows.as_deref(), built_in.unwrap_or(include_str!("../../../flows.toml")))
    }
}

/// The flows are wrong, or the instance cannot be planned.
#[derive(Debug, Error, Explain)]
#[explain("plan")]
pub enum FlowsProblem {
    /// The file cannot be read.
    #[error(transparent)]
    File(#[from] BadFlowsFile),
    /// The connectors cannot be read or used.
    #[error(transparent)]
    Connectors(#[from] ConnectorError),
    /// The file is wrong.
    #[error("the flows are wrong:\n{0}")]
    Wrong(LocatedErrors),
    /// No flow has that name.
    #[error("there is no flow `{name}`; there is: {known}")]
    NoFlow {
        name: String,
        /// The names that are there.
        known: String,
    },
    /// The instance cannot be read from its file.
    #[error("{file}: {problem}")]
    Instance {
        file: String,
        /// Why.
        problem: Explanation,
    },
    /// The instance cannot be read at its source.
    #[error("the instance cannot be read: {0}")]
    Unread(Explanation),
    /// Targets or the office system cannot be set up.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The source of a flow is not configured.
    #[error(transparent)]
    Source(#[from] NoSuchSource),
    /// A request cannot be rendered.
    #[error("{0}")]
    NotPlanned(Explanation),
    /// The secret cannot be read.
    #[error(transparent)]
    Secret(#[from] SecretError),
}

/// An error in `flows.toml`, with its line.
#[derive(Clone, Debug, Error, Explain)]
#[explain("located")]
#[error("{file}:{line}: {problem}")]
pub struct LocatedError {
    file: String,
    /// Counted from 1.
    line: usize,
    problem: Explanation,
}

/// All errors in `flows.toml`, a line each.
#[derive(Clone, Debug)]
pub struct LocatedErrors(ValidationErrors<LocatedError>);

impl fmt::Display for LocatedErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#}", self.0)
    }
}

impl Explain for LocatedErrors {
    fn explain(&self) -> Explanation {
        Explanation::lines(self.0.iter().map(Explain::explain).collect())
    }
}

/// Valid flows, with their setup.
pub(crate) struct Checked {
    pub(crate) flows: Flows,
    pub(crate) sources: Registry,
    pub(crate) setup: Setup,
    /// Variables that are not set here.
    pub(crate) unset: BTreeSet<String>,
}

/// A line about variables that are not set here; nothing if there are none.
fn render_unset(unset: &[String], language: Language) -> String {
    if unset.is_empty() {
        return String::new();
    }
    text!(
        language,
        "not set here, assumed to be set where greenlight runs: {names}\n",
        "此处未设置，假定运行环境中已设置：{names}\n",
        names = unset.join(", ")
    )
}

/// Valid flows, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckedFlows {
    pub flows: Vec<CheckedFlow>,
    /// The credentials that the secret must hold: `targets.nac.token`.
    pub credentials: Vec<String>,
    /// The weak settings, by source.
    pub warnings: Vec<(String, Explanation)>,
    /// Variables that are not set here.
    pub unset: Vec<String>,
    /// Whether they are the ones that the command has built in.
    pub is_built_in: bool,
}

/// A valid flow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckedFlow {
    pub name: String,
    /// The office system.
    pub source: String,
    /// The approval definition.
    pub definition_id: String,
    /// The decision that starts it.
    pub decision: Decision,
    pub actions: Vec<CheckedAction>,
}

/// An action of a valid flow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckedAction {
    pub operation: String,
    pub target: String,
    pub connector: String,
    pub url: String,
    /// The field with the subjects; `None` for once per approval.
    pub for_each: Option<String>,
}

/// Checks the flows and their connectors, and lists the credentials they need.
///
/// # Errors
/// [`FlowsProblem::Wrong`] with file and line of each error.
pub fn check(files: &Files) -> Result<CheckedFlows, FlowsProblem> {
    let checked = read(files)?;
    let credentials = credentials(&checked).iter().map(Field::path).collect();
    let Checked { flows, sources, unset, .. } = checked;
    let action = |action: &Action| {
        let Target { connector, url, .. } = &flows.targets[&action.target];
        CheckedAction {
            operation: action.operation.clone(),
            target: action.target.clone(),
            connector: connector.clone(),
            url: url.clone(),
            for_each: action.for_each.clone(),
        }
    };
    let flow = |flow: &Flow| CheckedFlow {
        name: flow.name.clone(),
        source: flow.source.clone(),
        definition_id: flow.definition_id.clone(),
        decision: flow.on,
        actions: flow.actions.iter().map(action).collect(),
    };
    let warnings = sources.warnings();
    Ok(CheckedFlows {
        flows: flows.flows.iter().map(flow).collect(),
        credentials,
        warnings: warnings.map(|(name, it)| (name.to_owned(), it.explain())).collect(),
        unset: unset.into_iter().collect(),
        is_built_in: files.flows.is_none() && files.deployed.is_none(),
    })
}

/// Checks that valid flows have every name that held access refers to.
///
/// # Errors
/// [`FlowsProblem::Wrong`] with each name that is missing.
pub fn check_names(files: &Files, names: &NamesInUse) -> Result<(), FlowsProblem> {
    let Checked { flows, .. } = read(files)?;
    let text = files.text()?;
    let located = |missing: MissingName| LocatedError {
        file: files.name(),
        line: place::line_of(&text, &[missing.section()], false),
        problem: missing.explain(),
    };
    let missing = names.missing_in(&flows).into_iter().map(located).collect();
    ValidationErrors::into_result(missing).map_err(|it| FlowsProblem::Wrong(LocatedErrors(it)))
}

/// Renders valid flows.
#[must_use]
pub fn render_checked(checked: &CheckedFlows, language: Language) -> String {
    let mut lines = Vec::new();
    for CheckedFlow { name, source, definition_id, decision, actions } in &checked.flows {
        let decision = language.explain(&decision.explain());
        lines.push(text!(
            language,
            "flow {name}: {source} {definition_id} {decision}\n",
            "流程 {name}：{source} {definition_id} {decision}\n"
        ));
        for CheckedAction { operation, target, connector, url, for_each } in actions {
            lines.push(match for_each {
                Some(for_each) => text!(
                    language,
                    "  {operation} at {target} ({connector}, {url}), for each {for_each}\n",
                    "  在 {target}（{connector}，{url}）执行 {operation}，逐个处理 {for_each}\n"
                ),
                None => text!(
                    language,
                    "  {operation} at {target} ({connector}, {url}), once per approval\n",
                    "  在 {target}（{connector}，{url}）执行 {operation}，每个审批一次\n"
                ),
            });
        }
    }
    if !checked.credentials.is_empty() {
        lines.push(text!(
            language,
            "the secret must hold: {names}\n",
            "密钥须包含：{names}\n",
            names = checked.credentials.join(", ")
        ));
    }
    for (source, warning) in &checked.warnings {
        let warning = language.explain(warning);
        lines.push(text!(
            language,
            "warning: source {source}: {warning}\n",
            "警告：来源 {source}：{warning}\n"
        ));
    }
    lines.push(render_unset(&checked.unset, language));
    let valid = if checked.is_built_in {
        language.pick(
            "The built-in flows are valid; --flows FILE validates a file of yours.\n",
            "内置的流程有效；要校验自己的文件，请用 --flows FILE。\n",
        )
    } else {
        language.pick("flows.toml is valid.\n", "flows.toml 有效。\n")
    };
    lines.push(valid.to_owned());
    lines.concat()
}

/// The credentials that sources and targets need.
pub(crate) fn credentials(checked: &Checked) -> Vec<Field> {
    let of_sources = checked.sources.credentials();
    let of_sources = of_sources.map(|(source, key)| Field::new(Section::Sources, source, key));
    let of_targets = checked.setup.credentials();
    let of_targets = of_targets.map(|(target, key)| Field::new(Section::Targets, target, &key));
    of_sources.chain(of_targets).collect()
}

/// The sources in the flows, whatever else is in them, with the values of variables from `known`.
///
/// # Errors
/// [`FlowsProblem`] when the sources are wrong.
pub fn sources(
    files: &Files,
    known: &dyn Fn(&str) -> Option<String>,
) -> Result<Registry, FlowsProblem> {
    let environment = |name: &str| known(name).or_else(|| Some(flow::stand_in(name)));
    let sources = SourceConfigs::parse(&files.text()?, &environment).map_err(StartError::from)?;
    Ok(Registry::new(&sources).map_err(StartError::from)?)
}

/// The targets with their connectors, of the given flows, else of those that are deployed at the
/// backend.
///
/// # Errors
/// [`FlowsProblem`] when they cannot be read, or are wrong.
pub(crate) async fn setup_of(backend: &Backend, files: Files) -> Result<Setup, SetupProblem> {
    let files = of_backend(backend, files).await?.files;
    Ok(read_with(&files, &|name| Backend::variable_of(Some(backend), name))?.setup)
}

/// The targets of a backend cannot be read.
#[derive(Debug, Error, Explain)]
#[explain("setup_of")]
pub(crate) enum SetupProblem {
    /// The deployed flows cannot be read.
    #[error(transparent)]
    Backend(#[from] OfBackendError),
    /// They are wrong.
    #[error(transparent)]
    Flows(#[from] FlowsProblem),
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
    let name = files.name();
    let located = |line, problem| LocatedError { file: name.clone(), line, problem };
    let at = |place: &[&str], is_in_last, problem| {
        located(place::line_of(&text, place, is_in_last), problem)
    };
    let read = Configuration::parse(text.clone(), &connectors, &environment, Timestamp::default());
    match read {
        Ok(Configuration { flows, sources, setup, .. }) => {
            Ok(Checked { flows, sources, setup, unset: unset.into_inner() })
        }
        Err(StartError::Flows(errors)) => {
            Err(FlowsProblem::Wrong(LocatedErrors(errors.map(|error| match error {
                FlowsError::Toml { line, .. } => located(line, error.explain()),
                error => {
                    let is_in_last = place::is_in_last_flow(&error);
                    at(&place::in_flows(&error), is_in_last, error.explain())
                }
            }))))
        }
        Err(StartError::Sources(errors)) => Err(FlowsProblem::Wrong(LocatedErrors(
            errors.map(|error| at(&["sources", error.source_name()], false, error.explain())),
        ))),
        Err(StartError::Setup(errors)) => {
            let flows = Flows::parse(&text, &environment).map_err(StartError::from)?;
            Err(FlowsProblem::Wrong(LocatedErrors(
                errors.map(|error| at(&place::in_setup(&error, &flows), false, error.explain())),
            )))
        }
        Err(error) => Err(error.into()),
    }
}
