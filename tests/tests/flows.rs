//! `greenlight flows`: a mistake is named with its line, and a dry run tells every request and no secret.

use std::path::PathBuf;

use greenlight::flows::{check, dry_run};
use greenlight::stub::form_of;
use greenlight_core::flow::Flows;
use serde_json::json;
use tempfile::TempDir;

const FLOWS: &str = r#"
[targets.nac]
connector = "packetfence"
url = "https://nac.example.com:9999"
params = { role_id = 3 }

[[flows]]
name = "laptops"
approval_code = "A-1"
when = "os != 'Windows'"
[flows.fields]
mac = { kind = "mac", from = [{ field = "devices", column = "mac" }] }
os = { kind = "choice", from = [{ field = "os" }], default = "macOS" }
valid_until = { kind = "date", from = [{ field = "有效期" }], optional = true }

[[flows.actions]]
target = "nac"
operation = "add"
for_each = "mac"
"#;

struct Files(TempDir);

impl Files {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    }
}

#[test]
fn what_is_right_says_what_it_needs() {
    let files = Files::new();
    let said = check(Some(&files.write("flows.toml", FLOWS))).unwrap();
    assert!(said.contains("flow laptops: feishu A-1 approved"), "{said}");
    assert!(
        said.contains("the secret must hold: targets.nac.password, targets.nac.username"),
        "{said}"
    );
    let said = check(None).unwrap();
    assert!(said.contains("not set here, and taken for granted: APPROVAL_CODE, NAC_URL"), "{said}");
}

#[test]
fn each_mistake_is_named_with_file_and_line() {
    let files = Files::new();
    let url = "https://nac.example.com:9999";
    let mistakes = [
        (
            "connector = \"packetfence\"",
            "connector = \"packetfense\"",
            3,
            "there is no connector `packetfense`",
        ),
        (url, "nac.example.com", 4, "`url` must look like"),
        ("role_id = 3", "rolle_id = 3", 5, "`params.rolle_id` is unknown to the connector"),
        ("params = { role_id = 3 }", "", 2, "`params.role_id` is missing: the id of the role"),
        (
            "when = \"os != 'Windows'\"",
            "when = \"so != 'Windows'\"",
            16,
            "`so` is no field of the flow",
        ),
        ("operation = \"add\"", "operation = \"ad\"", 16, "cannot `ad`; it can: add, find, remove"),
        (
            "for_each = \"mac\"",
            "for_each = \"macs\"",
            16,
            "`macs`, which is not there; there is: mac",
        ),
        ("[{ field = \"os\" }]", "[]", 13, "field `os` of flow `laptops`"),
        ("name = \"laptops\"", "name = \"laptops\"\nverdict = \"revoked\"", 9, "not acted on yet"),
        (
            "for_each = \"mac\"",
            "for_each = \"mac\"\n[retry]\nfirst = \"2h\"",
            20,
            "no longer than `longest`",
        ),
        ("kind = \"choice\"", "kind = \"chioce\"", 13, "`chioce`"),
    ];
    for (from, to, line, said) in mistakes {
        let file = files.write("flows.toml", &FLOWS.replacen(from, to, 1));
        let problem = check(Some(&file)).unwrap_err().to_string();
        assert!(problem.contains(&format!("flows.toml:{line}: ")), "{to}: {problem}");
        assert!(problem.contains(said), "{to}: {problem}");
    }
    println!("{} mistakes, each with its line", mistakes.len());
}

#[test]
fn a_dry_run_tells_every_request_and_no_secret() {
    let files = Files::new();
    let flows = files.write("flows.toml", FLOWS);
    let form = form_of("", &["00-00-5E-00-53-01", "00:00:5e:00:53:0O"]);
    let instance = json!({"code": 0, "data": {"approval_code": "A-1", "instance_code": "I-1",
        "status": "APPROVED", "open_id": "ou_1", "serial_number": "7", "form": form.to_string()}});
    let instance = files.write("instance.json", &instance.to_string());
    let said = dry_run(Some(&flows), "laptops", &instance).unwrap();
    for expected in [
        "! field `mac`, device 2: letter O at position 17",
        "add 00:00:5e:00:53:01 at nac",
        "login: POST https://nac.example.com:9999/api/v1/login\n",
        "{\"username\":\"***\",\"password\":\"***\"}",
        "create: POST https://nac.example.com:9999/api/v1/nodes\n    authorization: ***\n",
        "\"category_id\":3,\"unregdate\":\"2027-12-30 16:00:00\"",
        "register: PATCH https://nac.example.com:9999/api/v1/node/00:00:5e:00:53:01\n",
        "1 device(s); nothing was sent",
    ] {
        assert!(said.contains(expected), "{expected}: {said}");
    }
    let windows = FLOWS.replace("default = \"macOS\"", "default = \"Windows\"");
    let flows = files.write("flows.toml", &windows);
    let said = dry_run(Some(&flows), "laptops", &instance).unwrap();
    assert!(
        said.contains("0 device(s)") && !said.contains("POST"),
        "the condition does not hold: {said}"
    );
    let problem = dry_run(Some(&flows), "laptop", &instance).unwrap_err().to_string();
    assert_eq!(problem, "there is no flow `laptop`; there is: laptops");
    let no_instance = files.write("instance.json", "{}");
    let problem = dry_run(Some(&flows), "laptops", &no_instance).unwrap_err().to_string();
    assert!(problem.contains("instance.json: "), "{problem}");
}

/// What the schema takes, the program takes, and what it refuses, the program refuses.
#[test]
fn the_schema_says_what_the_program_takes() {
    let schema = serde_json::from_str(&greenlight::flows::schema()).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let takes =
        |text: &str| validator.is_valid(&json!(toml::from_str::<toml::Table>(text).unwrap()));
    let program_takes = |text: &str| Flows::parse(text, &|name| Some(name.to_owned())).is_ok();
    for text in
        [FLOWS, include_str!("../../infra/flows.toml"), &format!("{FLOWS}[retry]\nfirst = \"1s\"")]
    {
        assert!(takes(text) && program_takes(text), "{text}");
    }
    for (from, to) in [
        ("connector =", "conector ="),
        ("role_id = 3 }", "role_id = 3 }\ntls = { pin = \"x\" }"),
        ("kind = \"date\"", "kind = \"day\""),
        ("optional = true", "optional = 1"),
        ("for_each = \"mac\"", ""),
        ("name = \"laptops\"", "name = 7"),
        ("column = \"mac\"", "colum = \"mac\""),
    ] {
        let text = FLOWS.replacen(from, to, 1);
        assert!(!takes(&text) && !program_takes(&text), "{to}");
    }
}

#[test]
fn connectors_are_listed_with_what_is_unverified() {
    let said = greenlight::connectors::list().unwrap();
    for expected in
        ["ise                 Cisco ISE (ERS)", "add, find, remove", "unverified (未验证): "]
    {
        assert!(said.contains(expected), "{said}");
    }
}
