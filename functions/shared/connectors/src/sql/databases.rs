//! Executes operations in the databases among the targets.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use greenlight_core::flow;
use greenlight_core::grant::Session;
use greenlight_core::ledger::{EffectKind, EffectOutcome};
use greenlight_core::ports::{Call, Clock, ReadSecret};
use greenlight_core::secret::Secret;
use greenlight_core::{Class, Failure};
use minijinja::Value as Context;
use secrecy::ExposeSecret;
use serde::Serialize;
use serde_json::Value;
use sqlx::any::{AnyArguments, AnyPoolOptions};
use sqlx::{AnyPool, Arguments, Connection};
use tokio::sync::Mutex;

use super::connector::{SqlConnector, SqlOperation, is_file, marks, refuse_file};
use super::error::{SqlError, ValueError};
use super::statement::{Marks, Prepared, Statement};
use crate::connector::{self, ConnectorError};
use crate::error::NotConfigured;
use crate::template;

/// Timeout of connecting.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Timeout of an operation.
const TIMEOUT: Duration = Duration::from_secs(10);

/// The most attempts of an operation that conflicts with another transaction.
const TRIES: u64 = 8;

const SERIALIZABLE: &str = "SET TRANSACTION ISOLATION LEVEL SERIALIZABLE";

/// Why an operation did not complete.
#[derive(Debug)]
enum StatementError {
    Failed(Failure),
    /// A concurrent transaction conflicts, or has already inserted the row.
    Conflict {
        is_duplicate: bool,
        failure: Failure,
    },
}

impl From<Failure> for StatementError {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

/// Executes effects on the databases among the targets of `flows.toml`.
#[derive(Debug)]
pub struct Databases<S, C> {
    targets: BTreeMap<String, DatabaseTarget>,
    secret: S,
    clock: C,
}

#[derive(Debug)]
struct DatabaseTarget {
    name: String,
    url: String,
    marks: Marks,
    params: Value,
    connector: SqlConnector,
    pool: Mutex<Option<AnyPool>>,
}

/// A statement that would be executed.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct StatementPreview {
    /// In the database's syntax.
    pub sql: String,
    /// The bound values in order, each with its placeholder's name in the connector.
    pub values: Vec<(String, Value)>,
}

impl fmt::Display for StatementPreview {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "  {}", self.sql.split_whitespace().collect::<Vec<_>>().join(" "))?;
        for (name, value) in &self.values {
            writeln!(f, "    {name} = {value}")?;
        }
        Ok(())
    }
}

impl<S: ReadSecret, C: Clock> Databases<S, C> {
    /// Creates an executor without targets.
    pub fn new(secret: S, clock: C) -> Self {
        sqlx::any::install_default_drivers();
        Self { targets: BTreeMap::new(), secret, clock }
    }

    /// Adds a target, whose records are changed as `connector` defines.
    ///
    /// # Errors
    /// [`ConnectorError`] when connector and target do not match.
    pub fn add(
        &mut self,
        name: &str,
        target: &flow::Target,
        connector: SqlConnector,
    ) -> Result<(), ConnectorError> {
        let marks = marks(name, target)?;
        if !cfg!(feature = "sqlite") {
            refuse_file(name, &target.url)?;
        }
        let params = connector::params(name, target, &connector.params)?;
        let (name, url) = (name.to_owned(), target.url.clone());
        let pool = Mutex::default();
        self.targets
            .insert(name.clone(), DatabaseTarget { name, url, marks, params, connector, pool });
        Ok(())
    }

    /// Returns whether the target is a database.
    #[must_use]
    pub fn has(&self, target: &str) -> bool {
        self.targets.contains_key(target)
    }

    /// Returns the target's connection pool. It is created on first use, and again when the login
    /// is rejected and the secret has changed since.
    async fn pool(&self, target: &DatabaseTarget) -> Result<AnyPool, Failure> {
        let mut pool = target.pool.lock().await;
        if let Some(pool) = &*pool {
            return Ok(pool.clone());
        }
        let secret = self.secret.current();
        let connected = match target.connect(&secret).await {
            Err(failure) if failure.reason().class == Class::TargetAuthFailed => {
                match self.secret.renewed(&secret).await {
                    Some(renewed) => target.connect(&renewed).await?,
                    None => return Err(failure),
                }
            }
            connected => connected?,
        };
        *pool = Some(connected.clone());
        Ok(connected)
    }

