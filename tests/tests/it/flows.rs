//! `greenlight flows`: each error has its line; a dry run shows every request and no secret.

use std::path::{Path, PathBuf};

use greenlight::connectors::{self, ListedConnector};
use greenlight::flows::{
    self, CheckedFlow, DryRun, FlowsProblem, check, render_checked, render_dry_run,
};
use greenlight::sources::render_kinds;
use greenlight_core::Decision;
use greenlight_core::flow::Flows;
use greenlight_core::ledger::EffectKind;
use greenlight_render::format::OutputFormat;
use greenlight_render::language::Language;
use greenlight_testkit::stub::{at_feishu, form_of};
use greenlight_tests::scene::{APPROVAL_CODE, NAC_TOKEN, Scene};
use greenlight_tests::serving::secrets;
use serde_json::json;
use tempfile::TempDir;

const FLOWS: &str = r#"sources.feishu.kind = "feishu"
[targets.nac]
connector = "packetfence"
url = "https://nac.example.com:9999"
params = { role_id = 3 }

[[flows]]
name = "laptops"
definition_id = "A-1"
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

/// The same flow with a database as target.
const RADIUS: [(&str, &str); 2] = [
    (
        "connector = \"packetfence\"\nurl = \"https://nac.example.com:9999\"",
        "connector = \"freeradius-sql\"\nurl = \"postgres://db.example.com/radius?sslmode=verify-full\"",
    ),
    ("params = { role_id = 3 }\n", ""),
];

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

    /// These flows with the built-in connectors.
    fn with_flows(&self, text: &str) -> flows::Files {
        flows::Files { flows: Some(self.write("flows.toml", text)), ..flows::Files::default() }
    }
}

async fn try_laptops(files: &flows::Files, instance: &Path) -> Result<DryRun, FlowsProblem> {
    flows::dry_run(files, "laptops", instance.to_str().unwrap(), "secrets.json".into()).await
}

#[test]
fn what_is_right_says_what_it_needs() {
    let files = Files::new();
    let checked = check(&files.with_flows(FLOWS)).unwrap();
    let [flow] = checked.flows.as_slice() else { panic!("{checked:?}") };
    let CheckedFlow { name, source, definition_id, decision, actions } = flow;
    assert_eq!([name, source, definition_id], ["laptops", "feishu", "A-1"]);
    assert_eq!((*decision, actions.len()), (Decision::Approved, 1));
    assert_eq!(checked.credentials, CREDENTIALS);
    for language in Language::ALL {
        let name = format!("checked_{}", language.code());
        insta::assert_snapshot!(name, render_checked(&checked, language));
    }
    let built_in = check(&flows::Files::default()).unwrap();
    assert_eq!(built_in.unset, ["APPROVAL_CODE", "NAC_URL"]);
}

#[test]
fn each_error_is_named_with_file_and_line() {
    let files = Files::new();
    let url = "https://nac.example.com:9999";
    let errors = [
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
            10,
            "`so`: there is no such field",
        ),
        (
            "operation = \"add\"",
            "operation = \"ad\"",
            16,
            "has no operation `ad`; available: add, find, remove",
        ),
        (
            "for_each = \"mac\"",
            "for_each = \"macs\"",
            16,
            "`macs`, which is no field with subjects; there is: mac",
        ),
        ("[{ field = \"os\" }]", "[]", 13, "field `os` of flow `laptops`"),
        ("name = \"laptops\"", "name = \"laptops\"\non = \"revoked\"", 9, "starts no flow"),
        (
            "for_each = \"mac\"",
            "for_each = \"mac\"\n[retry]\ninitial_interval = \"2h\"",
            20,
            "no longer than `max_interval`",
        ),
        ("kind = \"choice\"", "kind = \"chioce\"", 13, "unknown kind `chioce`"),
        (
            "name = \"laptops\"",
            "name = \"laptops\"\nowner = \"os\"",
            9,
            "no field of the kind `person` without `multiple`",
        ),
        ("for_each = \"mac\"", "", 16, "is a grant, so its action needs `for_each`"),
        ("for_each = \"mac\"", "for_each = \"os\"", 16, "`os`, which is no field with subjects"),
        (
            "[{ field = \"有效期\" }]",
            "[{ field = \"other\", column = \"end\" }]",
            16,
            "`valid_until`: it is a column of the table `other`",
        ),
        ("default = \"macOS\"", "default = 15", 13, "it must be a quoted text"),
        ("optional = true", "default = 2027-12-31T00:00:00Z", 14, "it must be a quoted moment"),
        ("params =", "tls = { pin_sha256 = \"abc\" }\nparams =", 5, "not 64 hexadecimal digits"),
        (
            "kind = \"feishu\"",
            "kind = \"feishou\"",
            1,
            "no kind `feishou`; known: dingtalk, feishu",
        ),
        (".kind", ".base_url = \"x\"\nsources.feishu.kind", 1, "`base_url`"),
        ("\nwhen", "\nsource = \"lark\"\nwhen", 10, "source `lark`, which does not exist"),
        ("A-1", "${A-1}", 9, "`flows.laptops.definition_id` has a `${`"),
    ];
    for (from, to, line, said) in errors {
        let problem =
            check(&files.with_flows(&FLOWS.replacen(from, to, 1))).unwrap_err().to_string();
        assert_eq!(problem.matches("flows.toml:").count(), 1, "{problem}");
        assert!(problem.contains(&format!("flows.toml:{line}: ")), "{to}: {problem}");
        assert!(problem.contains(said), "{to}: {problem}");
    }
    println!("{} errors, each with its line", errors.len());
}

