use serde_json::json;

use super::*;
use crate::flow::Flows;

fn field(custom_id: &str, content: Content) -> Field {
    Field {
        custom_id: Some(custom_id.into()),
        id: format!("widget-{custom_id}"),
        name: custom_id.into(),
        content,
    }
}

fn text(custom_id: &str, text: &str) -> Field {
    field(custom_id, Content::Value(text.into()))
}

fn flow(fields: &str) -> Flow {
    let text = format!(
        r#"
        [targets.nac]
        connector = "generic"
        url = "http://nac"
        [[flows]]
        name = "devices"
        definition_id = "code"
        actions = [{{ target = "nac", operation = "add", for_each = "mac" }}]
        [flows.fields]
        {fields}
        "#
    );
    Flows::parse(&text, &|_| None).unwrap().flows.remove(0)
}

const MAC: &str = r#"mac = { kind = "mac", from = [{ field = "device_mac" }, { field = "devices", column = "mac" }] }"#;

fn macs(extracted: &Extracted) -> Vec<String> {
    extracted.devices.values().flatten().map(ToString::to_string).collect()
}

#[test]
fn devices_come_from_fields_and_table_columns_once_each() {
    let form = Form {
        fields: vec![
            text("device_mac", "00-00-5E-00-53-01"),
            field(
                "devices",
                Content::Rows(vec![
                    vec![text("kind", "phone"), text("mac", "00005e005302")],
                    vec![text("kind", "laptop"), text("mac", "0000.5E00.5301")],
                ]),
            ),
        ],
    };
    let extracted = extract(&flow(MAC), &form);
    assert_eq!(macs(&extracted), ["00:00:5e:00:53:01", "00:00:5e:00:53:02"]);
    assert_eq!(extracted.problems, []);
}

#[test]
fn the_good_devices_of_a_bad_form_are_still_good() {
    let form = Form {
        fields: vec![text("device_mac", "00:00:5e:00:53:0O\n00:00:5e:00:53:01\n02:00:5e:00:53:01")],
    };
    let extracted = extract(&flow(MAC), &form);
    assert_eq!(macs(&extracted), ["00:00:5e:00:53:01"]);
    let field = || "mac".to_owned();
    let error = MacError::LookAlike { letter: 'O', digit: '0', position: 17 };
    let expected = [
        Problem::Device { field: field(), number: 1, position: 1, error },
        Problem::RandomMac { field: field(), number: 3, position: 37 },
    ];
    assert_eq!(extracted.problems, expected);
}

/// The form is a thousand times larger than a real one; comparing all pairs would take minutes.
#[test]
fn g15_an_endless_form_is_read_only_so_far() {
    let addresses: Vec<_> = (0..320_000).map(|n| format!("0000{n:08x}")).collect();
    let column = |mac: &String| vec![text("mac", mac)];
    let form = Form {
        fields: vec![
            text("device_mac", &addresses.join(",")),
            field("devices", Content::Rows(addresses.iter().take(50_000).map(column).collect())),
        ],
    };
    let extracted = extract(&flow(MAC), &form);
    assert!(matches!(&extracted.problems[..], [Problem::TooMany { .. }]));
    assert!(extracted.devices.is_empty());
    println!("a form of 370,000 addresses is one problem");
}

#[test]
fn a_field_that_two_places_mean_is_read_once() {
    let rule = MAC.replace(
        "[{ field = \"device_mac\" }",
        "[{ field = \"device_mac\" }, { field = \"widget-device_mac\" }",
    );
    let form = Form { fields: vec![text("device_mac", "00:00:5e:00:53:0O")] };
    assert_eq!(extract(&flow(&rule), &form).problems.len(), 1);
}

#[test]
fn random_addresses_go_by_the_policy() {
    let form = Form { fields: vec![text("device_mac", "02:00:5e:00:53:01")] };
    for (policy, devices, warned, problems) in
        [("reject", 0, 0, 1), ("warn", 1, 1, 0), ("allow", 1, 0, 0)]
    {
        let rule = MAC.replace("] }", &format!("], random_mac = \"{policy}\" }}"));
        let extracted = extract(&flow(&rule), &form);
        assert_eq!(
            (macs(&extracted).len(), extracted.random_mac, extracted.problems.len()),
            (devices, warned, problems),
            "{policy}"
        );
    }
}

