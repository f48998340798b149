//! The command line.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

use crate::backend::{Address, StackAddress};
use crate::flows::Files;
use crate::serve;

/// An approval turns green; greenlight does the rest.
///
/// Exit status: 0 done; 1 it could not be done, and one line says why; 2 the command line is wrong;
/// 3 what was asked for is not there; 4 not all of it: another receiver holds dead letters, or took
/// some.
#[derive(Debug, Parser)]
#[command(name = "greenlight", version, propagate_version = true)]
pub struct Arguments {
    /// What to do
    #[command(subcommand)]
    pub command: Command,
}

/// Where to look: a stack on AWS, with your own credentials, or a folder of this machine
#[derive(Args, Clone, Debug)]
#[group(skip)]
pub struct BackendArgs {
    /// The folder that `greenlight serve` was given [default: .greenlight]; goes before --stack
    #[arg(long, value_name = "FOLDER")]
    data_dir: Option<PathBuf>,
    /// A stack on AWS instead: the name that `sam deploy` was given
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
    /// The stack, if one is named, else the folder.
    #[must_use]
    pub fn address(self) -> Address {
        let (profile, region) = (self.profile, self.region);
        // A variable that is exported for everyday must not hide what is typed.
        match (self.data_dir, self.stack.filter(|stack| !stack.is_empty())) {
            (None, Some(stack)) => Address::Stack(StackAddress { stack, profile, region }),
            (folder, _) => Address::Folder(folder.unwrap_or_else(|| PathBuf::from(".greenlight"))),
        }
    }
}

/// The files that say what is done
#[derive(Args, Clone, Debug)]
pub struct FlowFiles {
    /// Which approval does what; the flows that are built in if left out
    #[arg(long, env = "FLOWS_FILE", value_name = "FILE", global = true)]
    flows: Option<PathBuf>,
    /// A folder of connectors, besides those that are built in
    #[arg(long, env = "CONNECTORS_DIR", value_name = "FOLDER", global = true)]
    connectors_dir: Option<PathBuf>,
}

impl From<FlowFiles> for Files {
    fn from(FlowFiles { flows, connectors_dir }: FlowFiles) -> Self {
        Self { flows, connectors: connectors_dir, deployed: None }
    }
}

/// What it takes to ask Feishu
#[derive(Args, Clone, Debug)]
pub struct AskFeishu {
    /// The secret document, JSON [default: secrets.json in the data folder]; with --stack it is
    /// read from Secrets Manager
    #[arg(long, value_name = "FILE")]
    pub secrets: Option<PathBuf>,
    /// Feishu's OpenAPI; Lark's is <https://open.larksuite.com>
    #[arg(long, env = "FEISHU_BASE_URL", default_value = serve::FEISHU_BASE_URL, value_name = "URL")]
    pub feishu_base_url: String,
}

/// A text that says something.
fn not_empty(text: &str) -> Result<String, String> {
    let text = text.trim();
    if text.is_empty() {
        Err("must not be empty (不能为空)".to_owned())
    } else {
        Ok(text.to_owned())
    }
}

