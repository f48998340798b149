//! Connector files for databases: the operations on the records of one kind of database.

#![warn(missing_docs)]

use std::collections::{BTreeMap, BTreeSet};

use greenlight_core::flow::{self, Action, Flow};
use greenlight_core::grant::Session;
use greenlight_core::ledger::EffectKind;
use greenlight_core::subject::{MAC, SubjectKind, VARIABLE};
use serde::Deserialize;

use super::statement::{Marks, Statement};
use crate::connector::{self, ConnectorError, Param, Revocable, SessionProblem};
use crate::template::needs;

/// A connector for one kind of database.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SqlConnector {
    /// Always `sql`.
    #[allow(dead_code, reason = "read earlier, to choose the parser")]
    protocol: connector::Protocol,
    /// Description, for people.
    #[serde(default)]
    pub title: String,
    /// Behaviour not yet verified against a real database.
    #[serde(default)]
    pub unverified: Vec<String>,
    /// How this database writes subjects, by kind.
    #[serde(default)]
    pub formats: BTreeMap<String, toml::Table>,
    /// Parameters that a target sets.
    #[serde(default)]
    pub params: BTreeMap<String, Param>,
    /// Fields that a flow may leave out.
    #[serde(default)]
    pub optional: Vec<String>,
    /// Operations by name.
    pub operations: BTreeMap<String, SqlOperation>,
}

/// Statements of one transaction.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SqlOperation {
    /// What the operation does: whether it gives access, takes it away, or changes a record.
    pub effect: EffectKind,
    /// Of a granting operation: the operation that takes away what it gives.
    pub revoked_by: Option<String>,
    /// Of a revoking operation: what becomes of a session that is under way. Default: there are
    /// none.
    pub session: Option<Session>,
    /// For an operation that only inserts: the operation that reads whether the row which a unique
    /// index has already is the one to insert.
    pub confirmed_by: Option<String>,
    /// In order. A `SELECT` can only be the last one: whether it finds a row is then the outcome.
    pub statements: Vec<Statement>,
}

impl SqlOperation {
    /// Returns the variables that the values use, here and in the operation that confirms it.
    pub(crate) fn needs(&self, connector: &SqlConnector) -> BTreeSet<String> {
        let confirming = self.confirmed_by.as_ref();
        let confirming = confirming.and_then(|name| connector.operations.get(name));
        let statements = confirming.into_iter().chain([self]).flat_map(|it| &it.statements);
        let templates = statements.flat_map(|statement| {
            let names = statement.prepare(Marks::Numbered).names;
            names.into_iter().map(|name| statement.template(&name).into_owned())
        });
        templates
            .flat_map(|template| needs(&template).unwrap_or_default()) // Compiled before.
            .map(|needed| connector::variable(&needed).to_owned())
            .collect()
    }

    /// Returns whether a value uses this variable.
    #[cfg(feature = "act")]
    pub(super) fn uses(&self, connector: &SqlConnector, name: &str) -> bool {
        self.needs(connector).contains(name)
    }

    /// Returns whether the operation consists of inserts only.
    #[cfg(feature = "act")]
    pub(super) fn only_inserts(&self) -> bool {
        self.statements.iter().all(Statement::is_insert)
    }
}

impl SqlConnector {
    /// Parses a connector file and checks its statements.
    ///
    /// # Errors
    /// [`ConnectorError`] with the line, or with the statement that is not idempotent.
    pub fn parse(name: &str, text: &str) -> Result<Self, ConnectorError> {
        let connector: Self = connector::read(name, text)?;
        connector::check_formats(name, &connector.formats)?;
        for (operation_name, operation) in &connector.operations {
            connector::check_name(name, operation_name)?;
            let of = |sql: &str| (name.to_owned(), operation_name.clone(), sql.to_owned());
            if operation.statements.is_empty() {
                let (connector, operation, _) = of("");
                return Err(ConnectorError::NoStep { connector, operation });
            }
            let before_last = operation.statements.iter().rev().skip(1);
            if before_last.into_iter().any(Statement::is_query) {
                let (connector, operation, _) = of("");
                return Err(ConnectorError::QueryNotLast { connector, operation });
            }
            if let Some(confirming) = &operation.confirmed_by {
                let read = connector.operations.get(confirming);
                if read.is_none_or(|read| read.effect != EffectKind::Read) {
                    let (connector, operation, name) = of(confirming);
                    return Err(ConnectorError::NotConfirmed { connector, operation, name });
                }
            }
            for statement in &operation.statements {
                if !statement.is_repeatable() {
                    let (connector, operation, statement) = of(&statement.sql);
                    return Err(ConnectorError::NotRepeatable { connector, operation, statement });
                }
                let names = statement.prepare(Marks::Numbered).names;
                let unknown = names
                    .iter()
                    .find(|name| !is_predefined(name) && !statement.values.contains_key(*name));
                if let Some(value) = unknown {
                    let (connector, operation, _) = of("");
                    let value = value.clone();
                    return Err(ConnectorError::UnknownValue { connector, operation, value });
                }
                for template in statement.values.values() {
                    let needed = needs(template).map_err(|error| ConnectorError::Template {
                        connector: name.to_owned(),
                        operation: operation_name.clone(),
                        template: template.clone(),
                        problem: error.to_string(),
                    })?;
                    connector::check_params(name, &connector.params, &needed)?;
                }
            }
        }
        for (operation_name, operation) in &connector.operations {
            if operation.session.is_some() && operation.effect != EffectKind::Revoke {
                let (connector, operation) = (name.to_owned(), operation_name.clone());
                let problem = SessionProblem::NotARevoke;
                return Err(ConnectorError::Session { connector, operation, problem });
            }
            let revoked_by = operation.revoked_by.as_deref();
            let revoking = revoked_by.and_then(|name| connector.operations.get(name));
            let revoking = revoking.map(|it| (it.effect, it.needs(&connector)));
            let (operation, effect) = (operation_name.as_str(), operation.effect);
            let revocable = Revocable { connector: name, operation, effect, revoked_by };
            revocable.check(revoking, &connector.optional)?;
        }
        Ok(connector)
    }

