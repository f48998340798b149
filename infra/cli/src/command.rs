//! Runs a command line: prints the answer or the error, and sets the exit status.

use std::io::{self, IsTerminal, Read};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::mpsc;
use std::time::Duration;

use clap::CommandFactory;
use greenlight_admin as admin;
use greenlight_admin::audit::{find_grants, find_requests};
use greenlight_admin::dead_letters::{self, DeadLetterError, Pace, Which};
use greenlight_admin::replay::{Replay, ReplayError};
use greenlight_admin::status::MAX_WAITING;
use greenlight_core::Decision;
use greenlight_core::ports::Clock;
use greenlight_render::format::OutputFormat;
use greenlight_render::output::{
    log_writer, one_line, print, print_error, print_line, print_question, try_print,
};
use greenlight_render::{audit, dlq, replay, status};
use greenlight_server::server::Options;
use greenlight_sources::feishu::SOURCE;
use greenlight_stores::{SecretFile, SystemClock};
use indicatif::{ProgressBar, ProgressDrawTarget};
use serde_json::{Value, json};
use tracing_subscriber::EnvFilter;

use crate::arguments::{
    Arguments, AskFeishu, Command, ConnectorsCommand, DecisionArgument, DlqCommand, FlowsCommand,
    SecretsCommand,
};
use crate::backend::{Address, Backend, BackendError};
use crate::doctor::{DoctorOptions, run_checks};
use crate::flows::OfBackend;
use crate::secrets::{self, Secrets};
use crate::send_test::{TestEvent, send_test};
use crate::{connectors, feishu, flows, serve, ui};

/// The exit status if the object of the command was not found.
const NOT_FOUND: u8 = 3;

/// The exit status of a partial success.
const IN_PART: u8 = 4;

/// The text of an error, and the exit status.
struct Failed {
    text: String,
    status: u8,
}

impl<E: std::error::Error> From<E> for Failed {
    fn from(error: E) -> Self {
        Self { text: error.to_string(), status: 1 }
    }
}

impl Failed {
    fn of_dlq(error: &DeadLetterError) -> Self {
        let status = match error {
            DeadLetterError::NotFound(_) | DeadLetterError::NoneOfClass { .. } => NOT_FOUND,
            DeadLetterError::NotAll(_)
            | DeadLetterError::NotSeen { .. }
            | DeadLetterError::TakenMeanwhile(_) => IN_PART,
            DeadLetterError::Store(_) => 1,
        };
        Self { status, text: dlq::render_error(error) }
    }

    fn of_replay(error: &ReplayError) -> Self {
        let is_absent = matches!(error, ReplayError::Unknown(_));
        Self { status: if is_absent { NOT_FOUND } else { 1 }, text: replay::render_error(error) }
    }
}

/// The text for standard output.
type Output = Result<String, Failed>;

/// The output after a confirmation was declined.
const NOTHING_DONE: &str = "nothing is done\n";

/// The wait at exit for blocking calls that hang, such as a DNS lookup.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_millis(500);

/// The wait at exit for the last lines of the log and of an error.
const LAST_LINES_TIMEOUT: Duration = Duration::from_secs(1);

/// The maximum size of a secret document.
const MAX_INPUT_BYTES: u64 = 64 * 1024;

/// Runs the command line, and ends the process with its exit status; [`ExitCode::FAILURE`] if the
/// runtime cannot start.
#[must_use]
pub fn run(arguments: Arguments) -> ExitCode {
    // Commands print a result; the log is the output of `serve`.
    let is_serving = matches!(arguments.command, Command::Serve { .. });
    // The AWS SDK warns of every place where it found no credentials; the error says so once.
    let log = log_to_stderr(if is_serving { "info" } else { "error" });
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            print_error(&error.to_string());
            return ExitCode::FAILURE;
        }
    };
    let shown = runtime.block_on(answer(arguments.command));
    runtime.shutdown_timeout(SHUTDOWN_TIMEOUT);
    let failed = shown.and_then(|text| Ok(try_print(&text)?)).err();
    let status = failed.as_ref().map_or(0, |failed| failed.status);
    let (ended, end) = mpsc::channel();
    std::thread::spawn(move || {
        if let Some(failed) = failed {
            print_error(&failed.text);
        }
        drop(log);
        let _ = ended.send(());
    });
    // The exit must not hang if standard error has no reader.
    let _ = end.recv_timeout(LAST_LINES_TIMEOUT);
    std::process::exit(i32::from(status))
}