#[test]
fn each_kind_takes_what_a_form_gives_for_it() {
    let rules = r#"
        mac = { kind = "mac", from = [{ field = "device_mac" }] }
        reason = { kind = "text", from = [{ field = "reason" }] }
        until = { kind = "date", from = [{ field = "period", member = "end" }] }
        count = { kind = "number", from = [{ field = "count" }] }
        os = { kind = "choice", from = [{ field = "os" }] }
        tags = { kind = "choice", from = [{ field = "tags" }], multiple = true }
        owner = { kind = "person", from = [{ field = "owner" }] }
        vlan = { kind = "number", from = [{ field = "vlan" }], default = 20 }
        note = { kind = "text", from = [{ field = "note" }], optional = true }
    "#;
    let value = |name: &str, value: Value| field(name, Content::Value(value));
    let period = json!({"start": "2026-01-01T00:00:00+08:00", "end": "2027-12-31T00:00:00+08:00", "interval": 2.0});
    let fields = vec![
        text("device_mac", "00:00:5e:00:53:01"),
        text("reason", "new laptop"),
        value("period", period),
        value("count", json!(2)),
        text("os", "macOS"),
        value("tags", json!(["a", "b"])),
        value("owner", json!(["f3ta757q"])),
        text("note", ""),
    ];
    let extracted = extract(&flow(rules), &Form { fields: fields.clone() });
    assert_eq!(extracted.problems, []);
    let expected = json!({"reason": "new laptop", "until": "2027-12-31T00:00:00+08:00", "count": 2,
        "os": "macOS", "tags": ["a", "b"], "owner": "f3ta757q", "vlan": 20, "note": null});
    assert_eq!(json!(extracted.values), expected);

    for (name, bad, said) in [
        ("count", json!("two"), "`count` is not a number"),
        ("period", json!({"end": "31.12.2027"}), "`until` is not a date"),
        ("period", json!({"end": "2027-12-31T00:00:00"}), "`until` is not a date"),
        ("period", json!({"end": "2027-02-29T00:00:00Z"}), "`until` is not a date"),
        // Filled in, with an unreadable end: not the same as left out.
        (
            "period",
            json!({"start": "2026-01-01T00:00:00Z", "end": ""}),
            "`until`: the widget `period / end` is not a text",
        ),
        ("os", json!(["macOS", "Linux"]), "`os` has several values"),
        ("owner", json!({"id": 1}), "`owner`: the widget `owner` is not a text"),
    ] {
        let mut fields = fields.clone();
        fields.retain(|field| field.name != name);
        fields.push(value(name, bad));
        let problems = extract(&flow(rules), &Form { fields }).problems;
        assert!(problems.len() == 1 && problems[0].to_string().contains(said), "{problems:?}");
    }
}

#[test]
fn what_is_missing_is_named() {
    let problem = |fields: Vec<Field>| extract(&flow(MAC), &Form { fields }).problems;
    let absent = problem(vec![text("other", "x")]);
    assert!(
        matches!(&absent[..], [Problem::Absent { places, .. }] if places == "`device_mac`, `devices / mac`")
    );
    assert!(matches!(&problem(vec![text("device_mac", "  ")])[..], [Problem::Empty { .. }]));
    let object = field("device_mac", Content::Value(json!({"mac": "00:00:5e:00:53:01"})));
    assert!(matches!(&problem(vec![object])[..], [Problem::NotText { .. }]));
    let many = (0..=MAX_DEVICES).map(|n| format!("00005e00{n:04x}")).collect::<Vec<_>>().join(",");
    assert!(matches!(&problem(vec![text("device_mac", &many)])[..], [Problem::TooMany { .. }]));
}

#[test]
fn texts_become_values_and_may_be_optional() {
    let rules = format!(
        "{MAC}\nowner = {{ kind = \"text\", from = [{{ field = \"owner\" }}], optional = true }}"
    );
    let device = || text("device_mac", "00:00:5e:00:53:01");
    let with = extract(&flow(&rules), &Form { fields: vec![device(), text("owner", "Li Lei")] });
    assert_eq!(with.values["owner"], "Li Lei");
    let without = extract(&flow(&rules), &Form { fields: vec![device()] });
    assert!(without.values.values().all(Value::is_null) && without.problems.is_empty());
}

