//! The command line.

pub mod access;
pub mod common;

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Parser, Subcommand, ValueEnum, value_parser};
use clap_complete::Shell;
use greenlight_render::language::Language;

use self::access::AccessCommand;
use self::common::{BackendArgs, ConnectorFiles, FlowFiles, SecretsFile, SourceArg, not_empty};

/// An approval turns green; greenlight does the rest.
///
/// Exit status: 0 success; 1 failure, with the reason on standard error; 2 invalid command line; 3
/// not found; 4 partial: something else holds dead letters, or took some.
#[derive(Debug, Parser)]
#[command(name = "greenlight", version, propagate_version = true)]
pub struct Arguments {
    /// The language of texts [default: that of `GREENLIGHT_LANG`, or of the locale]
    #[arg(long, global = true, value_name = "LANGUAGE", value_parser = language())]
    pub lang: Option<Language>,
    /// What to do
    #[command(subcommand)]
    pub command: Command,
}

/// The codes of the languages.
fn language() -> impl TypedValueParser<Value = Language> {
    PossibleValuesParser::new(Language::ALL.map(Language::code)).try_map(|code| code.parse())
}

/// The commands
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Receive events and act on them, in one process on this machine
    Serve {
        /// Where to listen for events (/api/event, and /api/event/NAME of each source)
        #[arg(long, default_value = "127.0.0.1:8080", value_name = "ADDRESS")]
        listen: SocketAddr,
        /// The folder for queue and ledger; created if absent
        #[arg(long, default_value = ".greenlight", value_name = "FOLDER")]
        data_dir: PathBuf,
        /// Which flows
        #[command(flatten)]
        files: FlowFiles,
        /// The credentials
        #[command(flatten)]
        secrets: SecretsFile,
        /// Also show the operator's page, on a port of loopback [default: 8081]
        #[arg(long, value_name = "PORT", num_args = 0..=1, default_missing_value = "8081")]
        ui: Option<u16>,
    },
    /// Show the status: queue, dead letters, targets, the last hour
    Status {
        /// List the requests that wait for their next attempt, with the reason of the last one
        #[arg(long)]
        waiting: bool,
        /// The backend
        #[command(flatten)]
        backend: BackendArgs,
        /// As a JSON object
        #[arg(long)]
        json: bool,
    },
    /// Show the history of an approval, from the event to the answers of the targets
    Audit {
        /// An event id, an instance, a subject (a MAC or IP address in any notation, an e-mail
        /// address, a text), or a person by the office system's id
        #[arg(value_name = "EVENT_ID|INSTANCE|SUBJECT|PERSON")]
        wanted: String,
        /// The backend
        #[command(flatten)]
        backend: BackendArgs,
        /// One JSON object per request
        #[arg(long)]
        json: bool,
    },
    /// List what is granted: to whom, since when, and because of which approval
    Grants {
        /// Only those of a subject, a person or an instance
        #[arg(value_name = "SUBJECT|PERSON|INSTANCE")]
        of: Option<String>,
        /// The backend
        #[command(flatten)]
        backend: BackendArgs,
        /// The maximum number of grants
        #[arg(long, default_value_t = 100, value_name = "N")]
        limit: usize,
        /// One JSON object per grant
        #[arg(long)]
        json: bool,
        /// All of them as CSV for a spreadsheet, a row per approval
        #[arg(long, conflicts_with = "json")]
        csv: bool,
    },
    /// Access without an approval
    #[command(flatten)]
    Access(AccessCommand),
    /// List, redrive or discard dead letters
    Dlq {
        /// What to do with it
        #[command(subcommand)]
        command: DlqCommand,
    },
    /// Process an approval again, with its current state in the office system
    Replay {
        /// The approval instance
        instance: String,
        /// The backend
        #[command(flatten)]
        backend: BackendArgs,
        /// The decision on the instance
        #[arg(long, default_value = "approved")]
        decision: DecisionArgument,
        /// Its approval definition, if no event of it was received
        #[arg(long, value_name = "CODE")]
        definition_id: Option<String>,
        /// Its source
        #[command(flatten)]
        source: SourceArg,
        /// Discard the recorded effects, and perform all of them again
        #[arg(long)]
        force: bool,
        /// As a JSON object
        #[arg(long)]
        json: bool,
        /// Do not ask
        #[arg(long, short)]
        yes: bool,
    },
    /// Check the set-up: a line per check, with advice if it fails
    Doctor {
        /// One JSON object per check
        #[arg(long)]
        json: bool,
        /// The backend
        #[command(flatten)]
        backend: BackendArgs,
        /// Which flows
        #[command(flatten)]
        files: FlowFiles,
        /// The credentials
        #[command(flatten)]
        secrets: SecretsFile,
    },
    /// Subscribe to the events of an approval: without it Feishu sends none
    Subscribe {
        /// The approval definition
        #[arg(value_name = "DEFINITION_ID")]
        code: String,
        /// Where it is
        #[command(flatten)]
        source: SourceArg,
        /// As a JSON object
        #[arg(long)]
        json: bool,
        /// The backend
        #[command(flatten)]
        backend: BackendArgs,
        /// Which flows
        #[command(flatten)]
        files: FlowFiles,
        /// The credentials
        #[command(flatten)]
        secrets: SecretsFile,
    },
    /// The credentials of the sources and of the targets
    Secrets {
        /// What to do with them
        #[command(subcommand)]
        command: SecretsCommand,
    },
    /// Send a test event to a URL, as the office system would: a URL check, or the approval of an
    /// instance
    SendTest {
        /// The webhook URL; with --stack the stack's own if left out
        #[arg(required_unless_present = "stack")]
        url: Option<String>,
        /// The sender
        #[command(flatten)]
        source: SourceArg,
        /// The backend
        #[command(flatten)]
        backend: BackendArgs,
        /// Which flows
        #[command(flatten)]
        files: FlowFiles,
        /// The credentials
        #[command(flatten)]
        secrets: SecretsFile,
        /// An approved instance; the worker reads it from the office system
        #[arg(long, value_name = "CODE", requires = "definition_id")]
        instance: Option<String>,
        /// Its approval definition
        #[arg(long, value_name = "CODE", requires = "instance")]
        definition_id: Option<String>,
    },
    /// Validate flows.toml, or show what it would do
    Flows {
        /// Which flows
        #[command(flatten)]
        files: FlowFiles,
        /// What to show
        #[command(subcommand)]
        command: FlowsCommand,
    },
    /// The connectors, one per product
    Connectors {
        /// Which connectors
        #[command(flatten)]
        connectors: ConnectorFiles,
        /// What to show
        #[command(subcommand)]
        command: ConnectorsCommand,
    },
    /// The kinds of sources, one per office system
    Sources {
        /// What to show
        #[command(subcommand)]
        command: SourcesCommand,
    },
    /// Show a page in the browser: the pipeline, recent requests, dead letters, grants. It is
    /// reachable from this machine only
    Ui {
        /// The backend
        #[command(flatten)]
        backend: BackendArgs,
        /// The port of loopback; 0 takes any free one
        #[arg(long, default_value_t = 8081)]
        port: u16,
    },
    /// Print the completion script of a shell
    Completions {
        /// The shell
        shell: Shell,
    },
    /// Write the manual pages, one per command: `greenlight man ~/.local/share/man/man1`
    Man {
        /// The folder; created if absent
        folder: PathBuf,
    },
}

