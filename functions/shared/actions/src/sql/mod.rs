//! The SQL action: changes records in some system's database. How is data, as with the HTTP connector.

mod statement;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use greenlight_core::flow::{self, Action, Flow};
use greenlight_core::ledger::EffectOutcome;
use greenlight_core::mac::Spelling;
use greenlight_core::ports::{Call, Clock, ReadSecret};
use greenlight_core::secret::Secret;
use greenlight_core::{Class, Failure};
use minijinja::Value as Context;
use secrecy::ExposeSecret;
use serde::Deserialize;
use serde_json::Value;
use sqlx::any::{AnyArguments, AnyPoolOptions};
use sqlx::{AnyPool, Arguments};
use tokio::sync::Mutex;

use crate::connector::{self, ConnectorError, Param};
use crate::template::{self, needs};

pub use statement::Statement;
use statement::{Marks, Prepared};

/// How long to wait for a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// How long an operation may take.
const TIMEOUT: Duration = Duration::from_secs(10);

/// How to change the records of one kind of database.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SqlConnector {
    /// Always `sql`.
    #[allow(dead_code, reason = "it was read before, to know that this is one")]
    speaks: connector::Speaks,
    /// What it is for, for people.
    #[serde(default)]
    pub title: String,
    /// What nobody has seen a real one do yet.
    #[serde(default)]
    pub unverified: Vec<String>,
    /// How addresses are spelled.
    #[serde(default)]
    pub mac: Spelling,
    /// What a target says of itself.
    #[serde(default)]
    pub params: BTreeMap<String, Param>,
    /// Fields that a flow may give and need not.
    #[serde(default)]
    pub optional: Vec<String>,
    /// What can be done.
    pub operations: BTreeMap<String, SqlOperation>,
}

/// Statements, in one transaction.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SqlOperation {
    /// In order. One that only looks ends the operation: whether it found a row is the outcome.
    pub statements: Vec<Statement>,
}

/// Acts on the databases among the targets of `flows.toml`.
#[derive(Debug)]
pub struct Databases<S, C> {
    targets: BTreeMap<String, Target>,
    secret: S,
    clock: C,
}

#[derive(Debug)]
struct Target {
    name: String,
    url: String,
    marks: Marks,
    params: Value,
    connector: SqlConnector,
    pool: Mutex<Option<AnyPool>>,
}

impl SqlConnector {
    /// Reads a connector file and checks its statements.
    ///
    /// # Errors
    /// [`ConnectorError`] with the line, or the statement that is not harmless when it runs twice.
    pub fn parse(name: &str, text: &str) -> Result<Self, ConnectorError> {
        let connector: Self = connector::read(name, text)?;
        for (operation_name, operation) in &connector.operations {
            let of = |sql: &str| (name.to_owned(), operation_name.clone(), sql.to_owned());
            if operation.statements.is_empty() {
                let (connector, operation, _) = of("");
                return Err(ConnectorError::NoStep { connector, operation });
            }
            for statement in &operation.statements {
                if !statement.is_repeatable() {
                    let (connector, operation, statement) = of(&statement.sql);
                    return Err(ConnectorError::NotRepeatable { connector, operation, statement });
                }
                let names = statement.prepare(Marks::Numbered).names;
                let unknown = names
                    .iter()
                    .find(|name| *name != "mac" && !statement.values.contains_key(*name));
                if let Some(value) = unknown {
                    let (connector, operation, _) = of("");
                    let value = value.clone();
                    return Err(ConnectorError::UnknownValue { connector, operation, value });
                }
                for template in statement.values.values() {
                    needs(template).map_err(|error| ConnectorError::Template {
                        connector: name.to_owned(),
                        operation: operation_name.clone(),
                        template: template.clone(),
                        problem: error.to_string(),
                    })?;
                }
            }
        }
        Ok(connector)
    }

    fn check(&self, flow: &Flow, action: &Action) -> Result<(), ConnectorError> {
        let operation = self
            .operations
            .get(&action.operation)
            .ok_or_else(|| connector::unknown_operation(flow, action, self.operations.keys()))?;
        let templates = operation.statements.iter().flat_map(|statement| statement.values.values());
        let needed: BTreeSet<String> = templates
            .flat_map(|template| needs(template).unwrap_or_default()) // Compiled before.
            .map(|needed| connector::variable(&needed).to_owned())
            .filter(|name| !self.optional.contains(name))
            .collect();
        connector::check_needs(flow, action, needed)
    }
}

