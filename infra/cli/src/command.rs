//! Runs a command line: prints the answer or the error, and sets the exit status.

use std::io::{self, IsTerminal, Read};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::mpsc;
use std::time::Duration;

use greenlight_admin as admin;
use greenlight_admin::audit::{MAX_GRANTS, find_grants, find_related, find_requests};
use greenlight_admin::dead_letters::{self, DeadLetterError, Pace, Which};
use greenlight_admin::operator::Operator;
use greenlight_admin::replay::{Replay, ReplayError, ReplaySources};
use greenlight_admin::status::MAX_WAITING;
use greenlight_core::Decision;
use greenlight_core::explain::{Explain, Explanation};
use greenlight_core::ports::Clock;
use greenlight_core::tick::TICK_EVERY;
use greenlight_render::format::OutputFormat;
use greenlight_render::grants::render as render_grants;
use greenlight_render::language::Language;
use greenlight_render::output::{log_writer, one_line, print, print_error, print_line, try_print};
use greenlight_render::{audit, dlq, grants_csv, replay, status, text};
use greenlight_server::server::Options;
use greenlight_sources::registry::Registry;
use greenlight_stores::{SecretFile, SystemClock};
use indicatif::{ProgressBar, ProgressDrawTarget};
use thiserror::Error;
use tracing_subscriber::EnvFilter;

use crate::arguments::common::SecretsFile;
use crate::arguments::{
    Arguments, Command, ConnectorsCommand, DecisionArgument, DlqCommand, FlowsCommand,
    SecretsCommand, SourcesCommand,
};
use crate::backend::{Address, Backend, BackendError};
use crate::doctor::{DoctorOptions, run_checks};
use crate::outcome::{Failed, NOT_FOUND, Output, is_confirmed, nothing_done};
use crate::secrets::{self, Secrets};
use crate::send_test::{self, Test, send_test};
use crate::sources::NoSuchSource;
use crate::{access, connectors, flows, help, serve, sources, ui};

/// The exit status of a partial success.
const IN_PART: u8 = 4;

/// The errors of the command line itself.
#[derive(Debug, Error, Explain)]
#[explain("command")]
enum CommandError {
    #[error("no URL: name it, or a stack with --stack")]
    NoUrl,
    #[error("{count} problem(s) with the instance")]
    Problems { count: usize },
    #[error("standard input cannot be read: {cause}")]
    Input { cause: io::Error },
    #[error("standard input is longer than {bytes} bytes: nothing is written")]
    TooLong { bytes: u64 },
    #[error("the manual pages cannot be written to {folder}: {cause}")]
    Manual { folder: String, cause: io::Error },
}

impl Failed {
    fn of_dlq(error: &DeadLetterError, language: Language) -> Self {
        let status = match error {
            DeadLetterError::NotFound(_) | DeadLetterError::NoneOfClass { .. } => NOT_FOUND,
            DeadLetterError::NotAll(_)
            | DeadLetterError::NotSeen { .. }
            | DeadLetterError::TakenMeanwhile(_) => IN_PART,
            DeadLetterError::Store(_) => 1,
        };
        Self { status, cause: Explanation::quoted(dlq::render_error(error, language)) }
    }

    fn of_replay(error: &ReplayError, language: Language) -> Self {
        let is_absent = matches!(error, ReplayError::Unknown(_));
        let status = if is_absent { NOT_FOUND } else { 1 };
        Self { status, cause: Explanation::quoted(replay::render_error(error, language)) }
    }
}

/// The wait at exit for blocking calls that hang, such as a DNS lookup.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_millis(500);

/// The wait at exit for the last lines of the log and of an error.
const LAST_LINES_TIMEOUT: Duration = Duration::from_secs(1);

/// The maximum size of a secret document.
const MAX_INPUT_BYTES: u64 = 64 * 1024;

