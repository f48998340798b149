//! VLAN numbers, 1 to 4094.

use thiserror::Error;

use super::list::pieces;
use super::{Explain, Explanation, Found, SubjectKind};

/// The kind `vlan`.
pub(super) const VLAN: Vlan = Vlan;

/// See [`VLAN`].
#[derive(Debug)]
pub(super) struct Vlan;

/// A text that is not a VLAN number.
#[derive(Clone, Debug, PartialEq, Eq, Error, Explain)]
#[explain("vlan")]
#[error("this is not a VLAN number from 1 to 4094")]
struct VlanError;

impl SubjectKind for Vlan {
    fn name(&self) -> &'static str {
        "vlan"
    }

    fn example(&self) -> &'static str {
        "4094"
    }

    fn parse(&self, text: &str) -> Result<String, Explanation> {
        let number: u16 = text.trim().parse().map_err(|_| VlanError)?;
        if (1..=4094).contains(&number) { Ok(number.to_string()) } else { Err(VlanError.into()) }
    }

    fn read(&self, text: &str, most: usize) -> Vec<Found> {
        let found = pieces(text, super::list::is_separator)
            .map(|piece| Found { position: piece.position, value: self.parse(piece.text) });
        found.take(most).collect()
    }

    fn masked(&self, value: &str) -> String {
        value.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use crate::flow::Flows;
    use crate::subject::kind_named;

    #[test]
    fn a_flow_has_a_field_of_the_new_kind() {
        let flows = r#"
            sources.oa.kind = "any"
            [targets.switch]
            connector = "any"
            url = "https://switch.example.com"
            [[flows]]
            name = "vlans"
            definition_id = "A"
            fields.vlan = { kind = "vlan", from = [{ field = "vlan" }] }
            actions = [{ target = "switch", operation = "add", for_each = "vlan" }]
        "#;
        assert!(Flows::parse(flows, &|_| None).is_ok());
        let found = kind_named("vlan").unwrap().read("12, 4095; 7", 9);
        let values: Vec<_> = found.into_iter().map(|it| it.value.ok()).collect();
        assert_eq!(values, [Some("12".into()), None, Some("7".into())]);
    }
}