/// The decision on an instance
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum DecisionArgument {
    /// It was approved
    Approved,
    /// Its approval was revoked
    Revoked,
}

/// Commands about the dead-letter queue
#[derive(Debug, Subcommand)]
pub enum DlqCommand {
    /// List all dead letters, each with its reason
    List {
        /// The backend
        #[command(flatten)]
        backend: BackendArgs,
        /// One JSON object per line
        #[arg(long)]
        json: bool,
    },
    /// Show one dead letter, with the next step to take
    Show {
        /// Its id, as `list` shows it
        id: String,
        /// The backend
        #[command(flatten)]
        backend: BackendArgs,
        /// As a JSON object
        #[arg(long)]
        json: bool,
    },
    /// Put dead letters back into the queue: completed effects are not repeated
    Redrive {
        /// Their ids, as `list` shows them
        #[arg(required_unless_present = "class", conflicts_with = "class")]
        ids: Vec<String>,
        /// All dead letters of this class
        #[arg(long, value_name = "CLASS")]
        class: Option<String>,
        /// The backend
        #[command(flatten)]
        backend: BackendArgs,
        /// Only list them
        #[arg(long)]
        dry_run: bool,
        /// The maximum number per second
        #[arg(long, default_value_t = 20, value_name = "N", value_parser = value_parser!(u32).range(1..))]
        rate: u32,
        /// One JSON object per dead letter
        #[arg(long)]
        json: bool,
        /// Do not ask
        #[arg(long, short)]
        yes: bool,
    },
    /// Remove a dead letter from the queue; a copy is kept with your reason
    Discard {
        /// Its id, as `list` shows it
        id: String,
        /// The reason
        #[arg(long, value_name = "TEXT", value_parser = not_empty)]
        reason: String,
        /// As a JSON object
        #[arg(long)]
        json: bool,
        /// The backend
        #[command(flatten)]
        backend: BackendArgs,
        /// Do not ask
        #[arg(long, short)]
        yes: bool,
    },
}

/// Commands about the credentials
#[derive(Debug, Subcommand)]
pub enum SecretsCommand {
    /// Ask for each credential without echo, and write them; an empty answer keeps a value
    ///
    /// Where there is no terminal, standard input is either NAME=VALUE lines, such as
    /// `sources.feishu.app_id=cli_…` and `targets.nac.token=…`, which change what they name, or a
    /// whole JSON document, which replaces the current one. `greenlight flows validate` shows which
    /// names the sources and targets need.
    Set {
        /// The backend
        #[command(flatten)]
        backend: BackendArgs,
        /// The flows: they name the sources and the targets
        #[command(flatten)]
        files: FlowFiles,
        /// The credentials
        #[command(flatten)]
        secrets: SecretsFile,
    },
}

/// Commands about flows
#[derive(Debug, Subcommand)]
pub enum FlowsCommand {
    /// Check the file: each error is reported with file and line. With --stack or --data-dir also
    /// whether it has every source and target of the access that is held
    Validate {
        /// The backend
        #[command(flatten)]
        backend: BackendArgs,
    },
    /// Print the JSON Schema of the file, for editors
    Schema,
    /// Print every request and statement that a flow would make for an instance, and send nothing
    Plan {
        /// The flow's name
        flow: String,
        /// A file with the source's document of an instance (of Feishu the answer to "obtain a
        /// single approval instance"), or the code of an instance, which is read now
        #[arg(long, value_name = "FILE|CODE")]
        instance: String,
        /// For a CODE
        #[command(flatten)]
        secrets: SecretsFile,
        /// As a JSON object
        #[arg(long)]
        json: bool,
    },
}

/// Commands about sources
#[derive(Debug, Subcommand)]
pub enum SourcesCommand {
    /// List all kinds, how their events arrive, and what they were checked with
    List,
}

/// Commands about connectors
#[derive(Debug, Subcommand)]
pub enum ConnectorsCommand {
    /// List all connectors, their operations, and what is unverified
    List,
}