#[test]
fn all_errors_are_reported_at_once() {
    let files = Files::new();
    let many = FLOWS
        .replace("from = [{ field = \"os\" }], default = \"macOS\"", "from = []")
        .replace("for_each = \"mac\"", "for_each = \"macs\"")
        .replace("[[flows]]", "[retry]\ninitial_interval = \"2h\"\n\n[[flows]]");
    let problem = check(&files.with_flows(&many)).unwrap_err().to_string();
    let lines: Vec<_> =
        problem.lines().skip(1).filter_map(|line| line.split(": ").next()).collect();
    let of = |line| format!("{}:{line}", files.0.path().join("flows.toml").display());
    assert_eq!(lines, [of(16), of(19), of(7)], "{problem}");
    let many = FLOWS
        .replace("nac.example.com:9999", "")
        .replace("role_id", "rolle_id")
        .replace("os != 'Windows'", "os !=")
        .replace("operation = \"add\"", "operation = \"ad\"");
    let problem = check(&files.with_flows(&many)).unwrap_err().to_string();
    assert_eq!(problem.matches("flows.toml:").count(), 4, "{problem}");
}

/// An action is found by its values, and a flow that repeats a name is the later one.
#[test]
fn errors_of_later_actions_and_flows_have_their_own_lines() {
    let files = Files::new();
    let second =
        "\n[[flows.actions]]\ntarget = \"nac\"\noperation = \"find\"\nfor_each = \"mac\"\n";
    let flows = FLOWS.to_owned() + second;
    let flow = FLOWS.find("[[flows]]").map(|at| &FLOWS[at..]).unwrap();
    for (text, line) in [
        (flows.replace("operation = \"find\"", "operation = \"fnid\""), 21),
        (flows.replace("\"find\"\nfor_each = \"mac\"", "\"find\"\nfor_each = \"macs\""), 21),
        (flows.replace("\"find\"", "\"find\"\nwhen = \"os !=\""), 21),
        (FLOWS.to_owned() + &flow.replace("A-1", "A-2"), 20),
    ] {
        let problem = check(&files.with_flows(&text)).unwrap_err().to_string();
        assert!(problem.contains(&format!("flows.toml:{line}: ")), "{problem}");
        assert_eq!(problem.matches("flows.toml:").count(), 1, "{problem}");
    }
}

/// The credentials that [`FLOWS`] needs.
const CREDENTIALS: [&str; 6] = [
    "sources.feishu.app_id",
    "sources.feishu.app_secret",
    "sources.feishu.encrypt_key",
    "sources.feishu.verification_token",
    "targets.nac.password",
    "targets.nac.username",
];

