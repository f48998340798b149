//! `greenlight connectors list`: the connectors, one per product.

use std::path::Path;

use greenlight_connectors::connector::ConnectorError;
use greenlight_connectors::{AnyConnector, Connectors};
use greenlight_core::ledger::EffectKind;
use greenlight_render::format::padded;
use greenlight_render::language::Language;
use greenlight_render::text;

/// The width of the names; a longer name moves its title.
const NAME_WIDTH: usize = 20;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedConnector {
    /// The name in `flows.toml`.
    pub name: String,
    /// The product.
    pub title: String,
    /// The operations by name, and what each is.
    pub operations: Vec<(String, EffectKind)>,
    /// The parts that were not yet verified against a real product.
    pub unverified: Vec<String>,
}

/// Lists the built-in connectors and those of `folder`.
///
/// # Errors
/// [`ConnectorError`] if a connector is invalid, or the folder cannot be read.
pub fn list(folder: Option<&Path>) -> Result<Vec<ListedConnector>, ConnectorError> {
    let connectors = Connectors::built_in_and(folder)?;
    let listed = |(name, text): (&str, &str)| {
        let connector = AnyConnector::parse(name, text)?;
        Ok(ListedConnector {
            name: name.to_owned(),
            title: connector.title().to_owned(),
            operations: connector
                .operations()
                .map(|(name, kind)| (name.to_owned(), kind))
                .collect(),
            unverified: connector.unverified().to_vec(),
        })
    };
    connectors.iter().map(listed).collect()
}

/// Renders the list.
#[must_use]
pub fn render(list: &[ListedConnector], language: Language) -> String {
    let mut lines = Vec::new();
    let indented = |line: &str| padded("", NAME_WIDTH) + line + "\n";
    for ListedConnector { name, title, operations, unverified } in list {
        lines.push(padded(name, NAME_WIDTH) + title + "\n");
        let operations: Vec<_> =
            operations.iter().map(|(operation, kind)| format!("{operation} ({kind})")).collect();
        lines.push(indented(&operations.join(", ")));
        for part in unverified {
            lines.push(indented(&text!(language, "unverified: {part}", "未验证：{part}")));
        }
    }
    lines.concat()
}
