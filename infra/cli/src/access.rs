//! What an operator does about access without an approval: grant, extend, end, block, offboard.

use std::time::Duration;

use clap::{Args, Subcommand};
use greenlight_admin::grants::{self, GrantError, NewGrant};
use greenlight_core::Timestamp;
use greenlight_core::explain::{Explain, Explanation};
use greenlight_core::ports::Clock;
use greenlight_core::subject::{KINDS, Subject, kind_named};
use greenlight_render::access;
use greenlight_render::format::OutputFormat;
use greenlight_render::language::Language;
use greenlight_render::text;
use greenlight_stores::SystemClock;
use thiserror::Error;

use crate::arguments::{BackendArgs, FlowFiles, not_empty};
use crate::backend::Backend;
use crate::command::{Failed, NOT_FOUND, Output, is_confirmed, nothing_done};
use crate::flows;

/// The most acts and blocks that are listed by default.
const LISTED: usize = 50;

/// The commands about access without an approval
#[derive(Debug, Subcommand)]
pub enum AccessCommand {
    /// Give access without an approval, until a time
    Grant {
        /// The person who holds it, by the office system's id
        #[arg(long, value_name = "PERSON", value_parser = not_empty)]
        owner: String,
        /// To whom, where, and how long
        #[command(flatten)]
        access: AccessArgs,
    },
    /// Extend an access until a later time; what approvals hold stays as it is
    Extend {
        /// Whose, where, and how long
        #[command(flatten)]
        access: AccessArgs,
    },
    /// End the access of a subject, whatever approvals hold it
    End {
        /// A MAC or IP address in any notation, an e-mail address, a person, a text
        subject: String,
        /// Only at this target
        #[arg(long, value_name = "NAME")]
        target: Option<String>,
        /// Why; it is recorded
        #[arg(long, value_name = "TEXT", value_parser = not_empty)]
        reason: String,
        /// The backend
        #[command(flatten)]
        backend: BackendArgs,
        /// One JSON object per approval that held it
        #[arg(long)]
        json: bool,
        /// Do not ask
        #[arg(long, short)]
        yes: bool,
    },
    /// Block a subject: it loses all access, and no approval gives it any
    Block {
        /// Whom or what
        #[command(flatten)]
        subject: SubjectArgs,
        /// Until when [default: until it is unblocked]
        #[command(flatten)]
        until: OptionalUntilArgs,
        /// Why; it is recorded
        #[arg(long, value_name = "TEXT", value_parser = not_empty)]
        reason: String,
        /// The backend
        #[command(flatten)]
        backend: BackendArgs,
        /// Which flows
        #[command(flatten)]
        files: FlowFiles,
        /// One JSON object per approval that held access
        #[arg(long)]
        json: bool,
        /// Do not ask
        #[arg(long, short)]
        yes: bool,
    },
    /// Let approvals give a blocked subject access again
    Unblock {
        /// Whom or what
        #[command(flatten)]
        subject: SubjectArgs,
        /// Why; it is recorded
        #[arg(long, value_name = "TEXT", value_parser = not_empty)]
        reason: String,
        /// The backend
        #[command(flatten)]
        backend: BackendArgs,
    },
    /// List the blocked subjects: who blocked them, since when, and why
    Blocks {
        /// The backend
        #[command(flatten)]
        backend: BackendArgs,
        /// One JSON object per subject
        #[arg(long)]
        json: bool,
    },
    /// End every access that a person holds
    Offboard {
        /// The person, by the office system's id
        person: String,
        /// Only list what would end
        #[arg(long)]
        dry_run: bool,
        /// The backend
        #[command(flatten)]
        backend: BackendArgs,
        /// One JSON object per approval that held access
        #[arg(long)]
        json: bool,
        /// Do not ask
        #[arg(long, short)]
        yes: bool,
    },
    /// List what operators did: who, what, when, and why
    Acts {
        /// The maximum number of acts
        #[arg(long, default_value_t = LISTED, value_name = "N")]
        limit: usize,
        /// The backend
        #[command(flatten)]
        backend: BackendArgs,
        /// One JSON object per act
        #[arg(long)]
        json: bool,
    },
}

