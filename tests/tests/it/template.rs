//! Checks of template.yaml that the local AWS does not make.

use std::process::Command;

use greenlight_tests::{tool, workspace};
use serde_json::{Value, json};

/// The template as JSON, with intrinsic functions expanded: `!Ref Queue` is `{"Ref": "Queue"}`.
fn template() -> Value {
    let script = "import json, sys
from samcli.yamlhelper import yaml_parse
print(json.dumps(yaml_parse(sys.stdin.read())))";
    let file = std::fs::File::open(workspace().join("template.yaml")).unwrap();
    let output = Command::new(tool("sam", "python")).args(["-c", script]).stdin(file).output();
    let output = output.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn of_type<'a>(template: &'a Value, kind: &str) -> Vec<(&'a str, &'a Value)> {
    let resources = template["Resources"].as_object().unwrap().iter();
    resources
        .filter(|(_, resource)| resource["Type"] == kind)
        .map(|(name, resource)| (name.as_str(), &resource["Properties"]))
        .collect()
}

/// Under another logical id CloudFormation would create a new queue, table or secret beside the old
/// one. If the text of the empty secret changed, it would overwrite the real one.
#[test]
fn what_holds_data_keeps_its_logical_id_and_is_kept() {
    let template = template();
    for (id, kind, deletion) in [
        ("Queue", "AWS::SQS::Queue", "Retain"),
        ("DeadLetterQueue", "AWS::SQS::Queue", "Retain"),
        ("Ledger", "AWS::DynamoDB::Table", "Retain"),
        ("Secret", "AWS::SecretsManager::Secret", "RetainExceptOnCreate"),
    ] {
        let resource = &template["Resources"][id];
        assert_eq!(
            (&resource["Type"], &resource["DeletionPolicy"], &resource["UpdateReplacePolicy"]),
            (&json!(kind), &json!(deletion), &json!("Retain")),
            "{id}"
        );
    }
    assert_eq!(
        template["Resources"]["Secret"]["Properties"]["SecretString"],
        r#"{"feishu":{"app_id":"","app_secret":"","encrypt_key":"","verification_token":""},"targets":{"nac":{"token":""}}}"#,
    );
    assert_eq!(of_type(&template, "AWS::SQS::Queue").len(), 2);
    assert_eq!(of_type(&template, "AWS::DynamoDB::Table").len(), 1);
    assert_eq!(of_type(&template, "AWS::SecretsManager::Secret").len(), 1);
}

/// A stack in a VPC rolls back if the right to create network interfaces is attached after the
/// function is created; the code of the function must not have that right.
#[test]
fn the_worker_of_a_vpc_has_its_rights_in_its_role_and_only_lambda_uses_them() {
    let template = template();
    let role = &template["Resources"]["WorkerRole"]["Properties"];
    let policies = role["Policies"].as_array().unwrap();
    let vpc = policies.iter().find_map(|it| it.get("Fn::If")).expect("a policy has a condition");
    assert_eq!(vpc[0], "WorkerInVpc");
    assert_eq!(vpc[2], json!({"Ref": "AWS::NoValue"}));
    let statements = vpc[1]["PolicyDocument"]["Statement"].as_array().unwrap();
    let [allow, deny] = statements.as_slice() else { panic!("{statements:?}") };
    assert_eq!((&allow["Effect"], &deny["Effect"]), (&json!("Allow"), &json!("Deny")));
    assert_eq!(allow["Action"], deny["Action"]);
    assert_eq!(deny["Condition"], json!({"Null": {"lambda:SourceFunctionArn": "false"}}));
    assert!(of_type(&template, "AWS::IAM::Policy").is_empty(), "none is attached later");
}

/// Every role has the account's permissions boundary, every queue requires TLS.
#[test]
fn roles_have_the_boundary_and_queues_their_policies() {
    let template = template();
    let boundary = json!({"Fn::If": ["HasPermissionsBoundary", {"Ref": "PermissionsBoundaryArn"},
        {"Ref": "AWS::NoValue"}]});
    let roles = of_type(&template, "AWS::IAM::Role");
    assert_eq!(roles.len(), 2);
    for (name, role) in roles {
        assert_eq!(role["PermissionsBoundary"], boundary, "{name}");
    }
    let policies = of_type(&template, "AWS::SQS::QueuePolicy");
    let queues: Vec<_> = policies.iter().map(|(_, policy)| &policy["Queues"]).collect();
    assert_eq!(queues, [&json!([{"Ref": "Queue"}]), &json!([{"Ref": "DeadLetterQueue"}])]);
    for (name, policy) in policies {
        let statements = policy["PolicyDocument"]["Statement"].as_array().unwrap();
        let sids: Vec<_> = statements.iter().map(|statement| &statement["Sid"]).collect();
        assert_eq!(sids, ["TlsOnly", "NamedSenders"], "{name}");
        assert!(statements.iter().all(|statement| statement["Effect"] == "Deny"), "{name}");
        let tls = json!({"Bool": {"aws:SecureTransport": "false"}});
        assert_eq!(statements[0]["Condition"], tls, "{name}");
        // SQS itself moves messages to the dead-letter queue.
        let condition = &statements[1]["Condition"];
        let conditions = match condition.get("Fn::If") {
            Some(either) => vec![&either[1], &either[2]],
            None => vec![condition],
        };
        for condition in conditions {
            let service = &condition["BoolIfExists"]["aws:PrincipalIsAWSService"];
            assert_eq!(service, "false", "{name}");
        }
    }
}

