//! The deployed template on a local AWS: both Lambda binaries, events over the HTTP API, IAM
//! enforced, Feishu and the NAC as stubs.

use aws_sdk_sqs::types::Message;
use greenlight_core::ports::Clock;
use greenlight_stores::SystemClock;
use greenlight_testkit::stub::{StubNac, at_feishu, forged, secret_document};
use greenlight_tests::local_aws::LocalAws;
use greenlight_tests::scene::{APPROVAL_CODE, NAC_TOKEN, Scene, device};
use greenlight_tests::stack::{Parameters, Stack, TIMEOUT, built_template, make_boundary};

/// One stack for all checks: a deployment takes longer than all of them.
#[tokio::test(flavor = "multi_thread")]
async fn the_deployed_template_does_its_job() {
    let stack = Stack::deploy().await;
    a_url_check_is_answered(&stack).await;
    an_approval_puts_its_devices_on_the_whitelist_once(&stack).await;
    what_is_not_authentic_is_refused(&stack).await;
    an_unprocessable_form_is_in_the_dead_letter_queue_with_its_reason(&stack).await;
    a_message_that_someone_put_into_the_queue_is_not_believed(&stack).await;
    a_nac_that_is_down_gets_its_devices_when_it_is_up(&stack).await;
    the_ledger_holds_what_was_done(&stack).await;
    a_withdrawal_removes_the_devices_of_its_approval(&stack).await;
    the_functions_may_do_nothing_else(&stack);
}

async fn a_url_check_is_answered(stack: &Stack) {
    let answer = stack.send(&stack.scene.app.url_check("are-you-there")).await;
    assert_eq!((answer.status, answer.body.as_str()), (200, r#"{"challenge":"are-you-there"}"#));
    let with_a_slash = stack.send_to("/api/event/", &stack.scene.app.url_check("slash")).await;
    assert_eq!(with_a_slash.status, 200);
    assert_eq!(stack.send_to("/api/other", &stack.scene.app.url_check("other")).await.status, 404);
}

async fn an_approval_puts_its_devices_on_the_whitelist_once(stack: &Stack) {
    let devices = [device(1), device(2), device(3)];
    stack.scene.approve("I-1", &["00-00-5E-00-53-01", "0000.5e00.5302，ＭＡＣ：00005E005303"]);
    let event = stack.scene.event("e-1", "I-1", "APPROVED");
    assert_eq!(stack.send(&event).await.status, 200);
    stack.wait_for_whitelist(&devices).await;

    // Guarantees 4 and 5: the same event again, and another event of the same instance.
    assert_eq!(stack.send(&event).await.status, 200);
    let other_id = stack.scene.event("e-2", "I-1", "APPROVED");
    assert_eq!(stack.send(&other_id).await.status, 200);
    stack.wait_for_event("e-2").await;
    assert_eq!(stack.scene.nac.calls(), 3, "one call per device");
    assert_eq!(stack.scene.nac.whitelist(), devices);
}

async fn what_is_not_authentic_is_refused(stack: &Stack) {
    let forged = forged(stack.scene.event("e-3", "I-1", "APPROVED"));
    assert_eq!(stack.send(&forged).await.status, 401);
    let pending = stack.scene.event("e-4", "I-1", "PENDING");
    assert_eq!(stack.send(&pending).await.status, 200);
}

fn attribute<'a>(letter: &'a Message, name: &str) -> &'a str {
    let attributes = letter.message_attributes().expect("a dead letter has attributes");
    attributes.get(name).and_then(|value| value.string_value()).unwrap_or_default()
}

async fn an_unprocessable_form_is_in_the_dead_letter_queue_with_its_reason(stack: &Stack) {
    stack.scene.approve("I-2", &["00:00:5e:00:53:O4", "00:00:5e:00:53:05"]);
    let event = stack.scene.event("e-5", "I-2", "APPROVED");
    assert_eq!(stack.send(&event).await.status, 200);
    let letter = stack.next_dead_letter().await;
    assert_eq!(attribute(&letter, "class"), "invalid_form");
    assert!(attribute(&letter, "reason").contains("letter O at position 16"), "{letter:?}");
    assert_eq!(attribute(&letter, "receive_count"), "1");
    assert!(letter.body().is_some_and(|body| body.contains("\"I-2\"")), "{letter:?}");
    // The good device of the same form is added.
    stack.wait_for_whitelist(&[device(1), device(2), device(3), device(5)]).await;
}

