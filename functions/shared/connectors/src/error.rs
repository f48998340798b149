//! Errors of a connector, and of its combination with flows and the secret.

use greenlight_core::explain::Explain;
use greenlight_core::flow::NotBound;
use greenlight_core::ledger::EffectKind;
use greenlight_core::renamed::RenamedKey;
use greenlight_core::subject::FormatProblem;
use thiserror::Error;

/// An error of a connector, or of its combination with a flow or the secret.
#[derive(Debug, Error, Explain)]
#[explain("connector")]
pub enum ConnectorError {
    /// A target names an unknown connector.
    #[error("target `{target}`: there is no connector `{connector}`; available: {known}")]
    UnknownConnector {
        target: String,
        connector: String,
        /// The known connectors.
        known: String,
    },
    /// A folder of connectors, or a file in it, cannot be read.
    #[error("{path}: {cause}")]
    Unreadable {
        /// The folder or file.
        path: String,
        cause: std::io::Error,
    },
    /// Not TOML, or a key that is unknown, missing or of the wrong type.
    #[error("connector `{connector}`: the file is not valid: {problem}")]
    Toml {
        connector: String,
        /// The error, with its line.
        problem: String,
    },
    /// A key of the first edition.
    #[error("connector `{connector}`: {key}")]
    Renamed {
        connector: String,
        /// The key, and its new name.
        key: RenamedKey,
    },
    /// A template that does not compile.
    #[error(
        "connector `{connector}`, operation `{operation}`: the template {template:?} does not compile: {problem}"
    )]
    Template {
        connector: String,
        operation: String,
        template: String,
        /// The error.
        problem: String,
    },
    /// A step with two bodies.
    #[error(
        "connector `{connector}`, operation `{operation}`: a step has one of `json`, `form` and `xml`"
    )]
    Bodies { connector: String, operation: String },
    /// A statement that is not idempotent.
    #[error(
        "connector `{connector}`, operation `{operation}`: the statement {statement:?} is not idempotent: \
         use NOT EXISTS or an upsert, or give the reason in `repeatable` if it is"
    )]
    NotRepeatable { connector: String, operation: String, statement: String },
    /// A statement uses an undefined value.
    #[error("connector `{connector}`, operation `{operation}`: `:{value}` is not in `values`")]
    UnknownValue { connector: String, operation: String, value: String },
    /// A database with settings for HTTP.
    #[error(
        "target `{0}`: `tls` is for HTTP; a database takes `?sslmode=verify-full&sslrootcert=…` in its url"
    )]
    DatabaseTls(String),
    /// A local file as the database of a function.
    #[error(
        "target `{0}`: SQLite needs `greenlight serve`: a function on AWS has no persistent files"
    )]
    NoSqlite(String),
    /// A target's URL is not a database URL.
    #[error(
        "target `{0}`: `url` must look like postgres://db.example.com/radius, mysql://… or sqlite:///…"
    )]
    BadDatabaseUrl(String),
    /// A database URL with credentials.
    #[error(
        "target `{0}`: `url` must not contain credentials: put `username` and `password` into the secret"
    )]
    LoginInUrl(String),
    /// A `SELECT` before another statement.
    #[error(
        "connector `{connector}`, operation `{operation}`: a SELECT must be the last statement, because its row is the outcome"
    )]
    QueryNotLast { connector: String, operation: String },
    /// A concurrency above the number of effects that the ledger records in one update.
    #[error("connector `{connector}`: `limits.concurrency` is {asked}, but the maximum is 64")]
    Concurrency {
        connector: String,
        /// The configured value.
        asked: usize,
    },
    /// An operation without a step.
    #[error("connector `{connector}`, operation `{operation}` has no step")]
    NoStep { connector: String, operation: String },
    /// A template names a parameter that the connector does not declare.
    #[error("connector `{connector}`: `params.{param}` is not declared in `[params]`")]
    UndeclaredParam {
        connector: String,
        /// The parameter.
        param: String,
    },
    /// A target lacks a required parameter, or has an unknown one.
    #[error("target `{target}`: `params.{param}` {problem}")]
    Param {
        target: String,
        /// The parameter.
        param: String,
        /// The error.
        problem: ParamProblem,
    },
    /// A template of `auth` uses an undefined variable.
    #[error(
        "connector `{connector}`: `auth` uses `{variable}`, which is neither defined nor captured by the login"
    )]
    UnknownInAuth { connector: String, variable: String },
    /// A condition that does not compile, or uses an undefined variable.
    #[error("flow `{flow}`: the condition {condition:?}: {problem}")]
    Condition {
        flow: String,
        condition: String,
        /// The error.
        problem: ConditionProblem,
    },
    /// A source is read through a target that cannot do so.
    #[error("source `{source_name}`: `read`: {problem}")]
    Read {
        source_name: String,
        /// The error.
        problem: ReadProblem,
    },
    /// A template needs a variable that the flow does not define.
    #[error(
        "flow `{flow}`, operation `{operation}` of target `{target}`: the connector needs `{variable}`: {cause}"
    )]
    MissingVariable {
        flow: String,
        target: String,
        operation: String,
        variable: String,
        /// Why the action does not have it.
        cause: MissingVariable,
    },
    /// An operation about access without a subject.
    #[error(
        "flow `{flow}`: the operation `{operation}` of target `{target}` is a {kind}, so its action needs `for_each`: the \
         subjects that have the access"
    )]
    NoSubject { flow: String, target: String, operation: String, kind: EffectKind },
    /// A format for something that is no kind of subject.
    #[error(
        "connector `{connector}`: `formats.{kind}`: there is no such kind of subject; there is: {known}"
    )]
    UnknownKind { connector: String, kind: String, known: String },
    /// A format that a kind of subject does not have.
    #[error("connector `{connector}`: `formats.{kind}`: {problem}")]
    Format { connector: String, kind: &'static str, problem: FormatProblem },
    /// An operation whose name could not be part of a key.
    #[error(
        "connector `{connector}`: the operation {operation:?}: a name has 1 to 64 letters, digits and `-_.`"
    )]
    OperationName { connector: String, operation: String },
    /// `confirmed_by` names no operation that reads.
    #[error(
        "connector `{connector}`, operation `{operation}`: `confirmed_by` names `{name}`, which is no operation with \
         `effect = \"read\"`"
    )]
    NotConfirmed { connector: String, operation: String, name: String },
    /// `revoked_by` cannot be what takes the access away.
    #[error("connector `{connector}`, operation `{operation}`: `revoked_by`: {problem}")]
    RevokedBy { connector: String, operation: String, problem: RevokedByProblem },
    /// `check` cannot tell whether the target shows what was granted.
    #[error("connector `{connector}`, operation `{operation}`: `check`: {problem}")]
    Check { connector: String, operation: String, problem: CheckProblem },
    /// `session` cannot tell what became of a session.
    #[error("connector `{connector}`, operation `{operation}`: `session`: {problem}")]
    Session { connector: String, operation: String, problem: SessionProblem },
    /// Access that could not be removed.
    #[error(
        "flow `{flow}`: the operation `{operation}` of target `{target}` has no `revoked_by`, so that \
         access could not be removed when it ends: name the operation that takes it away in the \
         connector, or set `when_withdrawn = \"keep\"` and no end"
    )]
    NoRemoval { flow: String, target: String, operation: String },
    /// A flow names an unknown operation.
    #[error("flow `{flow}`: target `{target}` has no operation `{operation}`; available: {known}")]
    UnknownOperation {
        flow: String,
        target: String,
        operation: String,
        /// The known operations.
        known: String,
    },
    /// A target's URL is not a base URL.
    #[error("target `{0}`: `url` must look like https://nac.example.com:9999, with a path at most")]
    BadUrl(String),
    /// A target over plain HTTP on another machine.
    #[error(
        "target `{0}`: `url` is http://, so its credentials are sent in clear text: use https://, or set \
         `plaintext = true` where the network is trusted"
    )]
    Plaintext(String),
    /// A database over the network whose certificate is not verified.
    #[error(
        "target `{target}`: the database's certificate is not verified, so another server can impersonate it: add \
         `?{setting}` to `url`, or set `plaintext = true` where the network is trusted"
    )]
    UnverifiedTls {
        target: String,
        /// The setting that the URL lacks.
        setting: &'static str,
    },
    /// The secret lacks a credential of the connector.
    #[error("the secret lacks `targets.{target}.{key}`, which the connector needs to log in")]
    MissingCredential { target: String, key: String },
}