    /// Checks that `action` of `flow` can be executed.
    pub(crate) fn check(&self, flow: &Flow, action: &Action) -> Result<(), ConnectorError> {
        let operation = self
            .operations
            .get(&action.operation)
            .ok_or_else(|| connector::unknown_operation(flow, action, self.operations.keys()))?;
        let effect = operation.effect;
        connector::check_kind(flow, action, effect)?;
        connector::check_end(flow, action, effect, operation.revoked_by.as_deref())?;
        connector::check_needs(flow, action, effect, operation.needs(self), &self.optional)
    }

    /// Returns all errors of a target of this connector.
    pub(crate) fn check_target(&self, name: &str, target: &flow::Target) -> Vec<ConnectorError> {
        let url = marks(name, target).err();
        let params = connector::params(name, target, &self.params).err();
        let has_tls = target.tls != flow::Tls::default();
        let tls = has_tls.then(|| ConnectorError::DatabaseTls(name.to_owned()));
        url.into_iter().chain(params).chain(tls).collect()
    }
}

/// Whether the value is defined for an action over subjects.
fn is_predefined(name: &str) -> bool {
    name == VARIABLE || name == MAC.name()
}

/// Returns whether the database is a local file.
pub(super) fn is_file(url: &str) -> bool {
    url.starts_with("sqlite:")
}

/// Rejects a SQLite database on a host without persistent files.
///
/// # Errors
/// [`ConnectorError::NoSqlite`] with the target's name.
pub fn refuse_file(target: &str, url: &str) -> Result<(), ConnectorError> {
    if is_file(url) { Err(ConnectorError::NoSqlite(target.to_owned())) } else { Ok(()) }
}

/// Returns the keys of the secret that a target with this URL needs; SQLite needs none.
pub(crate) fn secret_keys(url: &str) -> &'static [&'static str] {
    if is_file(url) { &[] } else { &["username", "password"] }
}

/// Returns the placeholder style of the target's database; rejects a URL with credentials.
pub(super) fn marks(name: &str, target: &flow::Target) -> Result<Marks, ConnectorError> {
    let (url, query) = target.url.split_once('?').unwrap_or((&target.url, ""));
    let is_login = |pair: &str| {
        let key = pair.split('=').next().unwrap_or_default();
        ["user", "username", "password"].contains(&key)
    };
    let scheme = url.split_once(':').map(|(scheme, _)| scheme);
    let has_login = url.contains('@') || query.split('&').any(is_login);
    match scheme {
        Some("sqlite") => Ok(Marks::Numbered),
        _ if has_login => Err(ConnectorError::LoginInUrl(name.to_owned())),
        Some("postgres" | "postgresql") => Ok(Marks::Numbered),
        Some("mysql" | "mariadb") => Ok(Marks::Question),
        _ if flow::is_stand_in(url) => Ok(Marks::Numbered),
        _ => Err(ConnectorError::BadDatabaseUrl(name.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuse_file_names_the_target_of_a_file() {
        let refused = |url| refuse_file("radius", url).map_err(|error| error.to_string());
        let error = refused("sqlite:///var/lib/radius.db").unwrap_err();
        assert!(error.starts_with("target `radius`: "), "{error}");
        assert_eq!(refused("postgres://db.example.com/radius"), Ok(()));
    }

    #[test]
    fn what_could_not_work_is_refused() {
        let problem = |operation: &str| {
            let head = "protocol = \"sql\"\n[operations.add]\neffect = \"grant\"\n";
            SqlConnector::parse("mine", &format!("{head}{operation}")).unwrap_err().to_string()
        };
        let statement = |sql: &str| format!("[[operations.add.statements]]\nsql = \"{sql}\"\n");
        let after = statement("SELECT 1") + &statement("DELETE FROM t WHERE m = :mac");
        assert!(problem(&after).contains("a SELECT must be the last statement"));
        assert!(problem("statements = []").contains("has no step"));
        assert!(problem(&statement("INSERT INTO t VALUES (:mac)")).contains("is not idempotent"));
        assert!(problem(&statement("DELETE FROM t WHERE g = :g")).contains("`:g` is not in"));
        let misspelt =
            statement("DELETE FROM t WHERE g = :g") + "values = { g = \"{{ params.grup }}\" }";
        assert!(problem(&misspelt).contains("`params.grup` is not declared"));
        let confirmed = format!("confirmed_by = \"add\"\n{}", statement("SELECT 1"));
        assert!(problem(&confirmed).contains("which is no operation with `effect = \"read\"`"));
    }
}
