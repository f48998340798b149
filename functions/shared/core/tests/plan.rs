//! The plan of a flow for a form, as tables: order, conditions, unreadable values.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test says by a panic that something is not as it should be"
)]

use greenlight_core::flow::Flows;
use greenlight_core::form::{Content, Field, Form};
use greenlight_core::instance::{Instance, Status};
use greenlight_core::ports::Conditions;
use greenlight_core::{Failure, plan};
use serde_json::{Map, Value, json};

/// Conditions are `yes`, `no` or the name of a field, which is true if the field has a value;
/// operations use the field that is named after their `_`.
struct Named;

impl Conditions for Named {
    fn holds(&self, condition: &str, variables: &Map<String, Value>) -> Result<bool, Failure> {
        Ok(match condition {
            "yes" => true,
            "no" => false,
            field => variables.get(field).is_some_and(|value| !value.is_null()),
        })
    }

    fn condition_uses(&self, condition: &str, field: &str) -> bool {
        condition == field
    }

    fn uses(&self, _: &str, operation: &str, field: &str) -> bool {
        operation.split_once('_').is_some_and(|(_, used)| used == field)
    }
}

fn field(name: &str, value: &Value) -> Field {
    Field {
        custom_id: Some(name.into()),
        id: name.into(),
        name: name.into(),
        content: Content::Value(value.clone()),
    }
}

fn instance(fields: &Value) -> Instance {
    let fields = fields.as_object().unwrap().iter();
    Instance {
        instance_id: "I-1".into(),
        definition_id: "A".into(),
        status: Status::Approved,
        applicant: "ou_1".into(),
        form_number: "7".into(),
        form: Form { fields: fields.map(|(name, value)| field(name, value)).collect() },
    }
}

/// A flow with these actions, as (target, operation, condition), and with this condition.
fn flows(actions: &[(&str, &str, Option<&str>)], when: Option<&str>) -> Flows {
    let when_line = |when: &str| format!("when = \"{when}\"");
    let action = |&(target, operation, when): &(&str, &str, Option<&str>)| {
        let when = when.map_or_else(String::new, |when| format!(", {}", when_line(when)));
        format!(
            "{{ target = \"{target}\", operation = \"{operation}\", for_each = \"mac\"{when} }}"
        )
    };
    let actions: Vec<_> = actions.iter().map(action).collect();
    let text = format!(
        r#"
        [targets]
        nac = {{ connector = "generic", url = "http://nac" }}
        wlc = {{ connector = "generic", url = "http://wlc" }}
        [[flows]]
        name = "devices"
        definition_id = "A"
        {}
        actions = [{}]
        [flows.fields]
        mac = {{ kind = "mac", from = [{{ field = "mac" }}] }}
        until = {{ kind = "date", from = [{{ field = "until" }}], optional = true }}
        "#,
        when.map_or_else(String::new, when_line),
        actions.join(", ")
    );
    Flows::parse(&text, &|_| None).unwrap()
}

const TWO: &str = "00:00:5e:00:53:02, 00:00:5e:00:53:01";

/// Effects as `operation target last-octet`, and the number of problems.
fn planned(flows: &Flows, form: &Value) -> (Vec<String>, usize) {
    let instance = instance(form);
    let plan = plan(&flows.flows[0], &instance, &Named).unwrap();
    let effects = plan.effects.iter().map(|effect| {
        let (action, last) = (effect.action, effect.device.octets()[5]);
        format!("{} {} {last}", action.operation, action.target)
    });
    (effects.collect(), plan.problems.len())
}

fn owned(effects: &[&str]) -> Vec<String> {
    effects.iter().map(|&effect| effect.to_owned()).collect()
}

#[test]
fn effects_are_in_the_order_of_the_actions_and_each_is_planned_once() {
    for (actions, expected) in [
        ([("nac", "add", None)].as_slice(), ["add nac 2", "add nac 1"].as_slice()),
        (
            &[("nac", "remove", None), ("nac", "add", None)],
            &["remove nac 2", "remove nac 1", "add nac 2", "add nac 1"],
        ),
        (
            &[("wlc", "add", None), ("nac", "add", None)],
            &["add wlc 2", "add wlc 1", "add nac 2", "add nac 1"],
        ),
    ] {
        let (effects, problems) = planned(&flows(actions, None), &json!({"mac": TWO}));
        assert_eq!((effects, problems), (owned(expected), 0));
    }
    let twice = json!({"mac": "00:00:5e:00:53:01\n0000.5e00.5301"});
    let (effects, _) = planned(&flows(&[("nac", "add", None)], None), &twice);
    assert_eq!(effects, ["add nac 1"], "a device that is named twice is one effect");
}

#[test]
fn conditions_leave_out_actions_or_all_of_them() {
    let actions = [("nac", "add", Some("yes")), ("wlc", "add", Some("no"))];
    for (when, expected) in
        [(None, ["add nac 1"].as_slice()), (Some("yes"), &["add nac 1"]), (Some("no"), &[])]
    {
        let form = json!({"mac": "00:00:5e:00:53:01"});
        assert_eq!(planned(&flows(&actions, when), &form).0, expected, "{when:?}");
    }
}

/// An unreadable value holds back the actions that use it, and later actions on the same device at
/// the same target; everything else is planned.
#[test]
fn an_unreadable_value_keeps_back_what_uses_it() {
    let form = || json!({"mac": "00:00:5e:00:53:01", "until": "soon"});
    for (actions, when, expected) in [
        ([("nac", "add", None)].as_slice(), None, ["add nac 1"].as_slice()),
        (&[("nac", "add_until", None)], None, &[]),
        (&[("nac", "add", Some("until"))], None, &[]),
        (&[("nac", "add", None)], Some("until"), &[]),
        (&[("nac", "set_until", None), ("nac", "add", None)], None, &[]),
        (&[("nac", "add", None), ("nac", "set_until", None)], None, &["add nac 1"]),
        (&[("wlc", "set_until", None), ("nac", "add", None)], None, &["add nac 1"]),
    ] {
        let (effects, problems) = planned(&flows(actions, when), &form());
        assert_eq!((effects, problems), (owned(expected), 1), "{actions:?}");
    }
    // A field that is left out is not unreadable.
    let form = json!({"mac": "00:00:5e:00:53:01"});
    let (effects, problems) = planned(&flows(&[("nac", "add_until", None)], None), &form);
    assert_eq!((effects, problems), (vec!["add_until nac 1".to_owned()], 0));
}

#[test]
fn the_good_devices_of_a_form_are_planned_and_each_bad_one_is_a_problem() {
    for (mac, devices, problems) in [
        ("00:00:5e:00:53:01", 1, 0),
        ("00:00:5e:00:53:01, 00:00:5e:00:53:0O", 1, 1),
        ("00:00:5e:00:53:0O", 0, 1),
        ("", 0, 1),
    ] {
        let (effects, found) =
            planned(&flows(&[("nac", "add", None)], None), &json!({ "mac": mac }));
        assert_eq!((effects.len(), found), (devices, problems), "{mac}");
    }
}