/// The error of a condition.
#[derive(Clone, Debug, Error, Explain, PartialEq, Eq)]
#[explain("condition")]
pub enum ConditionProblem {
    /// It does not compile.
    #[error("it does not compile: {0}")]
    NotCompiled(String),
    /// It uses a variable that it cannot have.
    #[error("`{variable}`: {cause}")]
    NotBound { variable: String, cause: NotBound },
}

/// Why a source cannot be read through a target.
#[derive(Clone, Debug, Error, Explain, PartialEq, Eq)]
#[explain("read")]
pub enum ReadProblem {
    #[error("there is no target `{target}`")]
    NoTarget { target: String },
    #[error("target `{target}` is a database: only targets over HTTP can be read")]
    NotHttp { target: String },
    #[error("target `{target}` has no operation `{operation}`; available: {known}")]
    NoOperation { target: String, operation: String, known: String },
    #[error("target `{target}` allows one operation at a time, which a read does not wait for")]
    Exclusive { target: String },
    #[error("the operation `{operation}` is a {kind}: it must be a read")]
    NotARead { operation: String, kind: EffectKind },
    #[error("the operation `{operation}` captures no `document`")]
    NoDocument { operation: String },
    #[error("the operation `{operation}` needs `{variable}`, which a read does not have")]
    Variable { operation: String, variable: String },
}

