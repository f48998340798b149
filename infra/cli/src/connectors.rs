//! `greenlight connectors list`: the products that greenlight can speak to.

use std::path::Path;

use greenlight_connectors::connector::ConnectorError;
use greenlight_connectors::{AnyConnector, Connectors};

/// The connectors that are built in, and those of `folder`: what each can do, and what was not yet
/// verified against a real one do yet.
///
/// # Errors
/// [`ConnectorError`] when one is wrong, or the folder cannot be read.
pub fn list(folder: Option<&Path>) -> Result<String, ConnectorError> {
    let mut lines = Vec::new();
    for (name, text) in Connectors::built_in_and(folder)?.iter() {
        let connector = AnyConnector::parse(name, text)?;
        let (title, operations) = (connector.title(), connector.operations().join(", "));
        lines.push(format!("{name:<19} {title}\n{:19} {operations}\n", ""));
        for unverified in connector.unverified() {
            lines.push(format!("{:19} unverified (未验证): {unverified}\n", ""));
        }
    }
    Ok(lines.concat())
}
