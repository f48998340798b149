use serde_json::json;

use super::*;
use crate::explain::Explain;
use crate::flow::Flows;
use crate::form::{Content, Field};
use crate::mac::MacError;

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
        sources.feishu.kind = "feishu"
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
    extracted.subjects.values().flatten().map(|it| it.subject.to_string()).collect()
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
    let [first, second] = ["00:00:5e:00:53:01", "00:00:5e:00:53:02"];
    assert_eq!(macs(&extracted), [first, second, first], "the plan has each device once");
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
    let error = MacError::LookAlike { letter: 'O', digit: '0', position: 17 }.explain();
    let random = MacError::Random.explain();
    let expected = [
        Problem::Entry { field: field(), number: 1, position: 1, error },
        Problem::Entry { field: field(), number: 3, position: 37, error: random },
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
    assert_eq!(macs(&extracted), [""; 0]);
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
            (macs(&extracted).len(), extracted.warnings.len(), extracted.problems.len()),
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
        "os": "macOS", "tags": ["a", "b"], "owner": "f3ta757q", "vlan": 20, "note": null,
        "mac": "00:00:5e:00:53:01"});
    assert_eq!(json!(extracted.values[OUTSIDE].values), expected);

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
    let many = (0..=MAX_SUBJECTS).map(|n| format!("00005e00{n:04x}")).collect::<Vec<_>>().join(",");
    assert!(matches!(&problem(vec![text("device_mac", &many)])[..], [Problem::TooMany { .. }]));
}

#[test]
fn texts_become_values_and_may_be_optional() {
    let rules = format!(
        "{MAC}\nowner = {{ kind = \"text\", from = [{{ field = \"owner\" }}], optional = true }}"
    );
    let device = || text("device_mac", "00:00:5e:00:53:01");
    let with = extract(&flow(&rules), &Form { fields: vec![device(), text("owner", "Li Lei")] });
    assert_eq!(with.values[OUTSIDE].values["owner"], "Li Lei");
    let without = extract(&flow(&rules), &Form { fields: vec![device()] });
    assert_eq!(without.values[OUTSIDE].values["owner"], Value::Null);
    assert_eq!(without.problems, []);
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
    let words = Problem::NoneFound { field: "mac".into(), kind: "mac" };
    assert_eq!(extracted.problems, [words.in_row(Some(2))]);
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
    let outside = &extracted.values[OUTSIDE];
    assert_eq!(outside.values["from"], Value::Null);
    assert!(!outside.values.contains_key("until"));
    assert_eq!(outside.unreadable, ["owner", "until"].map(String::from).into());
}

#[test]
fn g19_extract_of_a_column_of_what_is_no_table_is_no_missing_value() {
    let rules = r#"
        mac = { kind = "mac", from = [{ field = "device_mac" }] }
        until = { kind = "date", from = [{ field = "periods", column = "end" }], optional = true, multiple = true }
    "#;
    let extract_with = |content: Content| {
        let fields = vec![text("device_mac", "00:00:5e:00:53:01"), field("periods", content)];
        extract(&flow(rules), &Form { fields })
    };
    let filled = extract_with(Content::Value(json!({"end": "2027-12-31T00:00:00+08:00"})));
    assert_eq!(filled.values[OUTSIDE].unreadable, ["until".to_owned()].into());
    let empty = extract_with(Content::Rows(vec![vec![]]));
    assert_eq!(empty.values[OUTSIDE].values["until"], Value::Null);
    assert_eq!(empty.problems, []);
}

/// A flow over a table: each device with its owner and end, and a reason outside of the table.
const ROWS: &str = r#"
    mac = { kind = "mac", from = [{ field = "device_mac" }, { field = "devices", column = "mac" }] }
    owner = { kind = "person", from = [{ field = "devices", column = "owner" }], optional = true }
    until = { kind = "date", from = [{ field = "devices", column = "until" }, { field = "until" }] }
    reason = { kind = "text", from = [{ field = "reason" }] }
"#;

