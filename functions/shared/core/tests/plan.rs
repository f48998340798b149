//! The plan of a flow for a form, as tables: order, conditions, unreadable values.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test says by a panic that something is not as it should be"
)]

use greenlight_core::flow::{Flows, Kind};
use greenlight_core::form::{Content, Field, Form};
use greenlight_core::instance::{Instance, Status};
use greenlight_core::ledger::EffectKind;
use greenlight_core::ports::Conditions;
use greenlight_core::{Failure, NOTHING_RECORDED, PlanInput, Timestamp, plan};
use greenlight_testkit::subject::{BADGE, number_of};
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

    fn kind(&self, _: &str, operation: &str) -> EffectKind {
        EffectKind::of_str(operation).unwrap_or(EffectKind::Grant)
    }

    fn revoked_by(&self, _: &str, _: &str) -> Option<String> {
        None
    }
}

/// Now; the event was received a second ago.
const NOW: Timestamp = Timestamp::from_millis(1_800_000_001_000);

const INPUT: PlanInput<'static> = PlanInput {
    event_id: "e-1",
    received_at: Timestamp::from_millis(1_800_000_000_000),
    now: NOW,
    recorded: NOTHING_RECORDED,
};

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
        ended_at: None,
        applicant: "ou_1".into(),
        form_number: "7".into(),
        form: Form { fields: fields.map(|(name, value)| field(name, value)).collect() },
        revokes: None,
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
        sources.oa.kind = "any"
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
    let plan = plan(&flows.flows[0], &instance, INPUT, &Named).unwrap();
    let effects = plan.effects.iter().map(|effect| {
        let (action, last) = (effect.action, number_of(effect.subject.as_ref()));
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

/// A table of devices, with columns of the same names as the fields.
fn table(rows: &[Value]) -> Field {
    let row = |row: &Value| -> Vec<Field> {
        row.as_object().unwrap().iter().map(|(name, value)| field(name, value)).collect()
    };
    let content = Content::Rows(rows.iter().map(row).collect());
    Field { content, ..field("devices", &Value::Null) }
}

/// A flow over the rows of a table; `rest` has keys of the flow.
fn flow_over_rows(rest: &str) -> Flows {
    let column = |kind: &str, name: &str| {
        format!(
            "{name} = {{ kind = \"{kind}\", from = [{{ field = \"devices\", column = \"{name}\" }}], optional = true }}"
        )
    };
    let fields = [("mac", "mac"), ("person", "owner"), ("date", "until"), ("choice", "type")];
    let fields: Vec<_> = fields.iter().map(|(kind, name)| column(kind, name)).collect();
    let text = format!(
        r#"
        sources.oa.kind = "any"
        [targets.nac]
        connector = "generic"
        url = "http://nac"
        [[flows]]
        name = "devices"
        definition_id = "A"
        {rest}
        [flows.fields]
        {}
        "#,
        fields.join("\n")
    );
    Flows::parse(&text, &|_| None).unwrap()
}

fn plan_of(flows: &Flows, rows: &[Value]) -> (Vec<String>, Vec<String>) {
    let mut instance = instance(&json!({}));
    instance.form.fields.push(table(rows));
    let plan = plan(&flows.flows[0], &instance, INPUT, &Named).unwrap();
    let effects = plan.effects.iter().map(|effect| {
        let until = plan.variables(effect).get("until").cloned().unwrap_or_default();
        let (last, owner) = (number_of(effect.subject.as_ref()), &effect.owner);
        format!("{} {last} {owner} {}", effect.action.operation, until.as_str().unwrap_or("-"))
    });
    (effects.collect(), plan.problems.iter().map(ToString::to_string).collect())
}

const END: &str = "2027-12-31T00:00:00Z";
const ADD: &str = "{ target = \"nac\", operation = \"add\", for_each = \"mac\" }";

fn device_row(last: u8, rest: &Value) -> Value {
    let mut row = json!({"mac": format!("00:00:5e:00:53:0{last}")});
    row.as_object_mut().unwrap().extend(rest.as_object().unwrap().clone());
    row
}

#[test]
fn each_row_has_its_own_condition_owner_and_end() {
    let phones =
        "{ target = \"nac\", operation = \"add_phone\", for_each = \"mac\", when = \"type\" }";
    let flows = flow_over_rows(&format!("owner = \"owner\"\nactions = [{ADD}, {phones}]"));
    let rows = [
        device_row(1, &json!({"owner": "ou_2", "until": END, "type": "phone"})),
        device_row(2, &json!({})),
        device_row(3, &json!({"owner": "ou_3", "type": "phone"})),
    ];
    let (effects, problems) = plan_of(&flows, &rows);
    let expected = [
        "add 1 ou_2 2027-12-31T00:00:00Z",
        "add 2 ou_1 -",
        "add 3 ou_3 -",
        "add_phone 1 ou_2 2027-12-31T00:00:00Z",
        "add_phone 3 ou_3 -",
    ];
    assert_eq!((effects, problems), (owned(&expected), vec![]));
}

#[test]
fn a_row_that_cannot_be_read_is_not_acted_on_where_its_value_matters() {
    let rows = [
        device_row(1, &json!({"owner": ["ou_2", "ou_3"], "until": END})),
        device_row(2, &json!({"owner": "ou_2", "until": "tomorrow"})),
        device_row(3, &json!({"owner": "ou_2"})),
    ];
    let several = "row 1: field `owner` has several values, but takes one";
    let no_date = "row 2: field `until` is not a date";
    for (operation, owner, expected) in [
        ("add_until", true, &["add_until 3 ou_2 -"][..]),
        ("add_until", false, &["add_until 1 ou_1 2027-12-31T00:00:00Z", "add_until 3 ou_1 -"]),
        ("add", true, &["add 2 ou_2 -", "add 3 ou_2 -"]),
        // Only a grant has an owner.
        ("write", true, &["write 1 ou_1 2027-12-31T00:00:00Z", "write 2 ou_1 -", "write 3 ou_1 -"]),
    ] {
        let action = ADD.replace("add", operation);
        let owner = if owner { "owner = \"owner\"" } else { "" };
        let flows = flow_over_rows(&format!("{owner}\nactions = [{action}]"));
        let (effects, problems) = plan_of(&flows, &rows);
        assert_eq!(effects, expected, "{operation}");
        assert_eq!(problems, [several, no_date], "{operation}");
    }
}

#[test]
fn one_subject_in_two_rows_is_one_effect_and_a_contradiction_is_none() {
    let same = json!({"until": END, "owner": "ou_2"});
    let other_owner = json!({"until": END, "owner": "ou_3"});
    let flows = |operation: &str, owner: &str| {
        flow_over_rows(&format!("{owner}\nactions = [{}]", ADD.replace("add", operation)))
    };
    let rows = |second: &Value| [device_row(1, &same), device_row(2, &same), device_row(1, second)];
    let (effects, problems) = plan_of(&flows("add_until", ""), &rows(&same));
    assert_eq!((effects.len(), problems), (2, vec![]));
    // Another value of a field that nothing uses does not matter.
    let (effects, problems) = plan_of(&flows("add_until", ""), &rows(&other_owner));
    assert_eq!((effects.len(), problems), (2, vec![]));
    let owner = "owner = \"owner\"";
    let (effects, problems) = plan_of(&flows("add_until", owner), &rows(&other_owner));
    assert_eq!(effects, ["add_until 2 ou_2 2027-12-31T00:00:00Z"]);
    let said = "field `mac` names one mac several times, with different values of `owner`: which is meant is not known (rows: 1, 3)";
    assert_eq!(problems, [said]);
    let later = json!({"until": "2028-12-31T00:00:00Z", "owner": "ou_2"});
    let (effects, problems) = plan_of(&flows("add_until", ""), &rows(&later));
    assert_eq!((effects.len(), problems.len()), (1, 1), "the end is not known: no access");
}

/// Two fields name the same device for the same operation, with different ends: what follows it is
/// not done either.
#[test]
fn one_subject_in_two_fields_with_other_values_is_a_contradiction() {
    let text = r#"
        sources.oa.kind = "any"
        [targets.nac]
        connector = "generic"
        url = "http://nac"
        [[flows]]
        name = "devices"
        definition_id = "A"
        [flows.fields]
        mac = { kind = "mac", from = [{ field = "devices", column = "mac" }] }
        other = { kind = "mac", from = [{ field = "phones", column = "mac" }] }
        until = { kind = "date", from = [{ field = "devices", column = "until" }, { field = "phones", column = "until" }] }
        [[flows.actions]]
        target = "nac"
        operation = "add_until"
        for_each = "mac"
        [[flows.actions]]
        target = "nac"
        operation = "add"
        for_each = "mac"
        [[flows.actions]]
        target = "nac"
        operation = "add_until"
        for_each = "other"
    "#;
    let flows = Flows::parse(text, &|_| None).unwrap();
    for (second_end, effects, problems) in [(END, 3, 0), ("2028-12-31T00:00:00Z", 1, 1)] {
        let mut instance = instance(&json!({}));
        instance.form.fields.push(table(&[device_row(1, &json!({"until": END}))]));
        let phones =
            [device_row(1, &json!({"until": second_end})), device_row(2, &json!({"until": END}))];
        let phones = Field { custom_id: Some("phones".into()), ..table(&phones) };
        instance.form.fields.push(phones);
        let plan = plan(&flows.flows[0], &instance, INPUT, &Named).unwrap();
        assert_eq!((plan.effects.len(), plan.problems.len()), (effects, problems), "{plan:?}");
    }
}

#[test]
fn an_action_without_subjects_is_planned_once() {
    let open = "{ target = \"nac\", operation = \"write\" }";
    let flows = flow_over_rows(&format!("actions = [{open}, {ADD}]"));
    let rows = [device_row(1, &json!({})), device_row(2, &json!({}))];
    let (effects, problems) = plan_of(&flows, &rows);
    assert_eq!(
        (effects, problems),
        (owned(&["write 0 ou_1 -", "add 1 ou_1 -", "add 2 ou_1 -"]), vec![])
    );
    let (effects, problems) = plan_of(&flow_over_rows(&format!("actions = [{open}]")), &[]);
    assert_eq!((effects, problems), (owned(&["write 0 ou_1 -"]), vec![]), "the form has no table");
}

/// Nothing in a plan depends on the kinds that are built in.
#[test]
fn subjects_of_a_kind_that_only_tests_have_are_planned_as_all_others() {
    let mut flows = flow_over_rows(&format!("owner = \"owner\"\nactions = [{ADD}]"));
    flows.flows[0].fields.get_mut("mac").unwrap().kind = Kind::Subject(&BADGE);
    let mut instance = instance(&json!({}));
    let rows = [json!({"mac": "b4711 4712", "owner": "ou_2"}), json!({"mac": "B/1234567"})];
    instance.form.fields.push(table(&rows));
    let plan = plan(&flows.flows[0], &instance, INPUT, &Named).unwrap();
    let keys: Vec<_> = plan.effects.iter().map(|effect| effect.key().as_str().to_owned()).collect();
    assert_eq!(keys, ["nac/add/badge:B/004711", "nac/add/badge:B/004712"]);
    assert!(plan.effects.iter().all(|effect| effect.owner == "ou_2"));
    let problems: Vec<_> = plan.problems.iter().map(ToString::to_string).collect();
    let said = "row 2: field `mac`, entry 1 at character 1: this is not the number of a badge";
    assert_eq!(problems, [said]);
}
