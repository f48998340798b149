//! What an operator does about access without an approval: grant, extend, end, block, offboard.

use std::time::Duration;

use greenlight_admin::erase::{EraseError, erase};
use greenlight_admin::grants::{self, GrantError, NewGrant};
use greenlight_core::Timestamp;
use greenlight_core::explain::{Explain, Explanation};
use greenlight_core::ports::Clock;
use greenlight_core::subject::{KINDS, Subject, kind_named};
use greenlight_render::access;
use greenlight_render::acts::render_acts;
use greenlight_render::format::OutputFormat;
use greenlight_render::language::Language;
use greenlight_render::output::print_error;
use greenlight_render::text;
use greenlight_stores::SystemClock;
use thiserror::Error;

use crate::arguments::access::{AccessArgs, AccessCommand, SubjectArgs};
use crate::backend::Backend;
use crate::flows;
use crate::outcome::{Failed, NOT_FOUND, Output, is_confirmed, nothing_done};

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
            let setup = flows::setup_of(&backend, files.into()).await;
            if let Err(problem) = &setup {
                print_error(&language.explain(&problem.explain()));
            }
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
        AccessCommand::Erase { person, reason, dry_run, backend, json, yes } => {
            let backend = Backend::open(&backend.address()).await?;
            let question = text!(
                language,
                "Replace {person} by a pseudonym, for good?",
                "将 {person} 永久替换为化名？"
            );
            if !dry_run && !is_confirmed(&question, yes)? {
                return Ok(nothing_done(language));
            }
            let operator = backend.operator().await?;
            let erased = erase(&backend.stores, &operator, &person, &reason, dry_run, now).await;
            let failed = |error: EraseError| {
                let cause = access::render_erase_error(&error, language);
                Failed { status: 1, cause: Explanation::quoted(cause) }
            };
            let erased = erased.map_err(failed)?;
            Ok(access::render_erased(&person, &erased, dry_run, format(json)))
        }
        AccessCommand::Acts { limit, backend, json } => {
            let backend = Backend::open(&backend.address()).await?;
            let forever = Timestamp::from_millis(i64::MAX);
            let acts = backend.stores.acts.acts(limit, forever).await?;
            Ok(render_acts(&acts, format(json)))
        }
    }
}
