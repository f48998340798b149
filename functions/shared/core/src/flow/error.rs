//! The validation errors of `flows.toml`.

#![allow(missing_docs, reason = "the text of a variant says what its fields are")]

use thiserror::Error;

use super::NotBound;
use crate::explain::Explain;
use crate::key_path::KeyPath;
use crate::renamed::RenamedKey;
use crate::retry::RetryProblem;

/// The reason for which a target or source cannot have been renamed.
#[derive(Clone, Debug, Error, Explain, PartialEq, Eq)]
#[explain("rename")]
pub enum RenameProblem {
    #[error("`{0}` is no name: one has 1 to 64 letters, digits and `-_.`")]
    NoName(String),
    #[error("`{0}` is its name now")]
    SameName(String),
    #[error("another one has the name `{0}`")]
    NameInUse(String),
    #[error("another one was renamed from `{0}`, too")]
    RenamedTwice(String),
}

/// A validation error in `flows.toml`.
#[derive(Clone, Debug, Error, Explain, PartialEq, Eq)]
#[explain("flows")]
pub enum FlowsError {
    /// Not TOML, a key that is unknown or missing, or a value of the wrong type.
    #[error("the file is not valid: {problem}")]
    Toml {
        /// Counted from 1.
        line: usize,
        /// The error, with its position.
        problem: String,
    },
    /// A key by its earlier name.
    #[error(transparent)]
    Renamed(#[from] RenamedKey),
    /// `${NAME}` refers to an environment variable that is not set.
    #[error("`{place}` needs the environment variable {name}, which is not set or is empty")]
    Unset {
        /// The key.
        place: KeyPath,
        /// The variable.
        name: String,
    },
    /// A `${` without an end, or without a valid name.
    #[error("`{place}` has a `${{` that is not followed by NAME and `}}`")]
    Placeholder {
        /// The key.
        place: KeyPath,
    },
    /// No source at all.
    #[error("there is no source: add `[sources.NAME]` with a `kind`")]
    NoSource,
    /// A source whose name could not be part of a key.
    #[error(
        "source `{0}`: a name has 1 to 64 letters, digits and `-_.`, and is not `sources` or \
         `targets`"
    )]
    SourceName(String),
    /// Two sources are the default.
    #[error("the sources `{first}` and `{second}` both have `default = true`")]
    TwoDefaults { first: String, second: String },
    /// Several sources, and none is the default.
    #[error(
        "one of the sources needs `default = true`: `/api/event` is its URL, and flows without \
         `source` are for it; there is: {known}"
    )]
    NoDefault {
        /// The existing names.
        known: String,
    },
    /// A source that does not exist.
    #[error("flow `{flow}` names the source `{name}`, which does not exist; known: {known}")]
    UnknownSource {
        flow: String,
        name: String,
        /// The existing names.
        known: String,
    },
    /// A target that does not exist.
    #[error("flow `{flow}` names the target `{name}`, which does not exist; known: {known}")]
    UnknownTarget {
        flow: String,
        name: String,
        /// The existing names.
        known: String,
    },
    /// `for_each` names no field with subjects.
    #[error(
        "flow `{flow}`: `for_each` names `{name}`, which is no field with subjects; there is: \
         {known}"
    )]
    UnknownField {
        flow: String,
        name: String,
        /// The fields with subjects.
        known: String,
    },
    /// `owner` names no field of one person.
    #[error(
        "flow `{flow}`: `owner` names `{name}`, which is no field of the kind `person` without \
         `multiple`"
    )]
    UnknownOwner { flow: String, name: String },
    /// The owner of what an action grants is not known.
    #[error("flow `{flow}`: `owner` names `{name}` for the subjects of `{for_each}`: {cause}")]
    UnboundOwner {
        flow: String,
        name: String,
        for_each: String,
        /// Why it is not.
        cause: NotBound,
    },
    /// `until` names no field of one date.
    #[error(
        "flow `{flow}`: `until` names `{name}`, which is no field of the kind `date` without \
         `multiple`"
    )]
    UnknownEnd { flow: String, name: String },
    /// The end of what an action grants is not known.
    #[error("flow `{flow}`: `until` names `{name}` for the subjects of `{for_each}`: {cause}")]
    UnboundEnd {
        flow: String,
        name: String,
        for_each: String,
        /// Why it is not.
        cause: NotBound,
    },
    /// An end that a form can leave out, without a limit.
    #[error(
        "flow `{flow}`: the form can leave `{name}` out, and access would have no end: add \
         `at_most`, or make the field required"
    )]
    OpenEnd { flow: String, name: String },
    /// `replaces` names no field of one subject.
    #[error(
        "flow `{flow}`: `replaces` names `{name}`, which is no field with one subject that no \
         action is performed for"
    )]
    UnknownReplaced { flow: String, name: String },
    /// What an access replaces is not known.
    #[error("flow `{flow}`: `replaces` names `{name}` for the subjects of `{for_each}`: {cause}")]
    UnboundReplaced {
        flow: String,
        name: String,
        for_each: String,
        /// Why it is not.
        cause: NotBound,
    },
    /// Keys of `[flows.grant]` that exclude or need each other, or a duration of nothing.
    #[error("flow `{flow}`: `grant`: {problem}")]
    Grant { flow: String, problem: GrantProblem },
    /// Subjects of the kind `text` without a pattern.
    #[error(
        "field `{field}` of flow `{flow}` needs a `pattern`: an action is performed for each text \
         in it"
    )]
    NoPattern { flow: String, field: String },
    /// A key that the kind of the field does not have.
    #[error("field `{field}` of flow `{flow}`: `{key}` is for fields of the kind `{kind}`")]
    OtherKind { flow: String, field: String, key: &'static str, kind: &'static str },
    /// A field whose name no template could use.
    #[error(
        "field `{field}` of flow `{flow}`: a name starts with a to z and has letters, digits and \
         `_`, and is none of: {reserved}"
    )]
    FieldName { flow: String, field: String, reserved: String },
    /// A target whose name could not be part of a key.
    #[error("target `{0}`: a name has 1 to 64 letters, digits and `-_.`")]
    TargetName(String),
    /// A name with which this target or source cannot have begun.
    #[error("`{place}`: {problem}")]
    RenamedFrom {
        /// The key.
        place: KeyPath,
        problem: RenameProblem,
    },
    /// A definition that no event can name.
    #[error(
        "flow `{0}`: `definition_id` must be 1 to 128 ASCII letters, digits or characters of \
         `_-.:@=`"
    )]
    NoDefinition(String),
    /// Two flows for the same outcome of the same approval.
    #[error(
        "flow `{second}` can never run: `{first}` has the same source, definition and decision"
    )]
    Unreachable {
        /// The flow that runs.
        first: String,
        /// The flow that never runs.
        second: String,
    },
    /// Flows start with an approval: what it granted is removed when it is withdrawn.
    #[error(
        "flow `{0}`: the decision `revoked` starts no flow: what an approval granted is removed \
         when it is withdrawn, by `when_withdrawn` of its own flow"
    )]
    Revoked(String),
    /// Two flows of the same name.
    #[error("there are two flows `{0}`: logs and the ledger could not distinguish them")]
    SameName(String),
    /// A flow without any action.
    #[error("flow `{0}` has no actions")]
    Idle(String),
    /// A retry policy that no queue could keep to.
    #[error("`retry`: {0}")]
    Retry(RetryProblem),
    /// Records would be forgotten too early.
    #[error(
        "`ledger.retention` is at least {days}days: 28 days more than the largest `max_age`, and than \
         the 62 days that sweeps look back, so that no approval is carried out again after its \
         record is gone"
    )]
    Retention {
        /// The least, in days.
        days: u64,
    },
    /// An invalid combination of TLS settings.
    #[error("target `{target}`: `tls`: {problem}")]
    Tls {
        target: String,
        /// The reason.
        problem: TlsProblem,
    },
    /// A default that a form could not contain.
    #[error("the default of field `{field}` of flow `{flow}`: {problem}")]
    Default {
        flow: String,
        field: String,
        /// The expected value.
        problem: DefaultProblem,
    },
    /// A field without a place to read from.
    #[error("field `{field}` of flow `{flow}` has an empty `from`")]
    Nowhere { flow: String, field: String },
}