/// Runs the command line, and ends the process with its exit status; [`ExitCode::FAILURE`] if the
/// runtime cannot start.
#[must_use]
pub fn run(arguments: Arguments, language: Language) -> ExitCode {
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
    let shown = runtime.block_on(answer(arguments.command, language));
    runtime.shutdown_timeout(SHUTDOWN_TIMEOUT);
    let failed = shown.and_then(|text| Ok(try_print(&text)?)).err();
    let status = failed.as_ref().map_or(0, |failed| failed.status);
    let (ended, end) = mpsc::channel();
    std::thread::spawn(move || {
        if let Some(failed) = failed {
            print_error(&language.explain(&failed.cause));
        }
        drop(log);
        let _ = ended.send(());
    });
    // The exit must not hang if standard error has no reader.
    let _ = end.recv_timeout(LAST_LINES_TIMEOUT);
    std::process::exit(i32::from(status))
}

async fn answer(command: Command, language: Language) -> Output {
    let format = |json: bool| OutputFormat::of_flag(json, language);
    match command {
        Command::Serve { listen, data_dir: data, files, secrets, ui } => {
            let secrets = Address::Folder(data.clone()).secrets_file(secrets.secrets);
            let flows::Files { flows, connectors, .. } = files.into();
            let tick_every = TICK_EVERY;
            keep_files_private();
            let options = Options { listen, data, secrets, flows, connectors, tick_every };
            serve::run(options, ui).await?;
            Ok(String::new())
        }
        Command::Status { waiting, backend, json } => {
            let backend = Backend::open(&backend.address()).await?;
            let (now, format) = (SystemClock.now(), format(json));
            if waiting {
                let histories = backend.stores.audit.waiting_requests(MAX_WAITING, now).await?;
                return Ok(status::render_waiting(&histories, now, format));
            }
            Ok(status::render(&backend.stores.status(now).await?, now, format))
        }
        Command::Audit { wanted, backend, json } => {
            audit_request(wanted, &backend.address(), format(json)).await
        }
        Command::Grants { of, backend, limit, json, csv } => {
            let (backend, of) = (Backend::open(&backend.address()).await?, of.as_deref());
            let limit = if csv { MAX_GRANTS } else { limit };
            let grants = find_grants(&*backend.stores.grants, of, limit).await?;
            if csv {
                return Ok(grants_csv::render(&grants));
            }
            Ok(render_grants(&grants, of, format(json)))
        }
        Command::Access(command) => access::run(command, language).await,
        Command::Dlq { command } => dlq(command, language).await,
        Command::Replay {
            instance,
            backend,
            decision,
            definition_id,
            source,
            force,
            json,
            yes,
        } => {
            let decision = match decision {
                DecisionArgument::Approved => Decision::Approved,
                DecisionArgument::Revoked => Decision::Revoked,
            };
            let (source, instance_id) = (source.source, instance);
            let asked = Replay { source, instance_id, decision, definition_id, force };
            replay_instance(&backend.address(), &asked, yes, json, language).await
        }
        Command::Doctor { json, backend, files, secrets } => {
            let (address, files) = (backend.address(), files.into());
            let secrets = address.secrets_file(secrets.secrets);
            let found = run_checks(&DoctorOptions { address, files, secrets }).await;
            print(&found.render(format(json)));
            found.result()?;
            Ok(String::new())
        }
        Command::Subscribe { code, source, json, backend, files, secrets } => {
            let (registry, secrets) =
                sources_with_secret(&backend.address(), files.into(), secrets).await?.0;
            let source = source.source.as_deref();
            let is_new = sources::subscribe(&registry, source, &secrets, &code).await?;
            Ok(sources::render_subscribed(&code, is_new, format(json)))
        }
        Command::Secrets { command: SecretsCommand::Set { backend, files, secrets } } => {
            set_secrets(&backend.address(), files.into(), secrets.secrets, language).await
        }
        Command::SendTest { url, source, backend, files, secrets, instance, definition_id } => {
            let test = match (instance, definition_id) {
                (Some(instance_id), Some(definition_id)) => {
                    Test::Approved { definition_id, instance_id }
                }
                _ => Test::UrlCheck,
            };
            let read = sources_with_secret(&backend.address(), files.into(), secrets).await?;
            send_test_event(url, source.source.as_deref(), read, &test, language).await
        }
        Command::Flows { files, command } => flows(&files.into(), command, language).await,
        Command::Connectors { connectors, command: ConnectorsCommand::List } => {
            Ok(connectors::render(&connectors::list(connectors.folder().as_deref())?, language))
        }
        Command::Sources { command: SourcesCommand::List } => Ok(sources::render_kinds(language)),
        Command::Ui { backend, port } => {
            let backend = Backend::open(&backend.address()).await?;
            let who = backend.operator().await?.who;
            ui::run(backend.stores, who, port, language).await?;
            Ok(String::new())
        }
        Command::Completions { shell } => {
            let mut text = Vec::new();
            clap_complete::generate(shell, &mut help::command(language), "greenlight", &mut text);
            Ok(String::from_utf8_lossy(&text).into_owned())
        }
        Command::Man { folder } => write_manual(&folder, language),
    }
}