impl<S: ReadSecret, C: Clock> Databases<S, C> {
    /// Without any target yet.
    pub fn new(secret: S, clock: C) -> Self {
        sqlx::any::install_default_drivers();
        Self { targets: BTreeMap::new(), secret, clock }
    }

    /// Adds a target, whose records are changed as `connector` says.
    ///
    /// # Errors
    /// [`ConnectorError`] when connector, target and secret do not go together.
    pub fn add(
        &mut self,
        name: &str,
        target: &flow::Target,
        connector: SqlConnector,
    ) -> Result<(), ConnectorError> {
        let marks = marks(name, target)?;
        let params = connector::params(name, target, &connector.params)?;
        check_login(name, target, &self.secret.current())?;
        let (name, url) = (name.to_owned(), target.url.clone());
        let pool = Mutex::default();
        self.targets.insert(name.clone(), Target { name, url, marks, params, connector, pool });
        Ok(())
    }

    /// Whether an action of `flow`, if it is of a target here, can be done.
    pub(crate) fn check(&self, flow: &Flow, action: &Action) -> Result<(), ConnectorError> {
        let target = self.targets.get(&action.target);
        target.map_or(Ok(()), |target| target.connector.check(flow, action))
    }

    /// Whether the target is a database.
    #[must_use]
    pub fn has(&self, target: &str) -> bool {
        self.targets.contains_key(target)
    }

