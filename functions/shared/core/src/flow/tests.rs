use super::*;
use crate::key_path::KeyPath;
use crate::names::names_of;
use crate::renamed::RenamedKey;

const TEXT: &str = r#"
    sources.oa.kind = "any"
    [targets.nac]
    connector = "generic"
    url = "${NAC_URL}/base"

    [[flows]]
    name = "devices"
    definition_id = "${APPROVAL_CODE}"
    fields.mac = { kind = "mac", from = [{ field = "devices", column = "mac" }] }
    actions = [{ target = "nac", operation = "add", for_each = "mac" }]
"#;

const CODE: &str = "A-1";

#[allow(clippy::unnecessary_wraps, reason = "it has the shape of an environment")]
fn everything(name: &str) -> Option<String> {
    // A definition is an id.
    Some(if name == "APPROVAL_CODE" { CODE.to_owned() } else { format!("<{name}>\"\n") })
}

fn error_of(text: &str) -> String {
    match Flows::parse(text, &everything) {
        Ok(flows) => format!("no error: {flows:?}"),
        Err(error) => error.to_string(),
    }
}

#[test]
fn values_of_the_environment_stay_values() {
    let flows = Flows::parse(TEXT, &everything).unwrap();
    assert_eq!(flows.targets["nac"].url, "<NAC_URL>\"\n/base");
    assert!(flows.find("oa", CODE).is_some());
    assert!(flows.find("oa", "another").is_none());
    assert!(flows.find("other", CODE).is_none());
}

#[test]
fn a_renamed_target_has_the_name_that_the_ledger_knows() {
    let renamed = TEXT
        .replacen("[targets.nac]", "[targets.campus]\nrenamed_from = \"nac\"", 1)
        .replacen("\"nac\", op", "\"campus\", op", 1)
        .replacen(
            "sources.oa.kind",
            "sources.office.renamed_from = \"oa\"\nsources.office.kind",
            1,
        );
    let (renamed, before) = (Flows::parse(&renamed, &everything), Flows::parse(TEXT, &everything));
    let (renamed, before) = (renamed.unwrap(), before.unwrap());
    assert_eq!(renamed.flows, before.flows);
    assert_eq!(names_of(&renamed), names_of(&before));
    assert_eq!(names_of(&before), ["targets.nac", "sources.oa"]);
}

#[test]
fn a_name_is_not_renamed_from_one_that_is_there() {
    let target = "connector = \"generic\"\nurl = \"https://nac.example.com\"\n";
    for (keys, expected) in [
        ("renamed_from = \"other\"", None),
        ("renamed_from = \"nac\"", Some(RenameProblem::NameInUse("nac".into()))),
        ("renamed_from = \"campus\"", Some(RenameProblem::SameName("campus".into()))),
        ("renamed_from = \"a/b\"", Some(RenameProblem::NoName("a/b".into()))),
        (
            "renamed_from = \"other\"\n[targets.third]\nrenamed_from = \"other\"",
            Some(RenameProblem::RenamedTwice("other".into())),
        ),
    ] {
        let (first, rest) = keys.split_once('\n').unwrap_or((keys, ""));
        let rest = if rest.is_empty() { String::new() } else { format!("{rest}\n{target}") };
        let text = format!("{TEXT}\n[targets.campus]\n{first}\n{target}{rest}");
        let errors = Flows::parse(&text, &everything).err();
        let problem = errors.as_ref().and_then(|errors| match errors.iter().next() {
            Some(FlowsError::RenamedFrom { problem, .. }) => Some(problem.clone()),
            _ => None,
        });
        assert_eq!((problem, errors.is_some()), (expected.clone(), expected.is_some()), "{keys}");
    }
}

#[test]
fn an_error_is_named_with_its_place() {
    for (from, to, said) in [
        ("operation =", "operatoin =", "line 11"),
        ("\"nac\", op", "\"nacc\", op", "target `nacc`, which does not exist; known: nac"),
        ("for_each = \"mac\"", "for_each = \"mec\"", "`mec`"),
        ("${NAC_URL}", "${NAC_URL", "`targets.nac.url`"),
        ("${NAC_URL}", "${}", "`targets.nac.url`"),
        ("[{ field = \"devices\", column = \"mac\" }]", "[]", "field `mac` of flow `devices`"),
        ("kind = \"mac\"", "kind = \"mcc\"", "unknown kind `mcc`, expected one of `mac`, `ip`"),
        ("name = \"devices\"", "name = \"devices\"\non = \"revoked\"", "starts no flow"),
    ] {
        let error = error_of(&TEXT.replacen(from, to, 1));
        assert!(error.contains(said), "{to}: {error}");
    }
}

/// The flow of [`TEXT`] with another field, and another key.
fn with(field: &str, key: &str) -> String {
    let fields = format!("name = \"devices\"\nfields.other = {field}\n{key}");
    TEXT.replacen("name = \"devices\"", &fields, 1)
}