async fn answer(command: Command) -> Output {
    match command {
        Command::Serve { listen, data_dir: data, files, feishu, ui } => {
            let AskFeishu { secrets, feishu_base_url } = feishu;
            let secrets = Address::Folder(data.clone()).secrets_file(secrets);
            let flows::Files { flows, connectors, .. } = files.into();
            let options = Options { listen, data, secrets, flows, connectors, feishu_base_url };
            keep_files_private();
            serve::run(options, ui).await?;
            Ok(String::new())
        }
        Command::Status { waiting, backend, json } => {
            let backend = Backend::open(&backend.address()).await?;
            let (now, format) = (SystemClock.now(), OutputFormat::of_flag(json));
            if waiting {
                let histories = backend.stores.audit.waiting_requests(MAX_WAITING, now).await?;
                return Ok(status::render_waiting(&histories, now, format));
            }
            Ok(status::render(&backend.stores.status(now).await?, now, format))
        }
        Command::Audit { wanted, backend, json } => {
            audit_request(wanted, &backend.address(), OutputFormat::of_flag(json)).await
        }
        Command::Grants { of, backend, limit, json } => {
            let (backend, of) = (Backend::open(&backend.address()).await?, of.as_deref());
            let grants =
                find_grants(&*backend.stores.audit, &*backend.stores.grants, of, limit).await?;
            Ok(audit::render_grants(&grants, of, OutputFormat::of_flag(json)))
        }
        Command::Dlq { command } => dlq(command).await,
        Command::Replay { instance, backend, decision, definition_id, force, json, yes } => {
            let backend = Backend::open(&backend.address()).await?;
            let question = "Discard the recorded effects, and perform all of them again?";
            if force && !is_confirmed(question, yes)? {
                return Ok(NOTHING_DONE.to_owned());
            }
            let decision = match decision {
                DecisionArgument::Approved => Decision::Approved,
                DecisionArgument::Revoked => Decision::Revoked,
            };
            let (instance_id, source) = (instance, SOURCE.to_owned());
            let asked = Replay { source, instance_id, decision, definition_id, force };
            let (audit, requests) = (&*backend.stores.audit, &*backend.stores.requests);
            let request = admin::replay::replay(audit, requests, &asked, SystemClock.now()).await;
            let request = request.map_err(|error| Failed::of_replay(&error))?;
            Ok(replay::render(&request, OutputFormat::of_flag(json)))
        }
        Command::Doctor { json, backend, files, feishu } => {
            let AskFeishu { secrets, feishu_base_url } = feishu;
            let (address, files) = (backend.address(), files.into());
            let secrets = address.secrets_file(secrets);
            let found =
                run_checks(&DoctorOptions { address, files, secrets, feishu_base_url }).await;
            print(&if json { found.to_json() } else { found.to_text() });
            found.result()?;
            Ok(String::new())
        }
        Command::Subscribe { code, json, backend, feishu } => {
            let shown = subscribe(&code, &backend.address(), feishu).await?;
            Ok(if json { line(&json!({"definition_id": code, "subscribed": true})) } else { shown })
        }
        Command::Secrets { command: SecretsCommand::Set { backend, files, secrets } } => {
            set_secrets(&backend.address(), files.into(), secrets).await
        }
        Command::SendTest { url, backend, secrets, instance, definition_id } => {
            let event = match (instance, definition_id) {
                (Some(instance_id), Some(definition_id)) => {
                    TestEvent::Approved { definition_id, instance_id }
                }
                _ => TestEvent::UrlCheck,
            };
            send(url, &backend.address(), secrets, &event).await
        }
        Command::Flows { files, command } => tell_of_flows(&files.into(), command).await,
        Command::Connectors { connectors_dir: connectors, command: ConnectorsCommand::List } => {
            Ok(connectors::list(connectors.as_deref())?)
        }
        Command::Ui { backend, port } => {
            ui::run(Backend::open(&backend.address()).await?.stores, port).await?;
            Ok(String::new())
        }
        Command::Completions { shell } => {
            let mut text = Vec::new();
            clap_complete::generate(shell, &mut Arguments::command(), "greenlight", &mut text);
            Ok(String::from_utf8_lossy(&text).into_owned())
        }
        Command::Man { folder } => write_manual(&folder),
    }
}