    /// Runs the operation, and again after a conflict with another transaction.
    async fn run(
        &self,
        target: &DatabaseTarget,
        call: &Call<'_>,
    ) -> Result<EffectOutcome, Failure> {
        let operation = target.operation(call)?;
        let variables = target.variables(call, self.clock.now().as_millis());
        let pool = self.pool(target).await?;
        let mut tries = 1;
        loop {
            match target.run_once(&pool, operation, &variables, call).await {
                Ok(outcome) => return Ok(outcome),
                Err(StatementError::Failed(failure)) => return Err(failure),
                // A unique constraint failed: check whether the existing row is for this subject.
                Err(StatementError::Conflict { is_duplicate: true, .. })
                    if operation.only_inserts()
                        && target.confirms(&pool, operation, &variables, call).await? =>
                {
                    return Ok(EffectOutcome::AlreadyExists);
                }
                Err(StatementError::Conflict { failure, .. }) if tries == TRIES => {
                    return Err(failure);
                }
                Err(StatementError::Conflict { .. }) => {
                    let pause = Duration::from_millis(fastrand::u64(1..=20) * tries);
                    self.clock.sleep(pause).await;
                    tries += 1;
                }
            }
        }
    }

    fn target(&self, call: &Call<'_>) -> Result<&DatabaseTarget, Failure> {
        self.targets.get(call.target).ok_or_else(|| {
            let error = NotConfigured::Target { target: call.target.to_owned() };
            Failure::give_up(Class::NotConfigured, error)
        })
    }

    /// Returns whether the values of `operation` depend on a field. An operation that is not
    /// configured counts as dependent.
    #[must_use]
    pub fn uses(&self, target: &str, operation: &str, field: &str) -> bool {
        let connector = self.targets.get(target).map(|target| &target.connector);
        let operation = connector.and_then(|it| Some((it, it.operations.get(operation)?)));
        operation.is_none_or(|(connector, operation)| operation.uses(connector, field))
    }

    /// Returns what `operation` of `target` is; `None` when it is not configured.
    #[must_use]
    pub fn kind(&self, target: &str, operation: &str) -> Option<EffectKind> {
        Some(self.targets.get(target)?.connector.operations.get(operation)?.effect)
    }

    /// Returns the operation that takes away what `operation` gives.
    #[must_use]
    pub fn revoked_by(&self, target: &str, operation: &str) -> Option<String> {
        self.targets.get(target)?.connector.operations.get(operation)?.revoked_by.clone()
    }

    /// Returns what becomes of a session when `operation` takes access away; `None` if there are
    /// none.
    #[must_use]
    pub fn session(&self, target: &str, operation: &str) -> Option<Session> {
        self.targets.get(target)?.connector.operations.get(operation)?.session
    }

    /// Returns the statements that would be executed for `call`, in order, without connecting.
    ///
    /// # Errors
    /// [`Failure`] when a value cannot be rendered.
    pub fn preview(&self, call: &Call<'_>) -> Result<Vec<StatementPreview>, Failure> {
        let target = self.target(call)?;
        let variables = target.variables(call, self.clock.now().as_millis());
        let preview = |statement: &Statement| {
            let Prepared { sql, names } = statement.prepare(target.marks);
            let values = target.values(statement, &names, &variables)?;
            Ok(StatementPreview { sql, values: names.into_iter().zip(values).collect() })
        };
        target.operation(call)?.statements.iter().map(preview).collect()
    }

    /// Connects to `target`, within the timeout of an effect.
    ///
    /// # Errors
    /// [`Failure`] with the reason.
    pub async fn reach(&self, target: &str) -> Result<(), Failure> {
        let Some(target) = self.targets.get(target) else { return Ok(()) };
        let connected = tokio::time::timeout(TIMEOUT, self.pool(target)).await;
        connected.unwrap_or_else(|_| Err(target.too_slow())).map(drop)
    }

    /// Performs one effect.
    ///
    /// # Errors
    /// [`Failure`] says whether to retry.
    pub async fn act(&self, call: &Call<'_>) -> Result<EffectOutcome, Failure> {
        let target = self.target(call)?;
        let result = tokio::time::timeout(TIMEOUT, self.run(target, call)).await;
        let result = result.unwrap_or_else(|_| Err(target.too_slow()));
        if matches!(&result, Err(failure) if failure.reason().class == Class::TargetAuthFailed) {
            // The next call connects with the secret that is current then.
            target.pool.lock().await.take();
        }
        result
    }
}

impl DatabaseTarget {
    fn too_slow(&self) -> Failure {
        Failure::retry(Class::TargetTimeout, SqlError::Timeout { target: self.name.clone() })
    }

    fn operation(&self, call: &Call<'_>) -> Result<&SqlOperation, Failure> {
        self.connector.operations.get(call.operation).ok_or_else(|| {
            let (target, operation) = (self.name.clone(), call.operation.to_owned());
            Failure::give_up(Class::NotConfigured, NotConfigured::Operation { target, operation })
        })
    }