/// A variable that is set only where the flow is deployed is not an error.
#[test]
fn a_database_whose_url_is_not_known_yet_is_right() {
    let files = Files::new();
    let flows = RADIUS.iter().fold(FLOWS.to_owned(), |text, (from, to)| text.replace(from, to));
    for url in ["${RADIUS_URL}", "postgres://${RADIUS_HOST}/radius"] {
        let flows = flows.replace("postgres://db.example.com/radius?sslmode=verify-full", url);
        let checked = check(&files.with_flows(&flows)).unwrap();
        assert_eq!(checked.credentials, CREDENTIALS);
    }
    for login in ["postgres://u:p@db/radius", "postgres://db/radius?password=p"] {
        let flows = flows.replace("postgres://db.example.com/radius?sslmode=verify-full", login);
        let problem = check(&files.with_flows(&flows)).unwrap_err().to_string();
        assert!(
            problem.contains("flows.toml:4: target `nac`: `url` must not contain credentials"),
            "{problem}"
        );
    }
}

/// A new NAC needs one new file and no build.
#[test]
fn connectors_of_a_folder_are_there_too() {
    let files = Files::new();
    let folder = files.0.path().join("connectors");
    std::fs::create_dir(&folder).unwrap();
    let generic = include_str!("../../../infra/connectors/generic.toml");
    let own = generic.replacen("title = \"", "title = \"Our own: ", 1);
    std::fs::write(folder.join("ours.toml"), own).unwrap();
    let flows =
        FLOWS.replace("\"packetfence\"", "\"ours\"").replace("params = { role_id = 3 }", "");
    let mut files = files.with_flows(&flows);
    let problem = check(&files).unwrap_err().to_string();
    assert!(problem.contains("there is no connector `ours`"), "{problem}");
    files.connectors = Some(folder.clone());
    assert_eq!(check(&files).unwrap().flows[0].actions[0].connector, "ours");
    let listed = connectors::list(Some(&folder)).unwrap();
    let ours = listed.iter().find(|connector| connector.name == "ours").unwrap();
    assert!(ours.title.starts_with("Our own: "), "{ours:?}");
    std::fs::write(folder.join("ours.toml"), "title = 7").unwrap();
    let problem = check(&files).unwrap_err().to_string();
    assert!(problem.contains("flows.toml:3: connector `ours`: "), "{problem}");
    files.connectors = Some(folder.join("absent"));
    let problem = check(&files).unwrap_err().to_string();
    assert!(problem.contains("absent: No such file"), "{problem}");
}

fn instance(files: &Files) -> PathBuf {
    let form = form_of("", &["00-00-5E-00-53-01", "00:00:5e:00:53:0O"]);
    let instance = json!({"code": 0, "data": {"approval_code": "A-1", "instance_code": "I-1",
        "status": "APPROVED", "open_id": "ou_1", "serial_number": "7",
        "end_time": "1764414000000", "form": form.to_string()}});
    files.write("instance.json", &instance.to_string())
}

#[tokio::test]
async fn dry_run_has_every_request_and_no_secret() {
    let files = Files::new();
    let instance = instance(&files);
    let flows = files.with_flows(FLOWS);
    let run = try_laptops(&flows, &instance).await.unwrap();
    insta::assert_json_snapshot!("dry_run", run);
    let text = render_dry_run(&run, OutputFormat::Text(Language::English));
    insta::assert_snapshot!("dry_run_as_text", text);
    let windows = FLOWS.replace("default = \"macOS\"", "default = \"Windows\"");
    let run = try_laptops(&files.with_flows(&windows), &instance).await.unwrap();
    assert_eq!(run.effects, [], "the condition does not hold");
    let problem = flows::dry_run(&flows, "laptop", "I-1", "secrets.json".into())
        .await
        .unwrap_err()
        .to_string();
    assert_eq!(problem, "there is no flow `laptop`; there is: laptops");
    let no_instance = files.write("instance.json", "{}");
    let problem = try_laptops(&flows, &no_instance).await.unwrap_err().to_string();
    assert!(problem.contains("instance.json: "), "{problem}");
    let problem = try_laptops(&flows, &files.0.path().join("absent.json")).await.unwrap_err();
    assert!(problem.to_string().contains("absent.json: No such file"), "{problem}");
}

#[tokio::test]
async fn dry_run_has_the_statements_of_a_database() {
    let files = Files::new();
    let flows = RADIUS.iter().fold(FLOWS.to_owned(), |text, (from, to)| text.replace(from, to));
    let run = try_laptops(&files.with_flows(&flows), &instance(&files)).await.unwrap();
    insta::assert_json_snapshot!("dry_run_of_a_database", run);
}