async fn send_test_event(
    url: Option<String>,
    source: Option<&str>,
    ((registry, secrets), backend): ((Registry, Secrets), Option<Backend>),
    test: &Test,
    language: Language,
) -> Output {
    let of_backend = || Some(webhook_url(backend.as_ref()?.webhook_url()?, source));
    let Some(url) = url.or_else(of_backend) else {
        return Err(Failed { status: 2, ..CommandError::NoUrl.into() });
    };
    let answer = send_test(&url, &registry, source, &secrets, test).await?;
    Ok(send_test::render(&answer, language))
}

fn write_manual(folder: &Path, language: Language) -> Output {
    let written = std::fs::create_dir_all(folder)
        .and_then(|()| clap_mangen::generate_to(help::command_without_help(language), folder));
    let folder = folder.display().to_string();
    written.map_err(|cause| CommandError::Manual { folder: folder.clone(), cause })?;
    Ok(text!(language, "the manual pages are in {folder}\n", "手册页已写入 {folder}\n"))
}

/// Makes all new files private to the user, also those of libraries such as SQLite.
fn keep_files_private() {
    #[cfg(unix)]
    rustix::process::umask(rustix::fs::Mode::RWXG | rustix::fs::Mode::RWXO);
}

/// The sources and the secret of a backend, with the backend if that is a stack.
async fn sources_with_secret(
    address: &Address,
    files: flows::Files,
    secrets: SecretsFile,
) -> Result<((Registry, Secrets), Option<Backend>), Failed> {
    let (backend, secrets) = secrets_at(address, secrets.secrets).await?;
    let registry = sources_at(address, backend.as_ref(), files).await?;
    Ok(((registry, secrets), backend))
}

async fn replay_instance(
    address: &Address,
    asked: &Replay,
    is_said: bool,
    json: bool,
    language: Language,
) -> Output {
    let backend = Backend::open(address).await?;
    let question = language.pick(
        "Discard the recorded effects, and perform all of them again?",
        "丢弃已记录的结果，并重新执行全部操作？",
    );
    if asked.force && !is_confirmed(question, is_said)? {
        return Ok(nothing_done(language));
    }
    let sources = replay_sources(address, &backend, asked.source.as_deref()).await?;
    let (audit, requests) = (&*backend.stores.audit, &*backend.stores.requests);
    let (operator, now) = (backend.operator().await?, SystemClock.now());
    let request = admin::replay::replay(audit, requests, &operator, asked, &sources, now).await;
    let request = request.map_err(|error| Failed::of_replay(&error, language))?;
    Ok(replay::render(&request, OutputFormat::of_flag(json, language)))
}

/// The webhook URL of a source: that of the default source, with the source's name.
fn webhook_url(default: &str, source: Option<&str>) -> String {
    match source {
        None => default.to_owned(),
        Some(source) => format!("{}/{source}", default.trim_end_matches('/')),
    }
}