    async fn connect(&self, secret: &Secret) -> Result<AnyPool, Failure> {
        let credentials = secret.targets.get(&self.name);
        let get =
            |key: &str| credentials.and_then(|all| all.get(key)).map(ExposeSecret::expose_secret);
        let url = with_credentials(&self.url, get("username"), get("password"));
        let is_mysql = self.marks == Marks::Question;
        AnyPoolOptions::new()
            // A call cancelled during BEGIN leaves a transaction open that sqlx does not know of;
            // MySQL then rejects a change of the isolation level.
            .after_release(move |connection, _| {
                Box::pin(async move {
                    if is_mysql {
                        sqlx::query("ROLLBACK").execute(connection).await?;
                    }
                    Ok(true)
                })
            })
            .max_connections(4)
            .acquire_timeout(CONNECT_TIMEOUT)
            .connect(&url)
            .await
            .map_err(|error| self.failure(&error))
    }

    /// Runs the statements in one serializable transaction: two concurrent operations that both
    /// find no row must not both insert one.
    async fn run_once(
        &self,
        pool: &AnyPool,
        operation: &SqlOperation,
        variables: &Context,
        call: &Call<'_>,
    ) -> Result<EffectOutcome, StatementError> {
        let failed = |error: sqlx::Error| self.error(&error);
        let mut connection = pool.acquire().await.map_err(failed)?;
        // MySQL sets it before the transaction, PostgreSQL inside; SQLite has a single writer.
        let is_mysql = self.marks == Marks::Question;
        if is_mysql {
            sqlx::query(SERIALIZABLE).execute(&mut *connection).await.map_err(failed)?;
        }
        let mut transaction = connection.begin().await.map_err(failed)?;
        if !is_mysql && !self.is_sqlite() {
            sqlx::query(SERIALIZABLE).execute(&mut *transaction).await.map_err(failed)?;
        }
        let mut changed = 0;
        for statement in &operation.statements {
            let Prepared { sql, names } = statement.prepare(self.marks);
            let arguments = self.bind(self.values(statement, &names, variables)?)?;
            // The SQL of the connector file, which contains no values.
            let query = sqlx::query_with(sqlx::AssertSqlSafe(sql), arguments);
            if statement.is_query() {
                // The last statement: the check of the files ensures it.
                if query.fetch_optional(&mut *transaction).await.map_err(failed)?.is_none() {
                    let error = SqlError::NoRow {
                        operation: call.operation.to_owned(),
                        subject: call.masked_subject(),
                        target: self.name.clone(),
                    };
                    return Err(Failure::give_up(Class::NotFound, error).into());
                }
                changed += 1;
            } else {
                changed += query.execute(&mut *transaction).await.map_err(failed)?.rows_affected();
            }
        }
        transaction.commit().await.map_err(failed)?;
        Ok(if changed > 0 { EffectOutcome::Done } else { EffectOutcome::AlreadyExists })
    }

    /// Returns whether the operation that `confirmed_by` names finds the existing row.
    async fn confirms(
        &self,
        pool: &AnyPool,
        operation: &SqlOperation,
        variables: &Context,
        call: &Call<'_>,
    ) -> Result<bool, Failure> {
        let find = operation.confirmed_by.as_ref();
        let Some(find) = find.and_then(|find| self.connector.operations.get(find)) else {
            return Ok(false);
        };
        match self.run_once(pool, find, variables, call).await {
            Ok(outcome) => Ok(outcome == EffectOutcome::Done),
            Err(StatementError::Failed(failure)) if failure.reason().class == Class::NotFound => {
                Ok(false)
            }
            Err(StatementError::Failed(failure) | StatementError::Conflict { failure, .. }) => {
                Err(failure)
            }
        }
    }

    fn error(&self, error: &sqlx::Error) -> StatementError {
        let failure = self.failure(error);
        let Some(database) = error.as_database_error() else { return failure.into() };
        let code = database.code().unwrap_or_default();
        // Serialization failure, deadlock; in SQLite, a snapshot that is out of date.
        let conflicts: &[&str] = if self.is_sqlite() { &["517"] } else { &["40001", "40P01"] };
        if conflicts.contains(&&*code) {
            // The database works: the circuit breaker must not count this as a failure.
            let (target, code) = (self.name.clone(), code.into_owned());
            let error = SqlError::Conflict { target, code };
            let failure = Failure::retry(Class::TargetFailed, error);
            StatementError::Conflict { is_duplicate: false, failure }
        } else if database.is_unique_violation() {
            StatementError::Conflict { is_duplicate: true, failure }
        } else {
            failure.into()
        }
    }