const END: &str = "2027-12-31T00:00:00+08:00";

fn row(mac: &str, owner: &str, until: &str) -> Vec<Field> {
    vec![text("mac", mac), text("owner", owner), text("until", until)]
}

fn table(rows: Vec<Vec<Field>>) -> Field {
    field("devices", Content::Rows(rows))
}

/// Each device with its last octet, and the values of two fields.
fn rows_of(extracted: &Extracted) -> Vec<(String, Value, Value)> {
    let occurrences = extracted.subjects.values().flatten();
    let of = |it: &Occurrence| {
        let values = extracted.all_values(it.values);
        let value = |name: &str| values.get(name).cloned().unwrap_or(json!("unreadable"));
        (it.subject.value()[15..].to_owned(), value("owner"), value("until"))
    };
    occurrences.map(of).collect()
}

#[test]
fn extract_gives_each_subject_the_values_of_its_row() {
    let other_end = "2028-01-31T00:00:00+08:00";
    let rows = vec![
        row("00:00:5e:00:53:01", "ou_1", END),
        row("", "", ""),
        row("00:00:5e:00:53:02, 00:00:5e:00:53:03", "", ""),
        row("无", "无", ""),
    ];
    let fields =
        vec![table(rows), text("reason", "new"), text("until", other_end), text("device_mac", "")];
    let extracted = extract(&flow(ROWS), &Form { fields });
    assert_eq!(extracted.problems, []);
    let expected = [
        ("01".to_owned(), json!("ou_1"), json!(END)),
        ("02".to_owned(), Value::Null, json!(other_end)),
        ("03".to_owned(), Value::Null, json!(other_end)),
    ];
    assert_eq!(rows_of(&extracted), expected);
    let of_first = extracted.all_values(extracted.subjects["mac"][0].values);
    assert_eq!(of_first["reason"], "new", "a field outside of the table holds for all rows");
    assert!(
        extracted.values[1..].iter().all(|values| !values.values.contains_key("reason")),
        "a value outside of the table is not kept once per row"
    );
}

#[test]
fn extract_of_a_row_with_a_problem_keeps_the_others() {
    let rows = vec![
        row("00:00:5e:00:53:01", "ou_1", "tomorrow"),
        row("00:00:5e:00:53:02", "ou_2", END),
        row("00:00:5e:00:53:0O", "ou_3", END),
        row("", "ou_4", END),
    ];
    let extracted =
        extract(&flow(ROWS), &Form { fields: vec![table(rows), text("reason", "new")] });
    let field = |name: &str| name.to_owned();
    let error = MacError::LookAlike { letter: 'O', digit: '0', position: 17 }.explain();
    let expected = [
        Problem::NotDate { field: field("until") }.in_row(Some(1)),
        Problem::Entry { field: field("mac"), number: 1, position: 1, error }.in_row(Some(3)),
        Problem::Empty { field: field("mac") }.in_row(Some(4)),
    ];
    assert_eq!(extracted.problems, expected);
    let rows = rows_of(&extracted);
    assert_eq!(rows[0], ("01".to_owned(), json!("ou_1"), json!("unreadable")));
    assert_eq!(rows[1], ("02".to_owned(), json!("ou_2"), json!(END)));
    assert_eq!(extracted.values[1].unreadable, ["until".to_owned()].into());
}

#[test]
fn extract_of_a_subject_outside_of_tables_never_takes_the_value_of_a_row() {
    let rows = || table(vec![row("00:00:5e:00:53:02", "ou_2", END)]);
    let fields = vec![text("device_mac", "00:00:5e:00:53:01"), rows(), text("reason", "new")];
    let extracted = extract(&flow(ROWS), &Form { fields });
    let rows_of = rows_of(&extracted);
    assert_eq!(rows_of[0], ("01".to_owned(), Value::Null, json!("unreadable")));
    assert_eq!(rows_of[1], ("02".to_owned(), json!("ou_2"), json!(END)));
    let problem = extracted.problems.iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(problem, ["field `until`: the form has none of `devices / until`, `until`"]);
}