/// The sources of the given flows, else of those that are deployed at the backend, else of those
/// that are built in.
async fn sources_at(
    address: &Address,
    backend: Option<&Backend>,
    files: flows::Files,
) -> Result<Registry, Failed> {
    let of_folder = match address {
        // Before the first `serve` there is none.
        Address::Folder(_) if backend.is_none() => Backend::open(address).await.ok(),
        _ => None,
    };
    let backend = backend.or(of_folder.as_ref());
    let known = |name: &str| Backend::variable_of(backend, name);
    let files = match backend {
        Some(backend) => flows::of_backend(backend, files).await?.files,
        None => files,
    };
    Ok(flows::sources(&files, &known)?)
}

async fn replay_sources(
    address: &Address,
    backend: &Backend,
    source: Option<&str>,
) -> Result<ReplaySources, Failed> {
    let registry = sources_at(address, Some(backend), flows::Files::default()).await?;
    if source.is_some() && registry.find(source).is_none() {
        return Err(NoSuchSource::new(source, &registry).into());
    }
    let not_readable = registry.iter().filter(|(_, kind)| !kind.is_readable());
    Ok(ReplaySources {
        default: registry.find(None).map(|(name, _)| name.to_owned()),
        not_readable: not_readable.map(|(name, _)| name.to_owned()).collect(),
    })
}

async fn flows(files: &flows::Files, command: FlowsCommand, language: Language) -> Output {
    Ok(match command {
        FlowsCommand::Validate { backend } => {
            let checked = flows::check(files)?;
            if let Some(address) = backend.named() {
                let backend = Backend::open(&address).await?;
                let names = backend.stores.grants.names_in_use().await?;
                flows::check_names(files, &names)?;
            }
            flows::render_checked(&checked, language)
        }
        FlowsCommand::Schema => flows::schema(),
        FlowsCommand::Plan { flow, instance, secrets, json } => {
            let secrets = Address::Folder(".greenlight".into()).secrets_file(secrets.secrets);
            let run = flows::dry_run(files, &flow, &instance, secrets).await?;
            let text = flows::render_dry_run(&run, OutputFormat::of_flag(json, language));
            if run.problems.is_empty() {
                return Ok(text);
            }
            print(&text);
            return Err(CommandError::Problems { count: run.problems.len() }.into());
        }
    })
}

async fn set_secrets(
    address: &Address,
    files: flows::Files,
    file: Option<PathBuf>,
    language: Language,
) -> Output {
    let (backend, secrets) = secrets_at(address, file).await?;
    let known = |name: &str| Backend::variable_of(backend.as_ref(), name);
    let of_backend = match &backend {
        Some(backend) => Some(flows::of_backend(backend, files.clone()).await?),
        None => None,
    };
    let files = of_backend.as_ref().map_or(&files, |of_backend| &of_backend.files);
    let checked = flows::read_with(files, &known)?;
    let (needed, sources) = (flows::credentials(&checked), &checked.sources);
    if let Some(difference) = of_backend.as_ref().and_then(|of_backend| of_backend.difference) {
        print_line(&language.explain(&difference.explain()));
    }
    let written = if io::stdin().is_terminal() {
        secrets::set(&secrets, &needed, sources, |path, is_set| ask(path, is_set, language)).await?
    } else {
        secrets::set_from(&secrets, &needed, sources, &read_input()?).await?
    };
    Ok(written.render(language))
}

async fn audit_request(wanted: String, address: &Address, format: OutputFormat) -> Output {
    let backend = Backend::open(address).await?;
    let histories = find_requests(&*backend.stores.audit, &wanted).await?;
    let related = find_related(&backend.stores, &wanted, &histories).await?;
    if histories.is_empty() && related.acts.is_empty() {
        return Err(Failed { status: NOT_FOUND, ..audit::NotFound { wanted }.into() });
    }
    Ok(audit::render(&histories, &related, SystemClock.now(), format))
}