/// An instance id: the instance is read from Feishu.
#[tokio::test]
async fn dry_run_reads_an_instance_from_feishu() {
    let files = Files::new();
    let scene = Scene::set().await;
    scene.approve("I-1", &["00-00-5E-00-53-01"]);
    let generic = FLOWS
        .replace("A-1", APPROVAL_CODE)
        .replace("\"packetfence\"", "\"generic\"")
        .replace("https://nac.example.com:9999", &scene.nac.url())
        .replace("params = { role_id = 3 }", "");
    let flows = files.with_flows(&at_feishu(&generic, &scene.feishu.url()));
    let secrets = secrets(&scene, files.0.path());
    let run = flows::dry_run(&flows, "laptops", "I-1", secrets.clone()).await.unwrap();
    let effects = run.effects.iter().map(|it| (it.operation.as_str(), it.subject.as_deref()));
    assert_eq!(effects.collect::<Vec<_>>(), [("add", Some("00:00:5e:00:53:01"))]);
    assert_eq!(scene.nac.calls(), 0, "nothing is sent");
    let said = render_dry_run(&run, OutputFormat::Text(Language::English));
    for secret in [NAC_TOKEN, &scene.app.app_secret, &scene.app.encrypt_key] {
        assert!(!said.contains(secret), "{said}");
    }
    let problem = flows::dry_run(&flows, "laptops", "I-2", secrets).await.unwrap_err().to_string();
    assert!(
        problem.starts_with("the instance cannot be read: Feishu answered code 1390003"),
        "{problem}"
    );
    let problem = flows::dry_run(&flows, "laptops", "I-1", "secrets.json".into())
        .await
        .unwrap_err()
        .to_string();
    assert!(problem.contains("secrets.json"), "{problem}");
}

/// The JSON Schema and the program accept the same valid files; what the schema rejects, the
/// program rejects.
#[test]
fn the_schema_says_what_the_program_takes() {
    let schema = serde_json::from_str(&greenlight::flows::schema()).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let takes =
        |text: &str| validator.is_valid(&json!(toml::from_str::<toml::Table>(text).unwrap()));
    let program_takes = |text: &str| Flows::parse(text, &|name| Some(name.to_owned())).is_ok();
    for text in [
        FLOWS,
        include_str!("../../../infra/flows.toml"),
        &format!("{FLOWS}[retry]\ninitial_interval = \"1s\""),
    ] {
        assert!(takes(text) && program_takes(text), "{text}");
    }
    for (from, to) in [
        ("connector =", "conector ="),
        ("role_id = 3 }", "role_id = 3 }\ntls = { pin = \"x\" }"),
        ("kind = \"date\"", "kind = \"day\""),
        ("optional = true", "optional = 1"),
        ("for_each = \"mac\"", "for_each = 1"),
        ("name = \"laptops\"", "name = 7"),
        ("column = \"mac\"", "colum = \"mac\""),
    ] {
        let text = FLOWS.replacen(from, to, 1);
        assert!(!takes(&text) && !program_takes(&text), "{to}");
    }
}

#[test]
fn connectors_are_listed_with_what_is_unverified() {
    let listed = connectors::list(None).unwrap();
    let ise = listed.iter().find(|connector| connector.name == "ise").unwrap();
    assert_eq!(
        (ise.title.as_str(), &*ise.operations),
        (
            "Cisco ISE (ERS)",
            &[
                ("add".to_owned(), EffectKind::Grant),
                ("find".to_owned(), EffectKind::Read),
                ("remove".to_owned(), EffectKind::Revoke),
            ][..]
        )
    );
    assert!(listed.iter().any(|connector| !connector.unverified.is_empty()));
    let one = [ListedConnector { unverified: vec!["pages of lists".to_owned()], ..ise.clone() }];
    for language in Language::ALL {
        let name = format!("connectors_{}", language.code());
        insta::assert_snapshot!(name, connectors::render(&one, language));
    }
}

#[test]
fn kinds_of_sources_are_listed_with_what_they_were_checked_with() {
    for language in Language::ALL {
        let name = format!("sources_{}", language.code());
        insta::assert_snapshot!(name, render_kinds(language));
    }
}
