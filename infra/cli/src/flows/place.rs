//! The location of an error in `flows.toml`.

use greenlight_connectors::connector::ConnectorError;
use greenlight_core::flow::{Flows, FlowsError};
use toml::de::{DeTable, DeValue};

/// The keys that lead to an error; a flow is identified by its name.
pub(super) fn in_flows(error: &FlowsError) -> Vec<&str> {
    match error {
        FlowsError::Toml { .. } => Vec::new(),
        FlowsError::Renamed(key) => key.path.0.iter().map(String::as_str).collect(),
        FlowsError::Unset { place, .. } | FlowsError::Placeholder { place } => {
            place.0.iter().map(String::as_str).collect()
        }
        FlowsError::UnknownTarget { flow, .. }
        | FlowsError::UnknownField { flow, .. }
        | FlowsError::Idle(flow) => vec!["flows", flow, "actions"],
        FlowsError::Tls { target, .. } => vec!["targets", target, "tls"],
        FlowsError::Unreachable { second: flow, .. } | FlowsError::SameName(flow) => {
            vec!["flows", flow]
        }
        FlowsError::Revoked(flow) => vec!["flows", flow, "on"],
        FlowsError::Retry(_) => vec!["retry"],
        FlowsError::Nowhere { flow, field }
        | FlowsError::Default { flow, field, .. }
        | FlowsError::SameTable { flow, field, .. } => {
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
        ConnectorError::Param { target, param, .. } => vec!["targets", target, "params", param],
        ConnectorError::UnknownOperation { flow, .. }
        | ConnectorError::MissingVariable { flow, .. } => vec!["flows", flow, "actions"],
        ConnectorError::Condition { flow, condition, .. } => {
            let of_flow = flows.flows.iter().find(|known| known.name == *flow);
            let is_of_flow = of_flow.is_some_and(|flow| flow.when.as_ref() == Some(condition));
            vec!["flows", flow, if is_of_flow { "when" } else { "actions" }]
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
        | ConnectorError::UndeclaredParam { connector, .. }
        | ConnectorError::UnknownInAuth { connector, .. } => {
            let mut targets = flows.targets.iter();
            let target = targets.find(|(_, target)| target.connector == *connector);
            target.map_or_else(Vec::new, |(name, _)| vec!["targets", name, "connector"])
        }
        ConnectorError::Unreadable { .. } | ConnectorError::MissingCredential { .. } => Vec::new(),
    }
}

/// The line of the deepest key of `place` that exists.
pub(super) fn line_of(text: &str, place: &[&str]) -> usize {
    let mut offset = 0;
    if let Ok(document) = DeTable::parse(text) {
        let root = DeValue::Table(document.into_inner());
        let mut at = &root;
        for key in place {
            let found = match at {
                DeValue::Table(table) => {
                    let mut entries = table.iter();
                    entries
                        .find(|(name, _)| name.get_ref() == key)
                        .map(|(name, value)| (name.span().start, value.get_ref()))
                }
                DeValue::Array(flows) => flows
                    .iter()
                    .find(|flow| name_of(flow.get_ref()) == Some(key))
                    .map(|flow| (flow.span().start, flow.get_ref())),
                _ => None,
            };
            let Some((start, value)) = found else { break };
            (offset, at) = (start, value);
        }
    }
    text[..offset].matches('\n').count() + 1
}

fn name_of<'a>(flow: &'a DeValue<'_>) -> Option<&'a str> {
    match flow.as_table()?.get("name")?.get_ref() {
        DeValue::String(name) => Some(name),
        _ => None,
    }
}