async fn a_message_that_someone_put_into_the_queue_is_not_believed(stack: &Stack) {
    stack.put_message("no JSON").await;
    assert_eq!(attribute(&stack.next_dead_letter().await, "class"), "invalid_message");
    stack.put_message(r#"{"v":1}"#).await;
    let letter = stack.next_dead_letter().await;
    assert!(attribute(&letter, "reason").contains("version 1"), "{letter:?}");
    let forged = |definition_id: &str, instance_id: &str| {
        serde_json::json!({
            "v": 2, "source": "feishu", "tenant": "demo-tenant", "event_id": "e-6",
            "definition_id": definition_id, "instance_id": instance_id,
            "trigger": {"decision": "approved"}, "occurred_at": 0, "received_at": 0,
        })
        .to_string()
    };
    // No flow wants it: it is counted, and no dead letter.
    stack.put_message(&forged("another", "I-1")).await;
    // Guarantee 12: Feishu does not know the instance, so nothing is done.
    let known = greenlight_tests::scene::APPROVAL_CODE;
    stack.put_message(&forged(known, "I-forged")).await;
    assert_eq!(attribute(&stack.next_dead_letter().await, "class"), "source_rejected");
}

async fn a_nac_that_is_down_gets_its_devices_when_it_is_up(stack: &Stack) {
    let calls = stack.scene.nac.calls();
    stack.scene.nac.set_down(true);
    stack.scene.approve("I-3", &[&device(6), &device(7)]);
    let event = stack.scene.event("e-7", "I-3", "APPROVED");
    assert_eq!(stack.send(&event).await.status, 200);
    let tried = stack.scene.nac.wait_for_calls(calls + 3);
    tokio::time::timeout(TIMEOUT, tried).await.expect("the worker starts an attempt");
    stack.scene.nac.set_down(false);
    stack
        .wait_for_whitelist(&[device(1), device(2), device(3), device(5), device(6), device(7)])
        .await;
}

async fn the_ledger_holds_what_was_done(stack: &Stack) {
    stack.wait_for_event("e-7").await;
    let item = stack.ledger_item(&format!("request#feishu#{APPROVAL_CODE}#I-1#approved")).await;
    let item = item.expect("the ledger has the request");
    assert_eq!(item["state"].as_s().expect("a text"), "done");
    assert_eq!(item["effects"].as_m().expect("a map").len(), 3);
}

async fn a_withdrawal_removes_the_devices_of_its_approval(stack: &Stack) {
    stack.scene.feishu.revert("I-3");
    let event = stack.scene.event("e-8", "I-3", "REVERTED");
    assert_eq!(stack.send(&event).await.status, 200);
    stack.wait_for_whitelist(&[device(1), device(2), device(3), device(5)]).await;
}

/// The template's roles are enforced: a function is allowed the calls that it needs and no other.
fn the_functions_may_do_nothing_else(stack: &Stack) {
    let (table, queue) = (stack.output("LedgerTable"), stack.output("QueueUrl"));
    let dead_letters = stack.output("DlqUrl");
    let may = |function: &str, service: &str, call: &str| stack.may(function, service, call);
    let read_secret = format!("get_secret_value(SecretId='{}')", stack.output("SecretArn"));
    let receive = format!("receive_message(QueueUrl='{queue}')");
    let read_dead = format!("receive_message(QueueUrl='{dead_letters}')");
    let scan = format!("scan(TableName='{table}')");
    let get = format!("get_item(TableName='{table}', Key={{'pk': {{'S': 'x'}}}})");
    let delete = format!("delete_item(TableName='{table}', Key={{'pk': {{'S': 'x'}}}})");
    assert!(may("ReceiverFunction", "secretsmanager", &read_secret));
    assert!(!may("ReceiverFunction", "sqs", &receive));
    assert!(!may("ReceiverFunction", "dynamodb", &get));
    assert!(may("WorkerFunction", "dynamodb", &get));
    assert!(!may("WorkerFunction", "dynamodb", &scan));
    assert!(!may("WorkerFunction", "dynamodb", &delete));
    assert!(!may("WorkerFunction", "sqs", &read_dead));
}

/// Two approvals for two NACs, each with its own credentials, a secret path, a VPC, a boundary and
/// tags, from parameters only, with the same bundle. The local AWS accepts network and boundary
/// but does not enforce them; `template` checks them.
#[tokio::test(flavor = "multi_thread")]
async fn two_approvals_and_two_nacs_need_parameters_alone() {
    let (scene, aws) = (Scene::set().await, LocalAws::start().await);
    let lab = StubNac::start("lab-token").await.unwrap();
    let flows = r#"
        [sources.feishu]
        kind = "feishu"
        [targets.office]
        connector = "generic"
        url = "${NAC_URL}"
        [targets.lab]
        connector = "generic"
        url = "${LAB_URL}"
        [[flows]]
        name = "office"
        definition_id = "${APPROVAL_CODE}"
        fields.mac = { kind = "mac", from = [{ field = "device_mac" }, { field = "devices", column = "mac" }] }
        actions = [{ target = "office", operation = "add", for_each = "mac" }]
        [[flows]]
        name = "lab"
        definition_id = "${LAB_APPROVAL}"
        fields.mac = { kind = "mac", from = [{ field = "device_mac" }, { field = "devices", column = "mac" }] }
        actions = [{ target = "lab", operation = "add", for_each = "mac" }]
    "#;
    let boundary = make_boundary(&aws);
    let parameters = Parameters::from([
        ("Flows", at_feishu(flows, &scene.feishu.url())),
        ("FlowVariables", format!("LAB_APPROVAL=LAB-1,LAB_URL={}", lab.url())),
        ("PathSegment", "a-secret-segment".to_owned()),
        ("WorkerSubnetIds", "subnet-0a1b2c3d".to_owned()),
        ("WorkerSecurityGroupIds", "sg-0a1b2c3d".to_owned()),
        ("PermissionsBoundaryArn", boundary),
        ("OperatorArns", "arn:aws:iam::000000000000:root".to_owned()),
    ]);
    let secret = secret_document(&scene.app, NAC_TOKEN);
    let stack = Stack::deploy_with(scene, aws, &built_template(), &parameters, &secret).await;
    // Before a worker has started, the command prompts for the secrets that the flows need.
    let lines = format!("targets.office.token={NAC_TOKEN}\ntargets.lab.token=lab-token\n");
    let set = stack.greenlight(&["secrets", "set"], &lines).await;
    assert_eq!(set.status, 0, "{}", set.stderr);

    let path = "/a-secret-segment/api/event";
    assert!(stack.output("WebhookUrl").ends_with(path), "{}", stack.output("WebhookUrl"));
    let check = stack.scene.app.url_check("x");
    assert_eq!(stack.send_to("/api/event", &check).await.status, 404, "the default path is closed");
    stack.scene.approve("I-1", &[&device(1)]);
    stack.scene.approve_as("I-2", "LAB-1", &[&device(2)]);
    let now = SystemClock.now().as_millis();
    let office = stack.scene.event("e-1", "I-1", "APPROVED");
    let of_lab = stack.scene.app.approval_instance("e-2", "LAB-1", "I-2", "APPROVED", now);
    for event in [office, of_lab] {
        assert_eq!(stack.send_to(path, &event).await.status, 200);
    }
    stack.wait_for_whitelist(&[device(1)]).await;
    let of_lab = [device(2)];
    let reached = lab.wait_for_whitelist(&of_lab);
    assert!(tokio::time::timeout(TIMEOUT, reached).await.is_ok(), "{:?}", lab.whitelist());
    let healthy = stack.greenlight(&["doctor"], "").await;
    assert_eq!(healthy.status, 0, "{}", healthy.stdout);
    for expected in ["target office", "target lab", "ok    deployed flows", "2 flow(s)"] {
        assert!(healthy.stdout.contains(expected), "{expected}: {}", healthy.stdout);
    }
    for function in ["ReceiverFunction", "WorkerFunction"] {
        let tags = stack.tags(function);
        assert_eq!(tags["CostCenter"], "42", "{tags}");
    }
    // The queue rejects senders that it does not name, whatever their own policy allows.
    let actions = [
        "sqs:SendMessage",
        "dynamodb:Query",
        "dynamodb:BatchGetItem",
        "dynamodb:GetItem",
        "dynamodb:PutItem",
        "dynamodb:UpdateItem",
        "cloudformation:DescribeStacks",
    ];
    let words = ["replay", "I-1", "--force", "--yes"];
    let stranger = stack.greenlight_as(&actions, &words).await;
    let said = "these credentials are not allowed sqs:SendMessage";
    assert!(stranger.status == 1 && stranger.stderr.contains(said), "{}", stranger.stderr);
    assert_eq!(stack.greenlight(&words, "").await.status, 0, "a named operator is allowed");
}