fn write_manual(folder: &Path) -> Output {
    std::fs::create_dir_all(folder)?;
    clap_mangen::generate_to(Arguments::command(), folder)?;
    Ok(format!("the manual pages are in {}\n", folder.display()))
}

/// Makes all new files private to the user, also those of libraries such as SQLite.
fn keep_files_private() {
    #[cfg(unix)]
    rustix::process::umask(rustix::fs::Mode::RWXG | rustix::fs::Mode::RWXO);
}

async fn send(
    url: Option<String>,
    address: &Address,
    secrets: Option<PathBuf>,
    event: &TestEvent,
) -> Output {
    let (backend, secrets) = secrets_at(address, secrets).await?;
    let of_backend = backend.as_ref().and_then(Backend::webhook_url);
    let Some(url) = url.or_else(|| of_backend.map(str::to_owned)) else {
        let text = "no URL: name it, or a stack with --stack (请指定地址)".to_owned();
        return Err(Failed { text, status: 2 });
    };
    Ok(send_test(&url, &secrets, event).await?)
}

async fn tell_of_flows(files: &flows::Files, command: FlowsCommand) -> Output {
    Ok(match command {
        FlowsCommand::Validate => flows::check(files)?,
        FlowsCommand::Schema => flows::schema(),
        FlowsCommand::Plan { flow, instance, feishu, json } => {
            let AskFeishu { secrets, feishu_base_url: base_url } = feishu;
            let secrets = Address::Folder(".greenlight".into()).secrets_file(secrets);
            let feishu = flows::Feishu { secrets, base_url };
            let run = flows::dry_run(files, &flow, &instance, feishu).await?;
            let text = flows::render_dry_run(&run, OutputFormat::of_flag(json));
            if run.problems.is_empty() {
                return Ok(text);
            }
            print(&text);
            let text =
                format!("{} problem(s) with the instance (审批实例有问题)", run.problems.len());
            return Err(Failed { text, status: 1 });
        }
    })
}

async fn subscribe(code: &str, address: &Address, feishu: AskFeishu) -> Output {
    let (backend, secrets) = secrets_at(address, feishu.secrets).await?;
    let of_backend = backend.and_then(|backend| backend.variable("FEISHU_BASE_URL"));
    let base_url = of_backend.unwrap_or(feishu.feishu_base_url);
    Ok(feishu::subscribe(&secrets, &base_url, code).await?)
}

async fn set_secrets(address: &Address, files: flows::Files, file: Option<PathBuf>) -> Output {
    let (backend, secrets) = secrets_at(address, file).await?;
    let known = |name: &str| Backend::variable_of(backend.as_ref(), name);
    let of_backend = match &backend {
        Some(backend) => Some(flows::of_backend(backend, files.clone()).await?),
        None => None,
    };
    let files = of_backend.as_ref().map_or(&files, |of_backend| &of_backend.files);
    let needed = flows::credentials(files, &known)?;
    if let Some(warning) = of_backend.as_ref().and_then(OfBackend::warning) {
        print_line(&warning);
    }
    let written = if io::stdin().is_terminal() {
        secrets::set(&secrets, &needed, ask).await?
    } else {
        secrets::set_from(&secrets, &needed, &read_input()?).await?
    };
    Ok(written.to_text())
}

async fn audit_request(wanted: String, address: &Address, format: OutputFormat) -> Output {
    let backend = Backend::open(address).await?;
    let histories = find_requests(&*backend.stores.audit, &wanted).await?;
    if histories.is_empty() {
        return Err(Failed { status: NOT_FOUND, ..audit::NotFound(wanted).into() });
    }
    Ok(audit::render(&histories, SystemClock.now(), format))
}