async fn dlq(command: DlqCommand, language: Language) -> Output {
    let format = |json: bool| OutputFormat::of_flag(json, language);
    let failed = |error: DeadLetterError| Failed::of_dlq(&error, language);
    match command {
        DlqCommand::List { backend, json } => {
            let backend = Backend::open(&backend.address()).await?;
            let seen = dead_letters::look(&*backend.stores.dead_letters, &SystemClock).await?;
            let text = dlq::render_list(&seen, format(json));
            match seen.elsewhere {
                None => Ok(text),
                Some(elsewhere) => {
                    print(&text);
                    Err(failed(DeadLetterError::NotAll(elsewhere)))
                }
            }
        }
        DlqCommand::Show { id, backend, json } => {
            let backend = Backend::open(&backend.address()).await?;
            let letter = dead_letters::find(&*backend.stores.dead_letters, &id, &SystemClock)
                .await
                .map_err(failed)?;
            Ok(dlq::render(&letter, format(json)))
        }
        DlqCommand::Redrive { ids, class, backend, dry_run, rate, json, yes } => {
            let backend = Backend::open(&backend.address()).await?;
            let which = class.map_or(Which::Ids(ids), Which::OfClass);
            let question = match &which {
                Which::Ids(ids) => text!(
                    language,
                    "Put {count} dead letter(s) back into the queue?",
                    "将 {count} 条死信重新入队？",
                    count = ids.len()
                ),
                Which::OfClass(class) => text!(
                    language,
                    "Put all dead letters of `{class}` back?",
                    "将类别为 `{class}` 的全部死信重新入队？"
                ),
            };
            if !dry_run && !is_confirmed(&question, yes)? {
                return Ok(nothing_done(language));
            }
            let pace = Pace { is_dry: dry_run, per_second: rate };
            let operator = backend.operator().await?;
            let redriven = redrive(&backend, &operator, &which, pace, format(json)).await;
            redriven.map_err(failed)?;
            Ok(String::new())
        }
        DlqCommand::Discard { id, reason, json, backend, yes } => {
            let backend = Backend::open(&backend.address()).await?;
            let question = text!(language, "Discard {id} for good?", "彻底移出死信 {id}？");
            if !is_confirmed(&question, yes)? {
                return Ok(nothing_done(language));
            }
            let (queue, operator) = (&*backend.stores.dead_letters, backend.operator().await?);
            dead_letters::discard(queue, &operator, &id, &reason, &SystemClock)
                .await
                .map_err(failed)?;
            Ok(dlq::render_discarded(&id, &reason, format(json)))
        }
    }
}

/// Prints a line per dead letter, and on a terminal a progress bar until the end.
async fn redrive(
    backend: &Backend,
    operator: &Operator,
    which: &Which,
    pace: Pace,
    format: OutputFormat,
) -> Result<(), DeadLetterError> {
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
    let queue = &*backend.stores.dead_letters;
    let result = dead_letters::redrive(queue, operator, which, pace, &SystemClock, |redriven| {
        bar.set_length(u64::try_from(redriven.of).unwrap_or(u64::MAX));
        bar.set_position(u64::try_from(redriven.number).unwrap_or(u64::MAX));
        bar.suspend(|| print_line(&dlq::render_redriven(&redriven, format)));
    });
    let result = result.await;
    bar.finish_and_clear();
    result
}

/// Reads standard input.
fn read_input() -> Result<String, CommandError> {
    let text = io::read_to_string(io::stdin().take(MAX_INPUT_BYTES + 1));
    let text = text.map_err(|cause| CommandError::Input { cause })?;
    if text.len() as u64 > MAX_INPUT_BYTES {
        return Err(CommandError::TooLong { bytes: MAX_INPUT_BYTES });
    }
    Ok(text)
}

/// Asks for a credential without echo.
fn ask(path: &str, is_set: bool, language: Language) -> io::Result<String> {
    let path = one_line(path);
    let kept =
        if is_set { language.pick(" (Enter keeps it)", "（回车保留原值）") } else { "" };
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