    /// The connections to a target, made when they are needed, and anew when the login is refused and the
    /// secret is another one by now.
    async fn pool(&self, target: &Target) -> Result<AnyPool, Failure> {
        let mut pool = target.pool.lock().await;
        if let Some(pool) = &*pool {
            return Ok(pool.clone());
        }
        let secret = self.secret.current();
        let connected = match target.connect(&secret).await {
            Err(failure) if failure.reason().class == Class::TargetLogin => {
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

    async fn run(&self, target: &Target, call: &Call<'_>) -> Result<EffectOutcome, Failure> {
        let operation = target.connector.operations.get(call.operation).ok_or_else(|| {
            let text =
                format!("`{}` of target `{}` is not configured", call.operation, target.name);
            Failure::give_up(Class::NotConfigured, text)
        })?;
        let variables = target.variables(call, self.clock.now().as_millis());
        let failed = |error: &sqlx::Error| target.failure(error);
        let pool = self.pool(target).await?;
        let mut transaction = pool.begin().await.map_err(|error| failed(&error))?;
        let mut changed = 0;
        for statement in &operation.statements {
            let Prepared { sql, names } = statement.prepare(target.marks);
            let arguments = target.bind(statement, &names, &variables)?;
            // Text of the connector file, which holds no value.
            let query = sqlx::query_with(sqlx::AssertSqlSafe(sql), arguments);
            if statement.is_query() {
                let row = query.fetch_optional(&mut *transaction).await;
                if row.map_err(|error| failed(&error))?.is_some() {
                    return Ok(EffectOutcome::Done);
                }
                let text = format!("{} is not there", target.sentence(call));
                return Err(Failure::give_up(Class::NotThere, text));
            }
            let done = query.execute(&mut *transaction).await.map_err(|error| failed(&error))?;
            changed += done.rows_affected();
        }
        transaction.commit().await.map_err(|error| failed(&error))?;
        Ok(if changed > 0 { EffectOutcome::Done } else { EffectOutcome::AlreadyThere })
    }

    /// Performs one effect.
    ///
    /// # Errors
    /// [`Failure`] says what follows from it.
    pub async fn act(&self, call: &Call<'_>) -> Result<EffectOutcome, Failure> {
        let Some(target) = self.targets.get(call.target) else {
            let text = format!("target `{}` is not configured", call.target);
            return Err(Failure::give_up(Class::NotConfigured, text));
        };
        let result = tokio::time::timeout(TIMEOUT, self.run(target, call)).await;
        let result = result.unwrap_or_else(|_| {
            let text = format!("target `{}` did not answer in time", target.name);
            Err(Failure::retry(Class::TargetUnavailable, text))
        });
        if matches!(&result, Err(failure) if failure.reason().class == Class::TargetLogin) {
            // The next call connects with the secret as it is then.
            target.pool.lock().await.take();
        }
        result
    }
}

impl Target {
    async fn connect(&self, secret: &Secret) -> Result<AnyPool, Failure> {
        let credentials = secret.targets.get(&self.name);
        let get =
            |key: &str| credentials.and_then(|all| all.get(key)).map(ExposeSecret::expose_secret);
        let url = with_credentials(&self.url, get("username"), get("password"));
        AnyPoolOptions::new()
            .max_connections(4)
            .acquire_timeout(CONNECT_TIMEOUT)
            .connect(&url)
            .await
            .map_err(|error| self.failure(&error))
    }

    fn variables(&self, call: &Call<'_>, now: i64) -> Context {
        let mac = call.device.spelled(self.connector.mac);
        let optional = &self.connector.optional;
        template::context(&connector::variables(call, mac, &self.params, optional, now))
    }

    fn bind(
        &self,
        statement: &Statement,
        names: &[String],
        variables: &Context,
    ) -> Result<AnyArguments, Failure> {
        let unusable = |error: String| {
            let text = format!("target `{}`: {error}", self.name);
            Failure::give_up(Class::BadForm, text)
        };
        let mut arguments = AnyArguments::default();
        for name in names {
            let template = statement.values.get(name).map_or("{{ mac }}", String::as_str);
            let value = template::value(template, variables)
                .map_err(|error| unusable(error.to_string()))?;
            let added = match value {
                Value::Null => arguments.add(None::<String>),
                Value::Bool(is) => arguments.add(is),
                Value::Number(number) => match (number.as_i64(), number.as_f64()) {
                    (Some(number), _) => arguments.add(number),
                    (None, number) => arguments.add(number),
                },
                Value::String(text) if text.contains('\0') => {
                    return Err(unusable(format!("`:{name}` holds a NUL")));
                }
                Value::String(text) => arguments.add(text),
                _ => return Err(unusable(format!("`:{name}` is no single value"))),
            };
            added.map_err(|error| unusable(error.to_string()))?;
        }
        Ok(arguments)
    }

    fn is_sqlite(&self) -> bool {
        self.url.starts_with("sqlite:")
    }

    fn sentence(&self, call: &Call<'_>) -> String {
        format!("`{}` of {} at target `{}`", call.operation, call.device.masked(), self.name)
    }

    /// What follows from an error, by its type and its SQLSTATE (or SQLite's result code).
    fn failure(&self, error: &sqlx::Error) -> Failure {
        let text = |what: &str| format!("target `{}`: {what}", self.name);
        let Some(database) = error.as_database_error() else {
            return match error {
                sqlx::Error::Configuration(_) => {
                    Failure::give_up(Class::NotConfigured, text("its `url` cannot be used"))
                }
                _ => {
                    Failure::retry(Class::TargetUnavailable, text("no connection to the database"))
                }
            };
        };
        let code = database.code().unwrap_or_default();
        let text = text(&format!("the database answered with the error {code}"));
        let is_hopeless = if self.is_sqlite() {
            // The last byte of an extended result code: a wrong statement, a constraint, a value.
            let code: u32 = code.parse().unwrap_or_default();
            matches!(code & 0xff, 1 | 18 | 19 | 20 | 25)
        } else {
            // Data, constraints, and what is not there or not allowed.
            matches!(code.get(..2), Some("22" | "23" | "42"))
        };
        if code.starts_with("28") && !self.is_sqlite() {
            Failure::retry(Class::TargetLogin, text)
        } else if is_hopeless {
            Failure::give_up(Class::TargetRefused, text)
        } else {
            Failure::retry(Class::TargetUnavailable, text)
        }
    }
}

fn marks(name: &str, target: &flow::Target) -> Result<Marks, ConnectorError> {
    match target.url.split_once(':') {
        Some(("postgres" | "postgresql" | "sqlite", _)) => Ok(Marks::Numbered),
        Some(("mysql" | "mariadb", _)) => Ok(Marks::Question),
        _ => Err(ConnectorError::BadDatabaseUrl(name.to_owned())),
    }
}

/// Whether we know who we are; a file needs nobody.
fn check_login(name: &str, target: &flow::Target, secret: &Secret) -> Result<(), ConnectorError> {
    if target.url.contains('@') {
        return Err(ConnectorError::BadDatabaseUrl(name.to_owned()));
    }
    if target.tls != flow::Tls::default() {
        return Err(ConnectorError::DatabaseTls(name.to_owned()));
    }
    if target.url.starts_with("sqlite:") {
        return Ok(());
    }
    for key in ["username", "password"] {
        let credential = secret.targets.get(name).and_then(|target| target.get(key));
        if credential.is_none_or(|credential| credential.expose_secret().is_empty()) {
            let (target, key) = (name.to_owned(), key.to_owned());
            return Err(ConnectorError::MissingCredential { target, key });
        }
    }
    Ok(())
}

/// `url` with who we are before the host, where that is given.
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