/// Keys of `[flows.grant]` that do not fit together.
#[derive(Clone, Copy, Debug, Error, Explain, PartialEq, Eq)]
#[explain("flows_grant")]
pub enum GrantProblem {
    /// Two ends.
    #[error("`until` and `lasts` exclude each other")]
    TwoEnds,
    /// A limit, or a zone, of nothing.
    #[error("`{key}` needs `until`")]
    NeedsUntil { key: &'static str },
    /// No time at all.
    #[error("`{key}` is at least 1s")]
    NoTime { key: &'static str },
    /// No access at all.
    #[error("`per_owner` is at least 1, and at most {most}")]
    PerOwner { most: usize },
    /// A rule about a limit that is not there.
    #[error("`when_full` needs `per_owner`")]
    NeedsPerOwner,
}

/// TLS settings that exclude each other, or cannot be used.
#[derive(Clone, Copy, Debug, Error, Explain, PartialEq, Eq)]
#[explain("flows_tls")]
pub enum TlsProblem {
    /// Both settings are there.
    #[error("`pin_sha256` and `insecure` exclude each other")]
    PinAndInsecure,
    /// The pin is not a SHA-256.
    #[error("`pin_sha256` is not 64 hexadecimal digits")]
    Pin,
    /// A pin without TLS.
    #[error("`pin_sha256` needs an https:// `url`")]
    PlainHttp,
}

/// A default that a form could not contain.
#[derive(Clone, Copy, Debug, Error, Explain, PartialEq, Eq)]
#[explain("flows_default")]
pub enum DefaultProblem {
    /// Subjects have no default.
    #[error("a field that an action is performed for cannot have one")]
    Subjects,
    /// The field has a value of another kind.
    #[error("it must be of the kind `{kind}`, as in `{example}`")]
    Kind {
        kind: &'static str,
        /// A canonical value.
        example: &'static str,
    },
    /// The field has several values.
    #[error("it must be a list of such values, as the field is `multiple`")]
    List,
    /// The field is a number.
    #[error("it must be a number")]
    Number,
    /// The field is a date.
    #[error("it must be a quoted moment, \"2027-12-31T00:00:00+08:00\"")]
    Date,
    /// The field is a text.
    #[error("it must be a quoted text")]
    Text,
}
