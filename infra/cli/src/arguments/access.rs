//! The command line of the commands about access without an approval.

use std::time::Duration;

use clap::{Args, Subcommand};
use greenlight_core::Timestamp;

use super::common::{BackendArgs, FlowFiles, not_empty};

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
    /// Replace the identifiers of a person by a pseudonym, in requests and in access that has ended
    Erase {
        /// The person, by the office system's id
        person: String,
        /// Why; it is recorded
        #[arg(long, value_name = "TEXT", value_parser = not_empty)]
        reason: String,
        /// Only count what would be changed
        #[arg(long)]
        dry_run: bool,
        /// The backend
        #[command(flatten)]
        backend: BackendArgs,
        /// As a JSON object
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
    pub(crate) subject: SubjectArgs,
    /// The target, as `[targets.NAME]` in flows.toml
    #[arg(long, value_name = "NAME")]
    pub(crate) target: String,
    /// How long it lasts
    #[command(flatten)]
    pub(crate) until: UntilArgs,
    /// Why; it is recorded
    #[arg(long, value_name = "TEXT", value_parser = not_empty)]
    pub(crate) reason: String,
    /// The connector's operation, if it has several that grant
    #[arg(long, value_name = "NAME")]
    pub(crate) operation: Option<String>,
    /// The backend
    #[command(flatten)]
    pub(crate) backend: BackendArgs,
    /// Which flows
    #[command(flatten)]
    pub(crate) files: FlowFiles,
    /// As a JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

/// A subject
#[derive(Args, Clone, Debug)]
pub struct SubjectArgs {
    /// A MAC or IP address in any notation, an e-mail address; with --kind a person or a text
    pub(crate) subject: String,
    /// The kind of the subject, where it is not one of these
    #[arg(long, value_name = "KIND")]
    pub(crate) kind: Option<String>,
}

/// An end
#[derive(Args, Clone, Debug)]
#[group(required = true, multiple = false)]
pub struct UntilArgs {
    /// How long, from now: `4h`, `30days`
    #[arg(long = "for", value_name = "DURATION", value_parser = humantime::parse_duration)]
    pub(crate) duration: Option<Duration>,
    /// Until when, in RFC 3339: `2027-12-31T18:00:00+08:00`
    #[arg(long, value_name = "TIME", value_parser = moment)]
    pub(crate) until: Option<Timestamp>,
}

/// An end, or none
#[derive(Args, Clone, Debug)]
#[group(multiple = false)]
pub struct OptionalUntilArgs {
    /// How long, from now: `4h`, `30days`
    #[arg(long = "for", value_name = "DURATION", value_parser = humantime::parse_duration)]
    pub(crate) duration: Option<Duration>,
    /// Until when, in RFC 3339: `2027-12-31T18:00:00+08:00`
    #[arg(long, value_name = "TIME", value_parser = moment)]
    pub(crate) until: Option<Timestamp>,
}

fn moment(text: &str) -> Result<Timestamp, String> {
    let example = "2027-12-31T18:00:00+08:00";
    Timestamp::of_moment(text).ok_or_else(|| format!("not a time in RFC 3339, such as {example}"))
}
