//! `greenlight connectors list`: the products that greenlight can speak to.

use greenlight_actions::connector::{ConnectorError, Speaks, built_in, speaks};
use greenlight_actions::http::Connector;
use greenlight_actions::sql::SqlConnector;

/// The connectors that are built in, what each can do, and what nobody has seen a real one do yet.
///
/// # Errors
/// [`ConnectorError`] when one that is built in is wrong.
pub fn list() -> Result<String, ConnectorError> {
    let mut lines = Vec::new();
    for (name, text) in built_in() {
        let (title, operations, unverified) = match speaks(name, text)? {
            Speaks::Http => {
                let connector = Connector::parse(name, text)?;
                (connector.title, keys(connector.operations), connector.unverified)
            }
            Speaks::Sql => {
                let connector = SqlConnector::parse(name, text)?;
                (connector.title, keys(connector.operations), connector.unverified)
            }
        };
        lines.push(format!("{name:<19} {title}\n{:19} {operations}\n", ""));
        for unverified in unverified {
            lines.push(format!("{:19} unverified (未验证): {unverified}\n", ""));
        }
    }
    Ok(lines.concat())
}

fn keys<T>(operations: std::collections::BTreeMap<String, T>) -> String {
    operations.into_keys().collect::<Vec<_>>().join(", ")
}