async fn dlq(command: DlqCommand) -> Output {
    match command {
        DlqCommand::List { backend, json } => {
            let backend = Backend::open(&backend.address()).await?;
            let seen = dead_letters::look(&*backend.stores.dead_letters, &SystemClock).await?;
            let text = dlq::render_list(&seen, OutputFormat::of_flag(json));
            match seen.elsewhere {
                None => Ok(text),
                Some(elsewhere) => {
                    print(&text);
                    Err(Failed::of_dlq(&DeadLetterError::NotAll(elsewhere)))
                }
            }
        }
        DlqCommand::Show { id, backend, json } => {
            let backend = Backend::open(&backend.address()).await?;
            let letter = dead_letters::find(&*backend.stores.dead_letters, &id, &SystemClock)
                .await
                .map_err(|error| Failed::of_dlq(&error))?;
            Ok(dlq::render(&letter, OutputFormat::of_flag(json)))
        }
        DlqCommand::Redrive { ids, class, backend, dry_run, rate, json, yes } => {
            let backend = Backend::open(&backend.address()).await?;
            let which = class.map_or(Which::Ids(ids), Which::OfClass);
            let question = match &which {
                Which::Ids(ids) => format!("Put {} dead letter(s) back into the queue?", ids.len()),
                Which::OfClass(class) => format!("Put all dead letters of `{class}` back?"),
            };
            if !dry_run && !is_confirmed(&question, yes)? {
                return Ok(NOTHING_DONE.to_owned());
            }
            let pace = Pace { is_dry: dry_run, per_second: rate };
            redrive(&backend, &which, pace, OutputFormat::of_flag(json))
                .await
                .map_err(|error| Failed::of_dlq(&error))?;
            Ok(String::new())
        }
        DlqCommand::Discard { id, reason, json, backend, yes } => {
            let backend = Backend::open(&backend.address()).await?;
            if !is_confirmed(&format!("Discard {id} for good?"), yes)? {
                return Ok(NOTHING_DONE.to_owned());
            }
            dead_letters::discard(&*backend.stores.dead_letters, &id, &reason, &SystemClock)
                .await
                .map_err(|error| Failed::of_dlq(&error))?;
            Ok(dlq::render_discarded(&id, &reason, OutputFormat::of_flag(json)))
        }
    }
}

/// Prints a line per dead letter, and on a terminal a progress bar until the end.
async fn redrive(
    backend: &Backend,
    which: &Which,
    pace: Pace,
    format: OutputFormat,
) -> Result<(), DeadLetterError> {
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
    let queue = &*backend.stores.dead_letters;
    let result = dead_letters::redrive(queue, which, pace, &SystemClock, |redriven| {
        bar.set_length(u64::try_from(redriven.of).unwrap_or(u64::MAX));
        bar.set_position(u64::try_from(redriven.number).unwrap_or(u64::MAX));
        bar.suspend(|| print_line(&dlq::render_redriven(&redriven, format)));
    });
    let result = result.await;
    bar.finish_and_clear();
    result
}

/// A line of JSON.
fn line(value: &Value) -> String {
    format!("{value}\n")
}

/// Asks for confirmation on a terminal; without one, `--yes` is required.
fn is_confirmed(question: &str, is_said: bool) -> Result<bool, Failed> {
    if is_said {
        return Ok(true);
    }
    if !io::stdin().is_terminal() {
        let text = "no terminal to ask for confirmation: use --yes (请加 --yes)".to_owned();
        return Err(Failed { text, status: 1 });
    }
    print_question(&format!("{question} [y/N] "));
    let mut answer = String::new();
    Ok(io::stdin().read_line(&mut answer).is_ok_and(|_| answer.trim().eq_ignore_ascii_case("y")))
}

/// Reads standard input, up to [`MAX_INPUT_BYTES`].
fn read_input() -> io::Result<String> {
    io::read_to_string(io::stdin().take(MAX_INPUT_BYTES))
}

/// Asks for a credential without echo.
fn ask(path: &str, is_set: bool) -> io::Result<String> {
    let path = one_line(path);
    let kept = if is_set { " (Enter keeps it)" } else { "" };
    rpassword::prompt_password(format!("{path}{kept}: "))
}

/// The secret of a stack, or `file`, which needs no database.
async fn secrets_at(
    address: &Address,
    file: Option<PathBuf>,
) -> Result<(Option<Backend>, Secrets), BackendError> {
    let file = address.secrets_file(file);
    match address {
        Address::Folder(_) => Ok((None, Secrets::File(SecretFile::new(file)))),
        Address::Stack(_) => {
            let backend = Backend::open(address).await?;
            let secrets = backend.secrets(file);
            Ok((Some(backend), secrets))
        }
    }
}

/// `RUST_LOG` overrides `level`.
fn log_to_stderr(level: &str) -> impl Drop + Send + use<> {
    let (writer, guard) = log_writer();
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(level));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(writer)
        .with_ansi(false)
        .with_target(false)
        .init();
    guard
}