#[test]
fn binds_a_field_of_the_row_or_of_no_row_and_none_of_another_table() {
    let table = |table: &str, rest: &str| {
        format!(r#"{{ kind = "date", from = [{{ field = "{table}", column = "end" }}]{rest} }}"#)
    };
    let bound = |field: &str| {
        let flow = Flows::parse(&with(field, ""), &everything).unwrap().flows.remove(0);
        let once = Action { for_each: None, ..flow.actions[0].clone() };
        (flow.binds(&flow.actions[0], "other"), flow.binds(&once, "other"))
    };
    let other_table = |table: &str| Err(NotBound::OtherTable { table: table.to_owned() });
    let in_same = table("devices", "");
    assert_eq!(bound(&in_same), (Ok(()), other_table("devices")));
    let in_other = table("periods", "");
    assert_eq!(bound(&in_other), (other_table("periods"), other_table("periods")));
    assert_eq!(bound(&table("periods", ", multiple = true")), (Ok(()), Ok(())));
    let outside = r#"{ kind = "date", from = [{ field = "end" }] }"#;
    assert_eq!(bound(outside), (Ok(()), Ok(())));
    // A subject outside of the table would have no value.
    let both = with(&in_same, "").replace(
        "[{ field = \"devices\", column = \"mac\" }]",
        "[{ field = \"device_mac\" }, { field = \"devices\", column = \"mac\" }]",
    );
    let flow = Flows::parse(&both, &everything).unwrap().flows.remove(0);
    assert_eq!(flow.binds(&flow.actions[0], "other"), other_table("devices"));
    let flow = Flows::parse(TEXT, &everything).unwrap().flows.remove(0);
    assert_eq!(flow.binds(&flow.actions[0], "mac"), Err(NotBound::Subjects));
    assert_eq!(flow.binds(&flow.actions[0], "other"), Err(NotBound::Unknown));
}

#[test]
fn what_a_flow_cannot_do_with_its_subjects_is_named() {
    let person = r#"{ kind = "person", from = [{ field = "periods", column = "who" }] }"#;
    let text = r#"{ kind = "text", from = [{ field = "server" }] }"#;
    let pattern = r#"{ kind = "text", from = [{ field = "server" }], pattern = "srv-[0-9]+" }"#;
    let other = |text: &str| text.replace("for_each = \"mac\"", "for_each = \"other\"");
    for (text, said) in [
        (with(person, "owner = \"other\""), "a column of the table `periods`"),
        (
            with(text, "owner = \"other\""),
            "`other`, which is no field of the kind `person` without",
        ),
        (
            with(&person.replace(" }]", " }], multiple = true"), "owner = \"other\""),
            "of the kind `person` without `multiple`",
        ),
        (with(text, "owner = \"who\""), "`who`, which is no field of the kind `person` without"),
        (other(&with(text, "")), "`other` of flow `devices` needs a `pattern`"),
        (with(&text.replace(" }] ", " }], random_mac = \"warn\" "), ""), "kind `mac`"),
        (
            with(&pattern.replace("text", "person"), ""),
            "`pattern` is for fields of the kind `text`",
        ),
        (with(&pattern.replace("[0-9]+", "[0-9"), ""), "line 9"),
        (
            other(&with(&text.replace("text", "date"), "")),
            "`other`, which is no field with subjects",
        ),
        (with(text, "").replace("fields.other", "fields.subject"), "none of: subject"),
        (with(text, "").replace("fields.other", "fields.\"the-end\""), "field `the-end`"),
        (TEXT.replace("targets.nac", "targets.\"n/c\""), "target `n/c`"),
        (TEXT.replace("${APPROVAL_CODE}", ""), "`definition_id` must be 1 to 128"),
        (TEXT.replace("${APPROVAL_CODE}", "设备 入网"), "`definition_id` must be 1 to 128"),
        (
            with(r#"{ kind = "ip", from = [{ field = "ip" }], default = "192.0.2.07" }"#, ""),
            "of the kind `ip`, as in `192.0.2.7`",
        ),
    ] {
        let error = error_of(&text);
        assert!(error.contains(said), "{said}: {error}");
    }
    for text in [
        other(&with(pattern, "")),
        with(r#"{ kind = "person", from = [{ field = "who" }] }"#, "owner = \"other\""),
        with(r#"{ kind = "ip", from = [{ field = "ip" }], default = "192.0.2.7" }"#, ""),
        TEXT.replace(", for_each = \"mac\"", ""),
    ] {
        assert_eq!(Flows::parse(&text, &everything).err(), None, "{text}");
    }
}

#[test]
fn parse_retry_is_what_the_file_says() {
    let text = |retry: &str| format!("{TEXT}\n[retry]\n{retry}");
    let flows = Flows::parse(&text("max_elapsed = \"2days\""), &everything).unwrap();
    assert_eq!(flows.retry.max_elapsed.as_secs(), 48 * 3_600);
    assert_eq!(flows.retry.initial_interval, RetryPolicy::default().initial_interval);
    for (retry, said) in [
        ("max_elapsed = \"14days\"", "13days at most"),
        ("max_interval = \"12h\"", "11h 50min at most"),
        ("max_elapsed = \"1s\"", "no shorter than `initial_interval`"),
        ("initial_interval = \"20min\"", "no longer than `max_interval`"),
        ("initial_interval = \"0s\"", "at least 1ms"),
        ("initial_interval = \"soon\"", "\"soon\" is not a duration"),
        ("initial_intervall = \"1s\"", "line 14"),
    ] {
        let error = error_of(&text(retry));
        assert!(error.contains(said), "{retry}: {error}");
    }
}

#[test]
fn a_flow_that_can_never_run_is_refused() {
    let (_, flow) = TEXT.split_at(TEXT.find("[[flows]]").unwrap());
    let error = error_of(&format!("{TEXT}\n{flow}"));
    assert!(error.contains("can never run"), "{error}");
    assert!(error.contains("there are two flows `devices`"), "{error}");
}

#[test]
fn parse_key_of_the_first_edition_names_the_new_one() {
    for (old, new, place) in [
        ("approval_code", "definition_id", "flows.devices.approval_code"),
        ("verdict", "on", "flows.devices.verdict"),
    ] {
        let text = format!("[[flows]]\nname = \"devices\"\n{old} = \"approved\"");
        let errors = Flows::parse(&text, &|_| None).unwrap_err();
        let errors: Vec<_> = errors.iter().cloned().collect();
        let path = place.split('.').map(str::to_owned).collect();
        assert_eq!(errors, [FlowsError::Renamed(RenamedKey { path: KeyPath(path), new })]);
    }
}

/// The errors of a file with these sources, and a flow with these keys.
fn source_errors(sources: &str, flow: &str) -> Vec<FlowsError> {
    let text = TEXT.replace("sources.oa.kind = \"any\"", sources);
    let text = text.replace("name = \"devices\"", &format!("name = \"devices\"\n{flow}"));
    match Flows::parse(&text, &everything) {
        Ok(_) => Vec::new(),
        Err(errors) => errors.iter().cloned().collect(),
    }
}

#[test]
fn parse_source_of_a_flow_is_the_named_or_the_default_one() {
    let two = "sources.a.kind = \"x\"\nsources.b = { kind = \"y\", default = true }";
    let text = TEXT.replace("sources.oa.kind = \"any\"", two);
    assert_eq!(Flows::parse(&text, &everything).unwrap().flows[0].source, "b");
    let named = text.replace("name = \"devices\"", "name = \"devices\"\nsource = \"a\"");
    assert_eq!(Flows::parse(&named, &everything).unwrap().flows[0].source, "a");
    assert_eq!(Flows::parse(TEXT, &everything).unwrap().flows[0].source, "oa");
}

#[test]
fn parse_source_that_does_not_exist_is_an_error() {
    let [flow, one] = ["devices", "sources.a.kind = \"x\""].map(str::to_owned);
    let known = || "a".to_owned();
    assert_eq!(source_errors("", ""), [FlowsError::NoSource]);
    assert_eq!(
        source_errors(&one, "source = \"b\""),
        [FlowsError::UnknownSource { flow, name: "b".into(), known: known() }]
    );
    assert_eq!(
        source_errors(&format!("{one}\nsources.b.kind = \"y\""), ""),
        [FlowsError::NoDefault { known: "a, b".into() }]
    );
    let default = "kind = \"x\", default = true";
    let two = format!("sources = {{ a = {{ {default} }}, b = {{ {default} }} }}");
    let both = FlowsError::TwoDefaults { first: "a".into(), second: "b".into() };
    assert_eq!(source_errors(&two, ""), [both]);
    for bad in ["a/b", "..", "targets"] {
        let name = FlowsError::SourceName(bad.into());
        assert_eq!(source_errors(&format!("sources.\"{bad}\".kind = \"x\""), ""), [name]);
    }
}

/// A receiver reads the sources alone: errors in flows and variables of targets are the worker's.
#[test]
fn source_configs_are_read_without_the_flows() {
    let text = "[sources.oa]\nkind = \"any\"\nurl = \"${URL}\"\nlist = [\"${URL}\"]\n\
                [targets.nac]\nurl = \"${OTHER}\"\n[[flows]]\nno = \"flow\"";
    let environment = |name: &str| (name == "URL").then(|| "u".to_owned());
    let sources = SourceConfigs::parse(text, &environment).unwrap();
    let settings = serde_json::json!({"url": "u", "list": ["u"]});
    assert_eq!(serde_json::Value::Object(sources.0["oa"].settings.clone()), settings);
    assert_eq!(sources.default_source(), Some("oa"));
    let unset = SourceConfigs::parse(text, &|_| None).unwrap_err();
    assert!(unset.to_string().contains("`sources.oa.url` needs the environment variable URL"));
}
