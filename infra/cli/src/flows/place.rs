//! The location of an error in `flows.toml`.

use greenlight_connectors::connector::ConnectorError;
use greenlight_core::flow::{Flows, FlowsError};
use toml::de::{DeTable, DeValue};

/// The keys that lead to an error; a flow is identified by its name, an action by one of its
/// values.
pub(super) fn in_flows(error: &FlowsError) -> Vec<&str> {
    match error {
        FlowsError::Toml { .. } | FlowsError::NoSource => Vec::new(),
        FlowsError::Renamed(key) => key.path.0.iter().map(String::as_str).collect(),
        FlowsError::Unset { place, .. }
        | FlowsError::Placeholder { place }
        | FlowsError::RenamedFrom { place, .. } => place.0.iter().map(String::as_str).collect(),
        FlowsError::SourceName(source) => vec!["sources", source],
        FlowsError::TwoDefaults { second: source, .. } => vec!["sources", source, "default"],
        FlowsError::NoDefault { .. } => vec!["sources"],
        FlowsError::UnknownSource { flow, .. } => vec!["flows", flow, "source"],
        FlowsError::UnknownTarget { flow, name, .. }
        | FlowsError::UnknownField { flow, name, .. } => vec!["flows", flow, "actions", name],
        FlowsError::UnknownOwner { flow, .. } | FlowsError::UnboundOwner { flow, .. } => {
            vec!["flows", flow, "owner"]
        }
        FlowsError::UnknownEnd { flow, .. }
        | FlowsError::UnboundEnd { flow, .. }
        | FlowsError::OpenEnd { flow, .. } => vec!["flows", flow, "grant", "until"],
        FlowsError::UnknownReplaced { flow, .. } | FlowsError::UnboundReplaced { flow, .. } => {
            vec!["flows", flow, "grant", "replaces"]
        }
        FlowsError::Grant { flow, .. } => vec!["flows", flow, "grant"],
        FlowsError::NoDefinition(flow) => vec!["flows", flow, "definition_id"],
        FlowsError::TargetName(target) => vec!["targets", target],
        FlowsError::Idle(flow) => vec!["flows", flow, "actions"],
        FlowsError::Tls { target, .. } => vec!["targets", target, "tls"],
        FlowsError::Unreachable { second: flow, .. } | FlowsError::SameName(flow) => {
            vec!["flows", flow]
        }
        FlowsError::Revoked(flow) => vec!["flows", flow, "on"],
        FlowsError::Retry(_) => vec!["retry"],
        FlowsError::Retention { .. } => vec!["ledger", "retention"],
        FlowsError::Nowhere { flow, field }
        | FlowsError::Default { flow, field, .. }
        | FlowsError::NoPattern { flow, field }
        | FlowsError::OtherKind { flow, field, .. }
        | FlowsError::FieldName { flow, field, .. } => {
            vec!["flows", flow, "fields", field]
        }
    }
}