#[test]
fn extract_reports_what_all_rows_lack_once() {
    let rows = (1..=3).map(|n| row(&format!("00:00:5e:00:53:0{n}"), "", END)).collect();
    let extracted = extract(&flow(ROWS), &Form { fields: vec![table(rows)] });
    let problems: Vec<_> = extracted.problems.iter().map(ToString::to_string).collect();
    assert_eq!(problems, ["field `reason`: the form has none of `reason`"]);
    assert_eq!(
        extracted.values[OUTSIDE].unreadable.iter().collect::<Vec<_>>(),
        ["reason", "until"]
    );
    assert_eq!(extracted.place_of("reason", 2).unwrap().row, None);
}

/// `flows.toml` names the table twice: by the custom id, and by the label that people see.
#[test]
fn extract_knows_a_table_under_each_of_its_names() {
    let rules = ROWS.replace(
        "{ field = \"devices\", column = \"until\" }",
        "{ field = \"设备明细\", column = \"until\" }",
    );
    // By its name, as no other field has that as an id.
    let rows = vec![row("00:00:5e:00:53:01", "ou_1", END)];
    let table = Field { name: "设备明细".into(), ..table(rows) };
    let extracted = extract(&flow(&rules), &Form { fields: vec![table, text("reason", "new")] });
    assert_eq!(rows_of(&extracted), [("01".to_owned(), json!("ou_1"), json!(END))]);
    assert_eq!(extracted.problems, []);
}

#[test]
fn extract_of_a_multiple_field_has_all_rows_outside_and_one_within() {
    let rules = r#"
        mac = { kind = "mac", from = [{ field = "device_mac" }, { field = "devices", column = "mac" }] }
        owner = { kind = "person", from = [{ field = "devices", column = "owner" }], multiple = true, optional = true }
    "#;
    let rows =
        vec![row("00:00:5e:00:53:02", "ou_2", ""), row("00:00:5e:00:53:03", "ou_3,ou_4", "")];
    let fields = vec![text("device_mac", "00:00:5e:00:53:01"), table(rows)];
    let extracted = extract(&flow(rules), &Form { fields });
    let owners: Vec<_> = rows_of(&extracted).into_iter().map(|(_, owner, _)| owner).collect();
    let expected = [json!(["ou_2", "ou_3", "ou_4"]), json!(["ou_2"]), json!(["ou_3", "ou_4"])];
    assert_eq!(owners, expected);
}

#[test]
fn extract_of_two_subjects_of_a_row_gives_each_the_other() {
    let rules = r#"
        mac = { kind = "mac", from = [{ field = "devices", column = "mac" }] }
        ip = { kind = "ip", from = [{ field = "devices", column = "ip" }] }
    "#;
    let cells = |mac: &str, ip: &str| vec![text("mac", mac), text("ip", ip)];
    let rows = vec![
        cells("00005E005301", "IP：192.0.2.7"),
        cells("00005E005302", "192.0.2.8 192.0.2.9"),
        cells("00005E005303", "192.0.2"),
    ];
    let extracted = extract(&flow(rules), &Form { fields: vec![table(rows)] });
    let ip = |n: usize| extracted.all_values(n).get("ip").cloned();
    assert_eq!(ip(1), Some(json!("192.0.2.7")));
    assert_eq!((ip(2), ip(3)), (None, None));
    let problems: Vec<_> = extracted.problems.iter().map(ToString::to_string).collect();
    assert_eq!(problems[0], "row 2: field `ip` has several values, but takes one");
    assert!(problems[1].starts_with("row 3: field `ip`, entry 1 at character 1: "), "{problems:?}");
}