/// What `greenlight` can do
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Receive events and act on them, on this machine alone
    Serve {
        /// Where to listen for Feishu's events (POST /api/event)
        #[arg(long, default_value = "127.0.0.1:8080", value_name = "ADDRESS")]
        listen: SocketAddr,
        /// The folder for queue and ledger; made if need be
        #[arg(long, default_value = ".greenlight", value_name = "FOLDER")]
        data_dir: PathBuf,
        /// Which flows
        #[command(flatten)]
        files: FlowFiles,
        /// Which Feishu
        #[command(flatten)]
        feishu: AskFeishu,
        /// Also show the operator's page, on a port of loopback [default: 8081]
        #[arg(long, value_name = "PORT", num_args = 0..=1, default_missing_value = "8081")]
        ui: Option<u16>,
    },
    /// How things stand: queue, dead letters, targets, the last hour
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
    /// The history of an approval, from the event to the NAC's answer
    Audit {
        /// An event id, an instance code, a MAC address in any spelling, or a person as Feishu
        /// names people
        #[arg(value_name = "EVENT_ID|INSTANCE|MAC|PERSON")]
        wanted: String,
        /// The backend
        #[command(flatten)]
        backend: BackendArgs,
        /// One JSON object per request
        #[arg(long)]
        json: bool,
    },
    /// Who has which device, since when, and because of which approval
    Grants {
        /// Of a MAC address, a person or an instance only
        #[arg(value_name = "MAC|PERSON|INSTANCE")]
        of: Option<String>,
        /// The backend
        #[command(flatten)]
        backend: BackendArgs,
        /// So many at most
        #[arg(long, default_value_t = 100, value_name = "N")]
        limit: usize,
        /// One JSON object per grant
        #[arg(long)]
        json: bool,
    },
    /// Look into the dead-letter queue, put dead letters back or discard them
    Dlq {
        /// What to do with it
        #[command(subcommand)]
        command: DlqCommand,
    },
    /// Process an approval again, from what Feishu says now
    Replay {
        /// The approval instance
        instance: String,
        /// The backend
        #[command(flatten)]
        backend: BackendArgs,
        /// What became of it
        #[arg(long, default_value = "approved")]
        decision: DecisionArgument,
        /// Its approval definition, when its event never came
        #[arg(long, value_name = "CODE")]
        definition_id: Option<String>,
        /// Forget what was done, and do all of it once more
        #[arg(long)]
        force: bool,
        /// As a JSON object
        #[arg(long)]
        json: bool,
        /// Do not ask
        #[arg(long, short)]
        yes: bool,
    },
    /// Is everything set up? A line per check: ok, or what to do
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
        /// Which Feishu
        #[command(flatten)]
        feishu: AskFeishu,
    },
    /// Subscribe the app to an approval: without it Feishu never sends an event
    Subscribe {
        /// The approval definition
        #[arg(value_name = "APPROVAL_CODE")]
        code: String,
        /// As a JSON object
        #[arg(long)]
        json: bool,
        /// The backend
        #[command(flatten)]
        backend: BackendArgs,
        /// Which Feishu
        #[command(flatten)]
        feishu: AskFeishu,
    },
    /// The credentials of Feishu and of the targets
    Secrets {
        /// What to do with them
        #[command(subcommand)]
        command: SecretsCommand,
    },
    /// Send what Feishu would send to a URL: a URL check, or with an instance its approval
    SendTest {
        /// Where Feishu's events go; with --stack the stack's own URL if left out
        #[arg(required_unless_present = "stack")]
        url: Option<String>,
        /// The backend
        #[command(flatten)]
        backend: BackendArgs,
        /// The secret document, JSON [default: secrets.json in the data folder]; with --stack it is
        /// read from Secrets Manager
        #[arg(long, value_name = "FILE")]
        secrets: Option<PathBuf>,
        /// An approved instance; the worker reads it from Feishu
        #[arg(long, value_name = "CODE", requires = "definition_id")]
        instance: Option<String>,
        /// Its approval definition
        #[arg(long, value_name = "CODE", requires = "instance")]
        definition_id: Option<String>,
    },
    /// Is flows.toml right, and what would it do?
    Flows {
        /// Which flows
        #[command(flatten)]
        files: FlowFiles,
        /// What to show
        #[command(subcommand)]
        command: FlowsCommand,
    },
    /// The products that greenlight can speak to
    Connectors {
        /// A folder of connectors, besides those that are built in
        #[arg(long, env = "CONNECTORS_DIR", value_name = "FOLDER", global = true)]
        connectors_dir: Option<PathBuf>,
        /// What to show
        #[command(subcommand)]
        command: ConnectorsCommand,
    },
    /// A page in the browser: the pipeline, recent requests, dead letters, grants. For this
    /// machine's eyes only
    Ui {
        /// The backend
        #[command(flatten)]
        backend: BackendArgs,
        /// The port of loopback; 0 takes any free one
        #[arg(long, default_value_t = 8081)]
        port: u16,
    },
    /// See it work: serve, with a stub of Feishu and of a NAC beside it
    Demo {
        /// Leave it running afterwards, and print what to try
        #[arg(long)]
        keep: bool,
        /// With a real RADIUS server, where FreeRADIUS is installed, instead of a stub of a NAC
        #[arg(long, conflicts_with = "keep")]
        radius: bool,
    },
    /// Print what a shell needs to complete the command line
    Completions {
        /// The shell
        shell: Shell,
    },
    /// Write the manual pages, one per command: `greenlight man ~/.local/share/man/man1`
    Man {
        /// Where to; made if need be
        folder: PathBuf,
    },
}

