//! How to change the records of one kind of database, as a file says it.

use std::collections::{BTreeMap, BTreeSet};

use greenlight_core::flow::{self, Action, Flow};
use greenlight_core::mac::Spelling;
use serde::Deserialize;

use super::statement::{Marks, Statement};
use crate::connector::{self, ConnectorError, Param};
use crate::template::needs;

/// How to change the records of one kind of database.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SqlConnector {
    /// Always `sql`.
    #[allow(dead_code, reason = "it was read before, to know that this is one")]
    protocol: connector::Protocol,
    /// What it is for, for people.
    #[serde(default)]
    pub title: String,
    /// What was not yet verified against a real one.
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
    /// In order. The last one may only look: whether it found a row is the outcome then.
    pub statements: Vec<Statement>,
}

impl SqlOperation {
    /// The variables that its values are made of.
    fn needs(&self) -> BTreeSet<String> {
        let templates = self.statements.iter().flat_map(|statement| statement.values.values());
        templates
            .flat_map(|template| needs(template).unwrap_or_default()) // Compiled before.
            .map(|needed| connector::variable(&needed).to_owned())
            .collect()
    }

    /// Whether a value is made of this variable.
    #[cfg(feature = "act")]
    pub(super) fn uses(&self, name: &str) -> bool {
        self.needs().contains(name)
    }

    /// Whether it does nothing but insert.
    #[cfg(feature = "act")]
    pub(super) fn only_inserts(&self) -> bool {
        self.statements.iter().all(Statement::is_insert)
    }
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
            let before_last = operation.statements.iter().rev().skip(1);
            if before_last.into_iter().any(Statement::is_query) {
                let (connector, operation, _) = of("");
                return Err(ConnectorError::QueryNotLast { connector, operation });
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
        Ok(connector)
    }

    /// Whether an action of `flow` can be done.
    pub(crate) fn check(&self, flow: &Flow, action: &Action) -> Result<(), ConnectorError> {
        let operation = self
            .operations
            .get(&action.operation)
            .ok_or_else(|| connector::unknown_operation(flow, action, self.operations.keys()))?;
        let mut needed = operation.needs();
        needed.retain(|name| !self.optional.contains(name));
        connector::check_needs(flow, action, needed)
    }

    /// All that is wrong with a target of this connector.
    pub(crate) fn check_target(&self, name: &str, target: &flow::Target) -> Vec<ConnectorError> {
        let url = marks(name, target).err();
        let params = connector::params(name, target, &self.params).err();
        let has_tls = target.tls != flow::Tls::default();
        let tls = has_tls.then(|| ConnectorError::DatabaseTls(name.to_owned()));
        url.into_iter().chain(params).chain(tls).collect()
    }
}

/// Whether the database is a file of this machine.
pub(super) fn is_file(url: &str) -> bool {
    url.starts_with("sqlite:")
}

/// Refuses a database that is a file, for a host that has no lasting files.
///
/// # Errors
/// [`ConnectorError::NoSqlite`] with the target's name.
pub fn refuse_file(target: &str, url: &str) -> Result<(), ConnectorError> {
    if is_file(url) { Err(ConnectorError::NoSqlite(target.to_owned())) } else { Ok(()) }
}

/// The keys of the secret that a target of this url needs: a file needs none.
pub(crate) fn secret_keys(url: &str) -> &'static [&'static str] {
    if is_file(url) { &[] } else { &["username", "password"] }
}

/// How the database of a target marks values; its url must not say who we are.
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
            let text = format!("protocol = \"sql\"\n{operation}");
            SqlConnector::parse("mine", &text).unwrap_err().to_string()
        };
        let statement = |sql: &str| format!("[[operations.add.statements]]\nsql = \"{sql}\"\n");
        let after = statement("SELECT 1") + &statement("DELETE FROM t WHERE m = :mac");
        assert!(problem(&after).contains("a SELECT is the last statement"));
        assert!(problem("operations.add.statements = []").contains("has no step"));
        assert!(problem(&statement("INSERT INTO t VALUES (:mac)")).contains("runs twice"));
        assert!(problem(&statement("DELETE FROM t WHERE g = :g")).contains("`:g` is not in"));
        let misspelt =
            statement("DELETE FROM t WHERE g = :g") + "values = { g = \"{{ params.grup }}\" }";
        assert!(problem(&misspelt).contains("`params.grup` is not declared"));
    }
}