/// With a KMS key of the account all data stores use it, and both roles are allowed to.
#[test]
fn a_key_of_the_account_is_used_for_everything_that_holds_data() {
    let template = template();
    let key = json!({"Fn::If": ["HasKmsKey", {"Ref": "KmsKeyArn"}, {"Ref": "AWS::NoValue"}]});
    let resources = &template["Resources"];
    for place in [
        &resources["Queue"]["Properties"]["KmsMasterKeyId"],
        &resources["DeadLetterQueue"]["Properties"]["KmsMasterKeyId"],
        &resources["Ledger"]["Properties"]["SSESpecification"]["KMSMasterKeyId"],
        &resources["Secret"]["Properties"]["KmsKeyId"],
    ] {
        assert_eq!(place, &key);
    }
    for (role, sids) in
        [("ReceiverRole", ["UseKey"].as_slice()), ("WorkerRole", &["UseKey", "UseKeyForLedger"])]
    {
        let policy = &resources[role]["Properties"]["Policies"][0]["PolicyDocument"];
        let statements = policy["Statement"].as_array().unwrap().iter();
        let of_key = statements.filter_map(|it| it.get("Fn::If"));
        let found: Vec<_> = of_key.map(|it| (&it[0], &it[1]["Sid"], &it[1]["Resource"])).collect();
        let condition = json!("HasKmsKey");
        let resource = json!({"Ref": "KmsKeyArn"});
        let sids: Vec<_> = sids.iter().map(|sid| json!(sid)).collect();
        let expected: Vec<_> = sids.iter().map(|sid| (&condition, sid, &resource)).collect();
        assert_eq!(found, expected, "{role}");
    }
}

/// Each alarm notifies of its end, too; a flood of unauthenticated calls raises one.
#[test]
fn alarms_say_when_they_begin_and_when_they_end() {
    let template = template();
    let notify =
        json!({"Fn::If": ["HasAlarmTopic", [{"Ref": "AlarmTopicArn"}], {"Ref": "AWS::NoValue"}]});
    let alarms = of_type(&template, "AWS::CloudWatch::Alarm");
    for (name, alarm) in &alarms {
        assert_eq!((&alarm["AlarmActions"], &alarm["OKActions"]), (&notify, &notify), "{name}");
    }
    let of_api = alarms.iter().filter(|(_, alarm)| alarm["Namespace"] == "AWS/ApiGateway");
    let metrics: Vec<_> = of_api.map(|(_, alarm)| alarm["MetricName"].as_str().unwrap()).collect();
    assert_eq!(metrics, ["5xx", "4xx", "Count"]);
}

/// Files with deployment parameters and greenlight's own data are ignored by git.
#[test]
fn git_ignores_answers_credentials_and_what_is_built() {
    for path in [
        "samconfig.toml",
        ".aws-sam/build/template.yaml",
        ".greenlight/secrets.json",
        ".greenlight/greenlight.db",
        "secrets.json",
        "target/lambda",
        // Older versions of SAM build there.
        "functions/receiver/target/lambda",
    ] {
        let mut ignored = Command::new("git");
        ignored.args(["check-ignore", "-q", path]).current_dir(workspace());
        assert!(ignored.status().unwrap().success(), "git does not ignore {path}");
    }
}

/// A domain of one's own leads to the same API, and nothing of it is there without one.
#[test]
fn a_domain_of_ones_own_is_mapped_to_the_api() {
    let template = template();
    let resources = &template["Resources"];
    let (domain, mapping) = (&resources["ApiDomain"], &resources["ApiDomainMapping"]);
    assert_eq!(
        (&domain["Condition"], &mapping["Condition"]),
        (&json!("HasDomain"), &json!("HasDomain"))
    );
    let mapping = &mapping["Properties"];
    assert_eq!(mapping["ApiId"], json!({"Ref": "Api"}));
    assert_eq!(mapping["Stage"], json!({"Ref": "ApiStage"}));
    assert_eq!(domain["Properties"]["DomainName"], json!({"Ref": "DomainName"}));
    assert_eq!(template["Parameters"]["DomainName"]["Default"], "");
    let url = template["Outputs"]["WebhookUrl"]["Value"].to_string();
    assert!(url.contains("https://${DomainName}") && url.contains("ApiEndpoint"), "{url}");
}