/// What became of an instance
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum DecisionArgument {
    /// It was granted
    Approved,
    /// It was taken back
    Revoked,
}

/// What can be done with the dead-letter queue
#[derive(Debug, Subcommand)]
pub enum DlqCommand {
    /// All dead letters, each with its reason
    List {
        /// The backend
        #[command(flatten)]
        backend: BackendArgs,
        /// One JSON object per line
        #[arg(long)]
        json: bool,
    },
    /// One dead letter, with the next step to take
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
    /// Put dead letters back into the queue: only what was not done yet is done
    Redrive {
        /// Their ids, as `list` shows them
        #[arg(required_unless_present = "class", conflicts_with = "class")]
        ids: Vec<String>,
        /// All whose reason is of this class
        #[arg(long, value_name = "CLASS")]
        class: Option<String>,
        /// The backend
        #[command(flatten)]
        backend: BackendArgs,
        /// Only show which
        #[arg(long)]
        dry_run: bool,
        /// So many a second, at most
        #[arg(long, default_value_t = 20, value_name = "N")]
        rate: u32,
        /// One JSON object per dead letter
        #[arg(long)]
        json: bool,
        /// Do not ask
        #[arg(long, short)]
        yes: bool,
    },
    /// Take a dead letter out for good; it is kept beside, with your reason
    Discard {
        /// Its id, as `list` shows it
        id: String,
        /// Why
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

/// What can be done with the credentials
#[derive(Debug, Subcommand)]
pub enum SecretsCommand {
    /// Ask for each, without echo, and put them in; an empty answer leaves one as it is
    ///
    /// Where there is no terminal, standard input is either NAME=VALUE lines, such as
    /// `feishu.app_id=cli_…` and `targets.nac.token=…`, which change what they name, or a whole
    /// JSON document, which replaces what is there. `greenlight flows validate` tells which names
    /// the targets need.
    Set {
        /// The backend
        #[command(flatten)]
        backend: BackendArgs,
        /// Which flows: they say what their targets need
        #[command(flatten)]
        files: FlowFiles,
        /// The secret document, JSON [default: secrets.json in the data folder]; with --stack it
        /// goes to Secrets Manager
        #[arg(long, value_name = "FILE")]
        secrets: Option<PathBuf>,
    },
}

/// Commands about flows
#[derive(Debug, Subcommand)]
pub enum FlowsCommand {
    /// Check it: each error is named with file and line
    Validate,
    /// Print the JSON Schema of the file, for editors
    Schema,
    /// Print every request and statement that a flow would make for an instance, and send nothing
    Plan {
        /// The flow's name
        flow: String,
        /// A file with Feishu's answer to "obtain a single approval instance", or the code of an
        /// instance, which is read from Feishu now
        #[arg(long, value_name = "FILE|CODE")]
        instance: String,
        /// For a CODE
        #[command(flatten)]
        feishu: AskFeishu,
        /// As a JSON object
        #[arg(long)]
        json: bool,
    },
}

/// Commands about connectors
#[derive(Debug, Subcommand)]
pub enum ConnectorsCommand {
    /// All, what each can do, and what is unverified
    List,
}
