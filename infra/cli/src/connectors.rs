//! `greenlight connectors list`: the connectors, one per product.

use std::path::Path;

use greenlight_connectors::connector::ConnectorError;
use greenlight_connectors::{AnyConnector, Connectors};

/// Lists the built-in connectors and those of `folder`: their operations, and what was not yet
/// verified against a real product.
///
/// # Errors
/// [`ConnectorError`] if a connector is invalid, or the folder cannot be read.
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