/// Why an action does not have a variable.
#[derive(Clone, Debug, Error, Explain, PartialEq, Eq)]
#[explain("variable")]
pub enum MissingVariable {
    /// It is performed once per approval.
    #[error("the action needs `for_each`")]
    NoSubject,
    /// It is performed for something else than devices.
    #[error(
        "the action needs a `for_each` over a field of the kind `mac`, or a field of this name"
    )]
    NoDevice,
    /// The flow does not give it.
    #[error(transparent)]
    NotBound(#[from] NotBound),
}

/// The error of a parameter.
#[derive(Clone, Debug, Error, Explain, PartialEq, Eq)]
#[explain("param")]
pub enum ParamProblem {
    /// The connector does not declare it.
    #[error("is unknown to the connector; available: {known}")]
    Unknown {
        /// The declared parameters.
        known: String,
    },
    /// The connector requires it.
    #[error("is missing: {description}")]
    Missing {
        /// The parameter's description in the connector file.
        description: String,
    },
}

/// A call to a target or an operation that `flows.toml` and its connectors do not have.
#[derive(Debug, Error, Explain)]
#[explain("not_configured")]
pub(crate) enum NotConfigured {
    #[cfg(feature = "act")]
    #[error("target `{target}` is not configured")]
    Target { target: String },
    #[error("`{operation}` of target `{target}` is not configured")]
    Operation { target: String, operation: String },
}

/// The reason for which an operation cannot take away what another one gives.
#[derive(Clone, Debug, PartialEq, Eq, Error, Explain)]
#[explain("revoked_by")]
pub enum RevokedByProblem {
    /// The operation gives no access.
    #[error("it is for operations with `effect = \"grant\"`")]
    NotAGrant,
    /// It names no revoking operation.
    #[error("it names `{name}`, which is no operation with `effect = \"revoke\"`")]
    NotARevoke {
        /// The name in the file.
        name: String,
    },
    /// The removal would need the form.
    #[error(
        "`{name}` uses `{variable}`, which is not known when access ends: a removal has the \
         subject, `params`, `now` and `effect_id`"
    )]
    Variable {
        /// The revoking operation.
        name: String,
        /// The variable of its templates.
        variable: String,
    },
}

/// The reason for which an operation cannot check what another one grants.
#[derive(Clone, Debug, PartialEq, Eq, Error, Explain)]
#[explain("check_operation")]
pub enum CheckProblem {
    /// The operation gives no access.
    #[error("it is for operations with `effect = \"grant\"`")]
    NotAGrant,
    /// It names no reading operation.
    #[error("it names `{name}`, which is no operation with `effect = \"read\"`")]
    NotARead {
        /// The name in the file.
        name: String,
    },
    /// The check would need what the grant does not.
    #[error("`{name}` uses `{variable}`, which the operation itself does not use")]
    Variable {
        /// The reading operation.
        name: String,
        /// The variable of its templates.
        variable: String,
    },
}

/// The reason for which an operation cannot tell what became of a session.
#[derive(Clone, Debug, PartialEq, Eq, Error, Explain)]
#[explain("session_of")]
pub enum SessionProblem {
    /// The operation takes no access away.
    #[error("it is for operations with `effect = \"revoke\"`")]
    NotARevoke,
    /// Neither of the two words, and no template.
    #[error("it is `ended` or `may_last`, or a template that gives one of them")]
    NoWord,
    /// A variable that has no value.
    #[error("it uses `{variable}`, which is neither a parameter nor captured by a step")]
    NotCaptured {
        /// The variable.
        variable: String,
    },
}

/// The reason for which an operator cannot give access at a target.
#[derive(Clone, Debug, PartialEq, Eq, Error, Explain)]
#[explain("no_operation")]
pub enum NoOperation {
    /// There is no such target.
    #[error("there is no target `{target}`; there is: {known}")]
    Target { target: String, known: String },
    /// None, or several, and none was named.
    #[error("name one of the granting operations of `{target}` with --operation: {known}")]
    NotOne {
        target: String,
        /// All of them.
        known: String,
    },
    /// It needs a value of a form.
    #[error(
        "the operation `{operation}` of `{target}` needs `{variable}` of a form: hand in a form"
    )]
    NeedsForm { target: String, operation: String, variable: String },
    /// Its access could not be removed.
    #[error(
        "the operation `{operation}` of `{target}` has no `revoked_by`: its access would not end"
    )]
    NoRemoval { target: String, operation: String },
}