    fn variables(&self, call: &Call<'_>, now: i64) -> Context {
        let SqlConnector { formats, optional, .. } = &self.connector;
        template::context(&connector::variables(call, formats, &self.params, optional, now))
    }

    /// Renders the values of `names`, in the order in which they are bound.
    fn values(
        &self,
        statement: &Statement,
        names: &[String],
        variables: &Context,
    ) -> Result<Vec<Value>, Failure> {
        let unusable = |cause: ValueError| {
            let error = SqlError::Value { target: self.name.clone(), cause };
            Failure::give_up(Class::InvalidForm, error)
        };
        let value = |name: &String| match template::value(&statement.template(name), variables) {
            Ok(Value::String(text)) if text.contains('\0') => {
                Err(unusable(ValueError::Nul { name: name.clone() }))
            }
            Ok(Value::Array(_) | Value::Object(_)) => {
                Err(unusable(ValueError::NotSingle { name: name.clone() }))
            }
            Ok(value) => Ok(value),
            Err(error) => Err(unusable(error.into())),
        };
        names.iter().map(value).collect()
    }

    fn bind(&self, values: Vec<Value>) -> Result<AnyArguments, Failure> {
        let mut arguments = AnyArguments::default();
        for value in values {
            let added = match value {
                Value::Bool(is) => arguments.add(is),
                Value::Number(number) => match (number.as_i64(), number.as_f64()) {
                    (Some(number), _) => arguments.add(number),
                    (None, number) => arguments.add(number),
                },
                Value::String(text) => arguments.add(text),
                _ => arguments.add(None::<String>),
            };
            added.map_err(|cause| {
                let (target, cause) = (self.name.clone(), cause.to_string());
                Failure::give_up(Class::InvalidForm, SqlError::NotBound { target, cause })
            })?;
        }
        Ok(arguments)
    }

    fn is_sqlite(&self) -> bool {
        is_file(&self.url)
    }

    /// Classifies an error by its type and its SQLSTATE (or SQLite's result code).
    fn failure(&self, error: &sqlx::Error) -> Failure {
        let target = self.name.clone();
        let Some(database) = error.as_database_error() else {
            return match error {
                sqlx::Error::Configuration(_) => {
                    Failure::give_up(Class::NotConfigured, SqlError::BadUrl { target })
                }
                _ => Failure::retry(Class::TargetUnavailable, SqlError::NoConnection { target }),
            };
        };
        let code = database.code().unwrap_or_default();
        let error = SqlError::Answered { target, code: code.clone().into_owned() };
        let is_hopeless = if self.is_sqlite() {
            // The low byte of an extended result code: a wrong statement, a constraint, a value.
            let code: u32 = code.parse().unwrap_or_default();
            matches!(code & 0xff, 1 | 18 | 19 | 20 | 25)
        } else {
            // Data errors, constraint violations, missing objects or privileges. MySQL has its own
            // codes for a field without a value, and for characters that a column cannot store.
            let mysql = database.try_downcast_ref::<sqlx::mysql::MySqlDatabaseError>();
            match mysql.map(sqlx::mysql::MySqlDatabaseError::number) {
                Some(1267 | 1364 | 1366) => true,
                // Too many connections of this user, which MySQL reports with the SQLSTATE of a
                // wrong statement.
                Some(1203 | 1226) => false,
                _ => matches!(code.get(..2), Some("22" | "23" | "42")),
            }
        };
        if code.starts_with("28") && !self.is_sqlite() {
            Failure::retry(Class::TargetAuthFailed, error)
        } else if is_hopeless {
            Failure::give_up(Class::TargetRejected, error)
        } else if self.is_sqlite() || matches!(code.get(..2), Some("08" | "53" | "57" | "HY")) {
            // Connection errors, exhausted resources, operator intervention: not caused by this
            // record.
            Failure::retry(Class::TargetUnavailable, error)
        } else {
            Failure::retry(Class::TargetFailed, error)
        }
    }
}

/// Returns `url` with the credentials before the host, if there are any.
fn with_credentials(url: &str, username: Option<&str>, password: Option<&str>) -> String {
    let encoded = |text: &str| {
        percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string()
    };
    match (url.split_once("://"), username) {
        (Some((scheme, rest)), Some(username)) if scheme != "sqlite" => {
            let password = password.map(|password| format!(":{}", encoded(password)));
            format!("{scheme}://{}{}@{rest}", encoded(username), password.unwrap_or_default())
        }
        _ => url.to_owned(),
    }
}
