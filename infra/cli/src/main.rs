//! `greenlight`: an approval turns green, and the rest follows.

use std::io::{IsTerminal, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use greenlight::send_test::{Event, send_test};
use greenlight::status::status;
use greenlight::{connectors, demo, dlq, flows, serve};
use tracing_subscriber::EnvFilter;

/// An approval turns green; greenlight does the rest.
#[derive(Parser)]
#[command(version, propagate_version = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Receive events and act on them, on this machine alone
    Serve {
        /// Where to listen for Feishu's events (POST /api/event)
        #[arg(long, default_value = "127.0.0.1:8080", value_name = "ADDRESS")]
        listen: SocketAddr,
        /// The folder for queue and ledger; made if need be
        #[arg(long, default_value = ".greenlight", value_name = "FOLDER")]
        data: PathBuf,
        /// The secret document, JSON
        #[arg(long, default_value = "secrets.json", value_name = "FILE")]
        secrets: PathBuf,
        /// Which approval does what; built in if left out
        #[arg(long, env = "FLOWS_FILE", value_name = "FILE")]
        flows: Option<PathBuf>,
        /// A folder of connectors, besides those that are built in
        #[arg(long, env = "CONNECTORS_FOLDER", value_name = "FOLDER")]
        connectors: Option<PathBuf>,
        /// Feishu's OpenAPI; Lark's is <https://open.larksuite.com>
        #[arg(long, env = "FEISHU_BASE_URL", default_value = serve::FEISHU_BASE_URL, value_name = "URL")]
        feishu_base_url: String,
    },
    /// How things stand on this machine: queue, dead letters, targets
    Status {
        /// The folder that `greenlight serve` was given
        #[arg(long, default_value = ".greenlight", value_name = "FOLDER")]
        data: PathBuf,
        /// As a JSON object
        #[arg(long)]
        json: bool,
    },
    /// Look into the dead-letter queue of this machine, put letters back or take them out
    Dlq {
        /// The folder that `greenlight serve` was given
        #[arg(long, default_value = ".greenlight", value_name = "FOLDER", global = true)]
        data: PathBuf,
        #[command(subcommand)]
        command: DlqCommand,
    },
    /// Send what Feishu would send to a URL: a URL check, or with an instance its approval
    SendTest {
        /// Where Feishu's events go: the output `WebhookUrl`, or what `serve` listens on
        url: String,
        /// The secret document, JSON
        #[arg(long, default_value = "secrets.json", value_name = "FILE")]
        secrets: PathBuf,
        /// An approved instance; the worker reads it from Feishu
        #[arg(long, value_name = "CODE", requires_all = ["approval_code", "tenant_key"])]
        instance: Option<String>,
        /// Its approval definition
        #[arg(long, value_name = "CODE", requires = "instance")]
        approval_code: Option<String>,
        /// The organisation, as `tenant` in greenlight's messages: with another one it would be another request
        #[arg(long, value_name = "KEY", requires = "instance")]
        tenant_key: Option<String>,
    },
    /// Is flows.toml right, and what would it do?
    Flows {
        /// The file; the flows that are built in if left out
        #[arg(long, env = "FLOWS_FILE", value_name = "FILE", global = true)]
        flows: Option<PathBuf>,
        /// A folder of connectors, besides those that are built in
        #[arg(long, env = "CONNECTORS_FOLDER", value_name = "FOLDER", global = true)]
        connectors: Option<PathBuf>,
        #[command(subcommand)]
        command: FlowsCommand,
    },
    /// The products that greenlight can speak to
    Connectors {
        /// A folder of connectors, besides those that are built in
        #[arg(long, env = "CONNECTORS_FOLDER", value_name = "FOLDER", global = true)]
        connectors: Option<PathBuf>,
        #[command(subcommand)]
        command: ConnectorsCommand,
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
}

#[derive(Subcommand)]
enum DlqCommand {
    /// All dead letters, each with its reason
    List {
        /// One JSON object per line
        #[arg(long)]
        json: bool,
    },
    /// One dead letter, with the next step to take
    Show {
        /// Its number, as `list` shows it
        id: i64,
        /// As a JSON object
        #[arg(long)]
        json: bool,
    },
    /// Put dead letters back into the queue: only what was not done yet is done
    Redrive {
        /// Their numbers, as `list` shows them
        #[arg(required_unless_present = "class", conflicts_with = "class")]
        ids: Vec<i64>,
        /// All whose reason is of this class
        #[arg(long = "where", value_name = "CLASS")]
        class: Option<String>,
        /// Only tell which
        #[arg(long)]
        dry_run: bool,
    },
    /// Take a dead letter out for good; it is kept beside, with your reason
    Drop {
        /// Its number, as `list` shows it
        id: i64,
        /// Why
        #[arg(long, value_name = "TEXT")]
        because: String,
    },
}

#[derive(Subcommand)]
enum FlowsCommand {
    /// Check it: a mistake is named with file and line
    Check,
    /// Print the JSON Schema of the file, for editors
    Schema,
    /// Print every request and statement that a flow would make for an instance, and send nothing
    Try {
        /// The flow's name
        flow: String,
        /// A file with Feishu's answer to "obtain a single approval instance", or the code of an
        /// instance, which is read from Feishu now
        #[arg(long, value_name = "FILE|CODE")]
        instance: String,
        /// The secret document, JSON; for a CODE
        #[arg(long, default_value = "secrets.json", value_name = "FILE")]
        secrets: PathBuf,
        /// Feishu's OpenAPI; for a CODE
        #[arg(long, env = "FEISHU_BASE_URL", default_value = serve::FEISHU_BASE_URL, value_name = "URL")]
        feishu_base_url: String,
    },
}

#[derive(Subcommand)]
enum ConnectorsCommand {
    /// All, what each can do, and what is unverified
    List,
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let quiet = matches!(arguments.command, Command::Demo { .. });
    log_to_stderr(if quiet { "off" } else { "info" });
    match arguments.command {
        Command::Status { data, json } => print(status(&data, json).await),
        Command::Dlq { data, command } => print(match command {
            DlqCommand::List { json } => dlq::list(&data, json).await,
            DlqCommand::Show { id, json } => dlq::show(&data, id, json).await,
            DlqCommand::Redrive { ids, class, dry_run } => {
                let which = class.map_or(dlq::Which::Ids(ids), dlq::Which::OfClass);
                dlq::redrive(&data, &which, dry_run, |line| println!("{line}"))
                    .await
                    .map(|()| String::new())
            }
            DlqCommand::Drop { id, because } => dlq::drop(&data, id, &because).await,
        }),
        Command::SendTest { url, secrets, instance, approval_code, tenant_key } => {
            let event = match (instance, approval_code, tenant_key) {
                (Some(instance_code), Some(approval_code), Some(tenant_key)) => {
                    Event::Approved { approval_code, instance_code, tenant_key }
                }
                _ => Event::UrlCheck,
            };
            print(send_test(&url, &secrets, &event).await)
        }
        Command::Flows { flows, connectors, command } => {
            let files = flows::Files { flows, connectors };
            match command {
                FlowsCommand::Check => print(flows::check(&files)),
                FlowsCommand::Schema => print(Ok::<_, std::fmt::Error>(flows::schema())),
                FlowsCommand::Try { flow, instance, secrets, feishu_base_url } => {
                    let feishu = flows::Feishu { secrets, base_url: feishu_base_url };
                    print(flows::dry_run(&files, &flow, &instance, feishu).await)
                }
            }
        }
        Command::Connectors { connectors, command: ConnectorsCommand::List } => {
            print(connectors::list(connectors.as_deref()))
        }
        Command::Demo { radius: true, .. } => finish(demo::run_radius().await),
        Command::Demo { keep, .. } => finish(demo::run(keep).await),
        Command::Serve { listen, data, secrets, flows, connectors, feishu_base_url } => {
            let options =
                serve::Options { listen, data, secrets, flows, connectors, feishu_base_url };
            finish(serve::run(options).await)
        }
    }
}

/// `RUST_LOG` overrides `level`.
fn log_to_stderr(level: &str) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(level));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false)
        .init();
}

/// Whoever reads may have enough of it: that is no error.
fn print(result: Result<String, impl std::error::Error>) -> ExitCode {
    finish(result.map(|text| {
        let _ = std::io::stdout().write_all(text.as_bytes());
    }))
}

fn finish(result: Result<(), impl std::error::Error>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("greenlight: {error}");
            ExitCode::FAILURE
        }
    }
}