/// An access that an operator gives
#[derive(Args, Clone, Debug)]
pub struct AccessArgs {
    /// To whom or what
    #[command(flatten)]
    subject: SubjectArgs,
    /// The target, as `[targets.NAME]` in flows.toml
    #[arg(long, value_name = "NAME")]
    target: String,
    /// How long it lasts
    #[command(flatten)]
    until: UntilArgs,
    /// Why; it is recorded
    #[arg(long, value_name = "TEXT", value_parser = not_empty)]
    reason: String,
    /// The connector's operation, if it has several that grant
    #[arg(long, value_name = "NAME")]
    operation: Option<String>,
    /// The backend
    #[command(flatten)]
    backend: BackendArgs,
    /// Which flows
    #[command(flatten)]
    files: FlowFiles,
    /// As a JSON object
    #[arg(long)]
    json: bool,
}

/// A subject
#[derive(Args, Clone, Debug)]
pub struct SubjectArgs {
    /// A MAC or IP address in any notation, an e-mail address; with --kind a person or a text
    subject: String,
    /// The kind of the subject, where it is not one of these
    #[arg(long, value_name = "KIND")]
    kind: Option<String>,
}

/// An end
#[derive(Args, Clone, Debug)]
#[group(required = true, multiple = false)]
pub struct UntilArgs {
    /// How long, from now: `4h`, `30days`
    #[arg(long = "for", value_name = "DURATION", value_parser = humantime::parse_duration)]
    duration: Option<Duration>,
    /// Until when, in RFC 3339: `2027-12-31T18:00:00+08:00`
    #[arg(long, value_name = "TIME", value_parser = moment)]
    until: Option<Timestamp>,
}

/// An end, or none
#[derive(Args, Clone, Debug)]
#[group(multiple = false)]
pub struct OptionalUntilArgs {
    /// How long, from now: `4h`, `30days`
    #[arg(long = "for", value_name = "DURATION", value_parser = humantime::parse_duration)]
    duration: Option<Duration>,
    /// Until when, in RFC 3339: `2027-12-31T18:00:00+08:00`
    #[arg(long, value_name = "TIME", value_parser = moment)]
    until: Option<Timestamp>,
}

fn moment(text: &str) -> Result<Timestamp, String> {
    let example = "2027-12-31T18:00:00+08:00";
    Timestamp::of_moment(text).ok_or_else(|| format!("not a time in RFC 3339, such as {example}"))
}

/// The subject on the command line is none.
#[derive(Debug, Error, Explain)]
#[explain("subject_argument")]
enum SubjectProblem {
    #[error("there is no kind `{kind}`; there is: {known}")]
    Kind { kind: String, known: String },
    #[error("not of the kind `{kind}`: {cause}")]
    Value { kind: String, cause: Explanation },
    #[error("neither a MAC nor an IP nor an e-mail address: name the kind with --kind")]
    Unknown,
}

impl SubjectArgs {
    fn parse(&self) -> Result<Subject, SubjectProblem> {
        let known = || KINDS.iter().map(|kind| kind.name()).collect::<Vec<_>>().join(", ");
        let Some(name) = &self.kind else {
            let guessed = ["mac", "ip", "email"].into_iter().filter_map(kind_named);
            let mut parsed = guessed.filter_map(|kind| Subject::parse(kind, &self.subject).ok());
            return parsed.next().ok_or(SubjectProblem::Unknown);
        };
        let kind = kind_named(name);
        let kind =
            kind.ok_or_else(|| SubjectProblem::Kind { kind: name.clone(), known: known() })?;
        let value = |cause| SubjectProblem::Value { kind: name.clone(), cause };
        Subject::parse(kind, &self.subject).map_err(value)
    }
}

fn failed(error: &GrantError, language: Language) -> Failed {
    let status = if matches!(error, GrantError::NotGranted(_)) { NOT_FOUND } else { 1 };
    Failed { status, cause: Explanation::quoted(access::render_error(error, language)) }
}

