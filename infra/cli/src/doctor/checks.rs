//! The results of the checks, and their texts.

use greenlight_core::explain::{Explain, Explanation};
use greenlight_render::format::{OutputFormat, lines, padded};
use serde_json::json;
use thiserror::Error;

use crate::flows::Difference;

/// What was checked.
#[derive(Clone, Debug, Error, Explain, PartialEq, Eq)]
#[explain("check")]
pub enum CheckName {
    /// The data folder of a backend on this machine.
    #[error("data folder")]
    DataFolder,
    /// The stack of a backend on AWS.
    #[error("stack")]
    Stack,
    /// Its queue and ledger.
    #[error("queue and ledger")]
    Stores,
    /// The flows that its worker runs with.
    #[error("deployed flows")]
    DeployedFlows,
    /// The flows that were given, else the deployed ones.
    #[error("flows")]
    Flows,
    /// The names that held access refers to.
    #[error("names")]
    Names,
    #[error("secret")]
    Secret,
    /// The clock of this machine.
    #[error("clock")]
    Clock,
    /// The clients of the office systems.
    #[error("sources")]
    Sources,
    /// An office system.
    #[error("source {name}")]
    Source {
        /// Its name in `flows.toml`.
        name: String,
    },
    /// An approval definition.
    #[error("approval {code}")]
    Approval {
        /// The definition.
        code: String,
    },
    /// All targets.
    #[error("targets")]
    Targets,
    #[error("target {name}")]
    Target {
        /// Its name in `flows.toml`.
        name: String,
    },
}

/// The finding of a check.
#[derive(Clone, Debug, Error, Explain, PartialEq, Eq)]
#[explain("found")]
pub enum Finding {
    /// There was no `serve` yet.
    #[error("no database yet: the first `greenlight serve` creates it")]
    NoFolderYet,
    #[error("reachable, {dead} dead letter(s)")]
    StoresAnswer {
        /// The number of dead letters.
        dead: u64,
    },
    /// The flows are those that run.
    #[error("as checked, since {since}")]
    AsDeployed {
        /// The start of the deployment.
        since: String,
    },
    /// No worker has recorded its flows.
    #[error("no worker has started with them yet")]
    NotStarted,
    /// The flows differ.
    #[error("{0}")]
    Differs(Difference),
    /// The flows are valid.
    #[error("right, {count} flow(s)")]
    FlowsRight {
        /// The number of flows.
        count: usize,
    },
    /// Variables are missing.
    #[error("set {names}")]
    Unset {
        /// Their names.
        names: String,
    },
    /// Every name is in the flows.
    #[error("flows.toml has every source and target of the access that is held")]
    NamesThere,
    /// The secret has what the sources need.
    #[error("complete, as far as the sources are concerned")]
    SecretComplete,
    /// The clock is wrong.
    #[error("differs from that of {source_name} by {seconds} s: set this machine's")]
    ClockDiffers {
        source_name: String,
        /// The difference.
        seconds: u64,
    },
    /// The clock is right.
    #[error("agrees with that of {source_name}")]
    ClockAgrees { source_name: String },
    /// The source accepts the login.
    #[error("reachable from here, and accepts our credentials")]
    LoggedIn,
    /// The source has no API.
    #[error("sends its events here; it has no API to check")]
    NoApi,
    /// Events come over a connection that no function can hold.
    #[error(
        "its events come over a connection that `greenlight serve` holds, and a stack cannot: \
         receive them by webhook here"
    )]
    NeedsServe,
    /// Nothing holds the connection.
    #[error(
        "its events come over a connection, and no `greenlight serve` runs on this data folder: \
         nothing arrives"
    )]
    NotHeld,
    /// The office system offers a connection.
    #[error(
        "a connection can be opened; each event is sent to only one connection, so that another \
         program with the same credentials would receive some of the events"
    )]
    ConnectionOffered,
    /// A setting is legal, and weak.
    #[error("{warning}")]
    Weak {
        /// What is weak.
        warning: Explanation,
    },
    /// The approval is switched off.
    #[error("`{name}` is not active")]
    NotActive {
        /// The name of the approval.
        name: String,
    },
    /// The form has all widgets.
    #[error("`{name}` has the widgets that flows.toml names")]
    WidgetsThere {
        /// The name of the approval.
        name: String,
    },
    /// The form lacks widgets.
    #[error("`{name}` has no widget {missing}: correct the form or flows.toml")]
    WidgetsMissing {
        /// The name of the approval.
        name: String,
        /// The places that the form lacks.
        missing: String,
    },
    /// The ledger has what ended.
    #[error(
        "{looked_up} of {listed} approval(s) created in the last 24 hours looked up: every one that \
         ended has arrived"
    )]
    NoneMissed {
        /// How many there are.
        listed: usize,
        /// How many were looked up.
        looked_up: usize,
    },
    /// The ledger lacks what ended.
    #[error(
        "{count} approval(s) created in the last 24 hours ended, and the ledger does not know them: \
         check subscription, request URL and queue; then `greenlight replay {first} --definition-id \
         {code}`"
    )]
    Missed {
        /// The number of instances.
        count: usize,
        /// One of them.
        first: String,
        /// The definition.
        code: String,
    },
    /// Sweeps go on.
    #[error("swept, the last time at {last}: an approval whose event is lost is found")]
    Swept {
        /// When.
        last: String,
    },
    /// There is no sweep.
    #[error(
        "no sweep has ended since {last}: an approval whose event is lost is not found; look for \
         `a sweep failed` in the log"
    )]
    SweepsLate {
        /// When the last one ended.
        last: String,
    },
    /// Sweeps wait for the quota.
    #[error("sweeps are paused until {until}: the calls of this month are used up")]
    SweepsPaused {
        /// When the next one begins.
        until: String,
    },
    /// Sweeps will soon wait.
    #[error(
        "sweeps have made {calls} of the {allowed} calls that they may make in this month: set \
         `monthly_calls` to what the edition of the office system allows"
    )]
    SweepCalls {
        /// The calls.
        calls: u32,
        /// Their part of what the office system allows.
        allowed: u32,
    },
    /// The target accepts the login.
    #[error("reachable from here, and accepts our credentials")]
    TargetLoggedIn,
    #[error("reachable from here; it has no login to try before the first effect")]
    TargetAnswers,
    /// An error without advice.
    #[error("{cause}")]
    Failed {
        /// The error.
        cause: Explanation,
    },
    /// An error with advice.
    #[error("{cause}: {advice}")]
    Advised {
        /// The error.
        cause: Explanation,
        /// What to look at.
        advice: Advice,
    },
}