/// A column is no value outside of its table: only an action that uses it there has a problem.
#[test]
fn extract_of_required_columns_and_an_action_for_the_whole_approval_is_no_problem() {
    let rules = r#"
        mac = { kind = "mac", from = [{ field = "devices", column = "mac" }] }
        owner = { kind = "person", from = [{ field = "devices", column = "owner" }] }
        zone = { kind = "text", from = [{ field = "servers", column = "zone" }] }
    "#;
    let mut flow = flow(rules);
    let once = crate::flow::Action { for_each: None, ..flow.actions[0].clone() };
    flow.actions.push(once);
    let servers = field("servers", Content::Rows(vec![vec![text("zone", "a")]]));
    let devices = table(vec![row("00:00:5e:00:53:01", "ou_1", "")]);
    let extracted = extract(&flow, &Form { fields: vec![devices, servers] });
    assert_eq!(extracted.problems, []);
    let outside = &extracted.values[OUTSIDE];
    assert!(outside.problems_on_use.contains_key("owner"), "{outside:?}");
}

#[test]
fn extract_of_a_row_without_its_subject_is_a_problem_even_if_it_is_optional() {
    let rules = r#"
        mac = { kind = "mac", from = [{ field = "devices", column = "mac" }], optional = true }
        ip = { kind = "ip", from = [{ field = "devices", column = "ip" }], optional = true }
        owner = { kind = "person", from = [{ field = "devices", column = "owner" }], optional = true }
    "#;
    let mut flow = flow(rules);
    let of_ip = crate::flow::Action { for_each: Some("ip".into()), ..flow.actions[0].clone() };
    flow.actions.push(of_ip);
    let cells = |mac, ip| vec![text("mac", mac), text("ip", ip), text("owner", "ou_1")];
    let rows = || {
        table(vec![cells("", "192.0.2.7"), cells("", ""), cells("00:00:5e:00:53:01", "192.0.2.8")])
    };
    let problems = |flow: &Flow| -> Vec<_> {
        let extracted = extract(flow, &Form { fields: vec![rows()] });
        extracted.problems.iter().map(ToString::to_string).collect()
    };
    assert_eq!(problems(&flow), ["row 2: field `ip` is empty", "row 2: field `mac` is empty"]);
    flow.fields.get_mut("mac").unwrap().optional = false;
    let with_required = [
        "row 1: field `mac` is empty",
        "row 2: field `ip` is empty",
        "row 2: field `mac` is empty",
    ];
    assert_eq!(problems(&flow), with_required);
    // The cell of the subject is not even in the row.
    let rows = table(vec![vec![text("owner", "ou_1")]]);
    let form = Form { fields: vec![text("device_mac", "00:00:5e:00:53:01"), rows] };
    let problems = extract(&self::flow(ROWS), &form).problems;
    let absent = problems.iter().any(|problem| matches!(problem, Problem::InRow { row: 1, .. }));
    assert!(absent, "{problems:?}");
}

#[test]
fn extract_of_one_list_that_is_too_long_reads_the_others() {
    let rules = r#"
        mac = { kind = "mac", from = [{ field = "devices", column = "mac" }] }
        ip = { kind = "ip", from = [{ field = "ips" }] }
    "#;
    let mut flow = flow(rules);
    let of_ip = crate::flow::Action { for_each: Some("ip".into()), ..flow.actions[0].clone() };
    flow.actions.push(of_ip);
    let many: Vec<_> =
        (0..=MAX_SUBJECTS).map(|n| format!("10.0.{}.{}", n / 256, n % 256)).collect();
    let fields = vec![text("ips", &many.join("\n")), table(vec![row("00:00:5e:00:53:01", "", "")])];
    let extracted = extract(&flow, &Form { fields });
    assert_eq!(extracted.problems, [Problem::TooMany { field: "ip".into() }]);
    assert_eq!(macs(&extracted), ["00:00:5e:00:53:01"]);
}

#[test]
fn extract_of_a_table_without_end_is_one_problem() {
    let rows = (0..=MAX_SUBJECTS).map(|_| row("", "ou_1", END)).collect();
    let extracted = extract(&flow(ROWS), &Form { fields: vec![table(rows), text("reason", "x")] });
    assert!(extracted.problems.contains(&Problem::TooMany { field: "mac".into() }));
    assert_eq!(macs(&extracted), [""; 0]);
}