/// As [`in_flows`]. An error in a connector file is located at a target that uses the connector.
pub(super) fn in_setup<'a>(error: &'a ConnectorError, flows: &'a Flows) -> Vec<&'a str> {
    match error {
        ConnectorError::UnknownConnector { target, .. } => vec!["targets", target, "connector"],
        ConnectorError::BadUrl(target)
        | ConnectorError::BadDatabaseUrl(target)
        | ConnectorError::LoginInUrl(target)
        | ConnectorError::NoSqlite(target)
        | ConnectorError::Plaintext(target)
        | ConnectorError::UnverifiedTls { target, .. } => vec!["targets", target, "url"],
        ConnectorError::DatabaseTls(target) => vec!["targets", target, "tls"],
        ConnectorError::Read { source_name, .. } => vec!["sources", source_name, "read"],
        ConnectorError::Param { target, param, .. } => vec!["targets", target, "params", param],
        ConnectorError::UnknownOperation { flow, operation, .. }
        | ConnectorError::MissingVariable { flow, operation, .. }
        | ConnectorError::NoSubject { flow, operation, .. }
        | ConnectorError::NoRemoval { flow, operation, .. } => {
            vec!["flows", flow, "actions", operation]
        }
        ConnectorError::Condition { flow, condition, .. } => {
            let of_flow = flows.flows.iter().find(|known| known.name == *flow);
            let is_of_flow = of_flow.is_some_and(|flow| flow.when.as_ref() == Some(condition));
            if is_of_flow {
                vec!["flows", flow, "when"]
            } else {
                vec!["flows", flow, "actions", condition]
            }
        }
        ConnectorError::Toml { connector, .. }
        | ConnectorError::Renamed { connector, .. }
        | ConnectorError::Template { connector, .. }
        | ConnectorError::Bodies { connector, .. }
        | ConnectorError::NotRepeatable { connector, .. }
        | ConnectorError::UnknownValue { connector, .. }
        | ConnectorError::NoStep { connector, .. }
        | ConnectorError::Concurrency { connector, .. }
        | ConnectorError::QueryNotLast { connector, .. }
        | ConnectorError::UnknownKind { connector, .. }
        | ConnectorError::Format { connector, .. }
        | ConnectorError::OperationName { connector, .. }
        | ConnectorError::NotConfirmed { connector, .. }
        | ConnectorError::RevokedBy { connector, .. }
        | ConnectorError::Check { connector, .. }
        | ConnectorError::Session { connector, .. }
        | ConnectorError::UndeclaredParam { connector, .. }
        | ConnectorError::UnknownInAuth { connector, .. } => {
            let mut targets = flows.targets.iter();
            let target = targets.find(|(_, target)| target.connector == *connector);
            target.map_or_else(Vec::new, |(name, _)| vec!["targets", name, "connector"])
        }
        ConnectorError::Unreadable { .. } | ConnectorError::MissingCredential { .. } => Vec::new(),
    }
}

/// Whether the error is in the last flow of its name: an earlier one has the name, too.
pub(super) const fn is_in_last_flow(error: &FlowsError) -> bool {
    matches!(error, FlowsError::SameName(_) | FlowsError::Unreachable { .. })
}

/// The line of the deepest key of `place` that exists. Of several flows with one name the first, or
/// the last if `is_in_last`.
pub(super) fn line_of(text: &str, place: &[&str], is_in_last: bool) -> usize {
    let mut offset = 0;
    if let Ok(document) = DeTable::parse(text) {
        let root = DeValue::Table(document.into_inner());
        let mut at = &root;
        for key in place {
            let found = match at {
                DeValue::Table(table) => {
                    let mut entries = table.iter();
                    entries
                        .find(|(name, value)| {
                            name.get_ref() == key || is_renamed_from(value.get_ref(), key)
                        })
                        .map(|(name, value)| (name.span().start, value.get_ref()))
                }
                DeValue::Array(items) => {
                    let mut matching = items.iter().filter(|item| is_meant(item.get_ref(), key));
                    let item = if is_in_last { matching.next_back() } else { matching.next() };
                    item.map(|item| (item.span().start, item.get_ref()))
                }
                _ => None,
            };
            let Some((start, value)) = found else { break };
            (offset, at) = (start, value);
        }
    }
    text[..offset].matches('\n').count() + 1
}

/// Whether the errors name a target or source by the name that it was renamed from.
fn is_renamed_from(table: &DeValue<'_>, key: &str) -> bool {
    table.get("renamed_from").and_then(|from| from.get_ref().as_str()) == Some(key)
}

/// Whether `key` identifies the item: a flow by its name, an action by any of its values.
fn is_meant(item: &DeValue<'_>, key: &str) -> bool {
    let Some(table) = item.as_table() else { return false };
    match table.get("name") {
        Some(name) => name.get_ref().as_str() == Some(key),
        None => table.values().any(|value| value.get_ref().as_str() == Some(key)),
    }
}