/// What to look at after a failed check.
#[derive(Clone, Copy, Debug, Error, Explain, PartialEq, Eq)]
#[explain("advice")]
pub enum Advice {
    /// The stack was not found.
    #[error("is it the right name, region and profile?")]
    Stack,
    /// The stores do not answer.
    #[error("may these credentials read queue, table and metrics?")]
    Stores,
    /// The secret is not the documented JSON.
    #[error("replace it by a whole document, `greenlight secrets set < secrets.json`")]
    SecretMalformed,
    /// The login failed.
    #[error("is it reachable from here, and are the credentials those of its console?")]
    Login,
    /// The approval definition cannot be read.
    #[error("is the code right, and may the app read approvals (Feishu: approval:approval)?")]
    Definition,
    /// The approval instances cannot be listed or read.
    #[error("may the app read approval instances (Feishu: approval:approval)?")]
    List,
    /// A credential of a target is missing.
    #[error("`greenlight secrets set` asks for it")]
    TargetSecret,
    /// The target does not answer.
    #[error("tried from this machine")]
    FromHere,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// Whether it passed.
    pub is_ok: bool,
    /// What was checked.
    pub name: CheckName,
    /// What was found.
    pub finding: Finding,
}

/// The results of the checks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Checks {
    /// In the order in which they were made.
    pub checks: Vec<Check>,
}

#[derive(Clone, Copy, Debug, Error, Explain, PartialEq, Eq)]
#[explain("checks_failed")]
#[error("{0} check(s) failed")]
pub struct ChecksFailed(pub usize);

/// The width of the names; a longer name moves its finding.
const NAME_WIDTH: usize = 22;

impl Checks {
    pub(super) fn ok(&mut self, name: CheckName, finding: Finding) {
        self.checks.push(Check { is_ok: true, name, finding });
    }

    pub(super) fn bad(&mut self, name: CheckName, finding: Finding) {
        self.checks.push(Check { is_ok: false, name, finding });
    }

    /// Returns the value, or records a failed check with the error.
    pub(super) fn take<T>(
        &mut self,
        name: CheckName,
        result: Result<T, impl Into<Explanation>>,
        advice: Option<Advice>,
    ) -> Option<T> {
        let cause = match result {
            Ok(value) => return Some(value),
            Err(error) => error.into(),
        };
        let finding = match advice {
            None => Finding::Failed { cause },
            Some(advice) => Finding::Advised { cause, advice },
        };
        self.bad(name, finding);
        None
    }

    /// Renders a line, or a JSON object, per check.
    #[must_use]
    pub fn render(&self, format: OutputFormat) -> String {
        lines(self.checks.iter().map(|Check { is_ok, name, finding }| match format {
            OutputFormat::Text(language) => {
                let mark = if *is_ok { "ok  " } else { "FAIL" };
                let name = padded(&language.explain(&name.explain()), NAME_WIDTH);
                let finding = language.explain(&finding.explain()).replace('\n', " ");
                format!("{mark}  {name}  {finding}")
            }
            OutputFormat::Json => {
                let (check, cause) = (name.to_string(), finding.explain());
                json!({"check": check, "ok": is_ok, "detail": cause.text, "cause": cause})
                    .to_string()
            }
        }))
    }

    /// # Errors
    /// [`ChecksFailed`] when a check failed.
    pub fn result(&self) -> Result<(), ChecksFailed> {
        match self.checks.iter().filter(|check| !check.is_ok).count() {
            0 => Ok(()),
            failed => Err(ChecksFailed(failed)),
        }
    }
}