/// Gives access to `owner`, or to the person who holds it now.
async fn give(
    access: AccessArgs,
    owner: Option<String>,
    now: Timestamp,
    language: Language,
) -> Output {
    let AccessArgs { subject, target, until, reason, operation, backend, files, json } = access;
    let subject = subject.parse()?;
    let backend = Backend::open(&backend.address()).await?;
    let setup = flows::setup_of(&backend, files.into()).await?;
    let (operation, revoked_by) = setup.granting(&target, operation.as_deref())?;
    let until = end_of(until.duration, until.until, now).unwrap_or(now);
    let (is_new, revoked_by) = (owner.is_some(), Some(revoked_by));
    let owner = owner.unwrap_or_default();
    let new = NewGrant { target, subject, operation, revoked_by, owner, until };
    let operator = backend.operator().await?;
    let stores = &backend.stores;
    let given = if is_new {
        grants::grant(stores, &operator, &new, &reason, now).await
    } else {
        grants::extend(stores, &operator, new, &reason, now).await
    };
    let given = given.map_err(|error| failed(&error, language))?;
    Ok(access::render_granted(&given, OutputFormat::of_flag(json, language)))
}

fn end_of(
    duration: Option<Duration>,
    until: Option<Timestamp>,
    now: Timestamp,
) -> Option<Timestamp> {
    until.or_else(|| Some(now.plus(duration?)))
}

/// Runs a command about access.
pub(crate) async fn run(command: AccessCommand, language: Language) -> Output {
    let (now, format) = (SystemClock.now(), |json: bool| OutputFormat::of_flag(json, language));
    let failed = |error: GrantError| failed(&error, language);
    match command {
        AccessCommand::Grant { owner, access } => give(access, Some(owner), now, language).await,
        AccessCommand::Extend { access } => give(access, None, now, language).await,
        AccessCommand::End { subject, target, reason, backend, json, yes } => {
            let backend = Backend::open(&backend.address()).await?;
            let question =
                text!(language, "End the access of {subject}?", "结束 {subject} 的授权？");
            if !is_confirmed(&question, yes)? {
                return Ok(nothing_done(language));
            }
            let operator = backend.operator().await?;
            let at = (subject.as_str(), target.as_deref());
            let ended = grants::end(&backend.stores, &operator, at, &reason, now).await;
            Ok(access::render_ended(&ended.map_err(failed)?, false, format(json)))
        }
        AccessCommand::Block { subject, until, reason, backend, files, json, yes } => {
            let subject = subject.parse()?;
            let backend = Backend::open(&backend.address()).await?;
            // In an emergency it must not matter whether the flows can be read.
            let setup = flows::setup_of(&backend, files.into()).await.ok();
            let targets = setup.iter().flat_map(|setup| setup.targets().map(str::to_owned));
            let targets: Vec<_> = targets.collect();
            let question = text!(language, "Block {subject}?", "封禁 {subject}？");
            if !is_confirmed(&question, yes)? {
                return Ok(nothing_done(language));
            }
            let operator = backend.operator().await?;
            let (of, until) = ((&subject, &*targets), end_of(until.duration, until.until, now));
            let ended = grants::block(&backend.stores, &operator, of, until, &reason, now).await;
            Ok(access::render_blocked(&subject, &ended.map_err(failed)?, format(json)))
        }
        AccessCommand::Unblock { subject, reason, backend } => {
            let subject = subject.parse()?;
            let backend = Backend::open(&backend.address()).await?;
            let operator = backend.operator().await?;
            let unblocked =
                grants::unblock(&backend.stores, &operator, &subject, &reason, now).await;
            unblocked.map_err(failed)?;
            Ok(access::render_unblocked(&subject, language))
        }
        AccessCommand::Blocks { backend, json } => {
            let backend = Backend::open(&backend.address()).await?;
            let blocks = backend.stores.blocks.blocks(usize::from(u16::MAX)).await?;
            Ok(access::render_blocks(&blocks, now, format(json)))
        }
        AccessCommand::Offboard { person, dry_run, backend, json, yes } => {
            let backend = Backend::open(&backend.address()).await?;
            let question =
                text!(language, "End every access of {person}?", "结束 {person} 的全部授权？");
            if !dry_run && !is_confirmed(&question, yes)? {
                return Ok(nothing_done(language));
            }
            let operator = backend.operator().await?;
            let ended = grants::offboard(&backend.stores, &operator, &person, dry_run, now).await;
            Ok(access::render_ended(&ended.map_err(failed)?, dry_run, format(json)))
        }
        AccessCommand::Acts { limit, backend, json } => {
            let backend = Backend::open(&backend.address()).await?;
            let forever = Timestamp::from_millis(i64::MAX);
            let acts = backend.stores.acts.acts(limit, forever).await?;
            Ok(access::render_acts(&acts, format(json)))
        }
    }
}