/// Texts that people typed into a MAC field, with the expected devices.
#[test]
fn g19_texts_as_people_type_them_give_their_devices() {
    #[derive(serde::Deserialize)]
    struct File {
        cases: Vec<Case>,
    }
    #[derive(serde::Deserialize)]
    struct Case {
        text: String,
        devices: Vec<String>,
        refused: usize,
    }
    let File { cases } =
        serde_json::from_str(include_str!("../../tests/mac-as-typed.json")).unwrap();
    let rule = MAC.replace("] }", "], optional = true }");
    let flow = flow(&rule);
    for Case { text: typed, devices, refused } in &cases {
        let form = Form { fields: vec![text("device_mac", typed)] };
        let extracted = extract(&flow, &form);
        assert_eq!(&macs(&extracted), devices, "{typed:?}");
        assert_eq!(extracted.problems.len(), *refused, "{typed:?}: {:?}", extracted.problems);
    }
    println!("{} texts as people type them", cases.len());
    assert!(cases.len() >= 40);
}

#[test]
fn extract_of_words_without_an_address_beside_a_good_device_keeps_both() {
    let column = |mac: &str| vec![text("mac", mac)];
    let rows =
        Content::Rows(vec![column("00:00:5e:00:53:01"), column("请联系管理员"), column("无")]);
    let extracted = extract(&flow(MAC), &Form { fields: vec![field("devices", rows)] });
    assert_eq!(macs(&extracted), ["00:00:5e:00:53:01"]);
    assert_eq!(extracted.problems, [Problem::NoAddress { field: "mac".into() }]);
}

#[test]
fn extract_of_a_field_in_words_for_empty_is_an_empty_field() {
    let form = Form { fields: vec![text("device_mac", "无")] };
    let extracted = extract(&flow(MAC), &form);
    assert_eq!(extracted.problems, [Problem::Empty { field: "mac".into() }]);
}

#[test]
fn g19_extract_of_a_value_that_cannot_be_read_is_no_missing_value() {
    let rules = r#"
        mac = { kind = "mac", from = [{ field = "device_mac" }] }
        until = { kind = "date", from = [{ field = "until" }], optional = true }
        from = { kind = "date", from = [{ field = "from" }], optional = true }
        owner = { kind = "text", from = [{ field = "owner" }] }
    "#;
    let form =
        Form { fields: vec![text("device_mac", "00:00:5e:00:53:01"), text("until", "31.12.2027")] };
    let extracted = extract(&flow(rules), &form);
    assert_eq!(json!(extracted.values), json!({"from": null}));
    assert_eq!(extracted.unreadable, ["owner", "until"].map(String::from).into());
}

#[test]
fn g19_extract_of_a_column_of_what_is_no_table_is_no_missing_value() {
    let rules = r#"
        mac = { kind = "mac", from = [{ field = "device_mac" }] }
        until = { kind = "date", from = [{ field = "periods", column = "end" }], optional = true }
    "#;
    let extract_with = |content: Content| {
        let fields = vec![text("device_mac", "00:00:5e:00:53:01"), field("periods", content)];
        extract(&flow(rules), &Form { fields })
    };
    let filled = extract_with(Content::Value(json!({"end": "2027-12-31T00:00:00+08:00"})));
    assert_eq!(filled.unreadable, ["until".to_owned()].into());
    let empty = extract_with(Content::Rows(vec![vec![]]));
    assert_eq!((json!(empty.values), empty.problems), (json!({"until": null}), vec![]));
}

/// `flows.toml` names the table twice: by the custom id, and by the label that people see.
#[test]
fn extract_of_a_field_from_the_table_of_the_devices_is_a_problem_under_any_name() {
    let rules = r#"
        mac = { kind = "mac", from = [{ field = "devices", column = "mac" }] }
        until = { kind = "date", from = [{ field = "设备明细", column = "end" }], optional = true }
    "#;
    let row = vec![text("mac", "00:00:5e:00:53:01"), text("end", "2027-12-31T00:00:00+08:00")];
    let table = Field { name: "设备明细".into(), ..field("devices", Content::Rows(vec![row])) };
    // By its name, as no other field has that as an id.
    let extracted = extract(&flow(rules), &Form { fields: vec![table] });
    assert_eq!(extracted.problems, [Problem::SameTable { field: "until".into() }]);
    assert_eq!(extracted.unreadable, ["until".to_owned()].into());
}
