//! The operator's command and page against the deployed template.

use std::time::Duration;

use greenlight_testkit::stub::secret_document;
use greenlight_tests::browser::Browser;
use greenlight_tests::scene::{APPROVAL_CODE, NAC_TOKEN, device};
use greenlight_tests::stack::{Ran, Stack, TIMEOUT};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader};

/// One stack for all checks: a deployment takes longer than all of them.
#[tokio::test(flavor = "multi_thread")]
async fn an_operator_sees_explains_and_puts_right_on_aws() {
    let stack = Stack::deploy().await;
    setting_up(&stack).await;
    a_dead_letter_says_why_and_goes_back(&stack).await;
    a_letter_that_sqs_moved_says_why(&stack).await;
    who_has_what_and_how_things_stand(&stack).await;
    a_redrive_that_is_killed_loses_nothing(&stack).await;
    what_is_not_found_has_an_exit_status_of_its_own(&stack).await;
    the_page_shows_the_same(&stack).await;
    letters_that_are_held_elsewhere_are_counted(&stack).await;
    a_right_that_is_missing_is_named_and_hides_nothing(&stack).await;
    the_deployed_flows_are_looked_at(&stack).await;
    requests_that_wait_are_listed(&stack).await;
    the_rights_that_the_page_names_are_enough(&stack).await;
}

async fn ok(stack: &Stack, arguments: &[&str]) -> String {
    let Ran { status, stdout, stderr } = stack.greenlight(arguments, "").await;
    assert_eq!(status, 0, "{arguments:?}: {stdout}{stderr}");
    stdout
}

/// Repeats the command until its output has `wanted`, and returns the output.
async fn until(stack: &Stack, arguments: &[&str], wanted: &str) -> String {
    let look = async {
        let mut pause = tokio::time::interval(Duration::from_millis(200));
        loop {
            let shown = stack.greenlight(arguments, "").await.stdout;
            if shown.contains(wanted) {
                return shown;
            }
            pause.tick().await;
        }
    };
    let shown = tokio::time::timeout(TIMEOUT, look).await;
    shown.unwrap_or_else(|_| panic!("timeout: {arguments:?} never prints {wanted:?}"))
}

async fn setting_up(stack: &Stack) {
    let scene = &stack.scene;
    let subscribed = ok(stack, &["subscribe", APPROVAL_CODE]).await;
    assert_eq!(subscribed, format!("subscribed to {APPROVAL_CODE}\n"));
    let again = ok(stack, &["subscribe", APPROVAL_CODE]).await;
    assert_eq!(again, format!("subscribed to {APPROVAL_CODE} before\n"));
    let healthy = ok(stack, &["doctor"]).await;
    for expected in
        ["queue and ledger", "flows", "secret", "source feishu", "has the widgets", "target nac"]
    {
        assert!(healthy.contains(expected), "{expected}: {healthy}");
    }
    // A wrong app secret is found, and corrected by piped answers.
    let set = async |app_secret: &str| {
        let app = &scene.app;
        let answers = format!(
            "sources.feishu.app_id={}\nsources.feishu.app_secret={app_secret}\n",
            app.app_id
        );
        let ran = stack.greenlight(&["secrets", "set"], &answers).await;
        assert_eq!(ran.status, 0, "{}", ran.stderr);
        let place = format!("set in Secrets Manager, {}", stack.output("SecretArn"));
        assert!(ran.stdout.starts_with(&place), "{}", ran.stdout);
        assert!(
            ran.stdout.contains(": sources.feishu.app_id, sources.feishu.app_secret\n"),
            "{}",
            ran.stdout
        );
    };
    set("wrong").await;
    let ill = stack.greenlight(&["doctor"], "").await;
    assert_eq!(ill.status, 1);
    assert!(ill.stdout.contains("FAIL  source feishu"), "{}", ill.stdout);
    assert!(ill.stdout.contains("an app of Lark belongs to https"), "{}", ill.stdout);
    assert!(!ill.stdout.contains("wrong"), "no secret is shown: {}", ill.stdout);
    set(&scene.app.app_secret).await;
    ok(stack, &["doctor"]).await;
    // A secret that is not JSON is replaced by a whole document, as the error advises.
    stack.put_secret(&"no object".into()).await;
    let refused = stack.greenlight(&["secrets", "set"], "sources.feishu.app_id=a\n").await;
    assert!(refused.status == 1 && refused.stderr.contains("secrets.json`"), "{}", refused.stderr);
    let document = secret_document(&scene.app, NAC_TOKEN).to_string();
    assert_eq!(stack.greenlight(&["secrets", "set"], &document).await.status, 0);
    let api = stack.output("ApiId");
    let url = format!("{}/_aws/execute-api/{api}/$default/api/event", stack.aws.url());
    let answer = ok(stack, &["send-test", &url]).await;
    assert!(answer.starts_with("the challenge was returned"), "{answer}");
    // The default URL is that of the stack, whose name cannot be resolved here.
    let unknown = stack.greenlight(&["send-test"], "").await;
    let host = format!("no connection to {api}.execute-api.localhost");
    assert!(unknown.status == 1 && unknown.stderr.contains(&host), "{}", unknown.stderr);
}

/// `doctor` checks that the deployed flows are the given ones, and reports a difference.
async fn the_deployed_flows_are_looked_at(stack: &Stack) {
    let healthy = until(stack, &["doctor"], "as checked, since").await;
    assert!(healthy.contains("ok    deployed flows"), "{healthy}");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("flows.toml");
    let own = stack.scene.flows().replace("device-whitelist", "another");
    std::fs::write(&file, &own).unwrap();
    let words = ["doctor", "--flows", file.to_str().unwrap()];
    let other = stack.greenlight(&words, "").await;
    assert_eq!(other.status, 1, "{}", other.stdout);
    assert!(other.stdout.contains("FAIL  deployed flows"), "{}", other.stdout);
    std::fs::write(&file, own.replace("for_each", "for_eech")).unwrap();
    let broken = stack.greenlight(&words, "").await;
    assert!(broken.status == 1 && broken.stdout.contains("FAIL  flows"), "{}", broken.stdout);
}

/// Dead letters that another receiver holds are counted, not ignored.
async fn letters_that_are_held_elsewhere_are_counted(stack: &Stack) {
    let sqs = aws_sdk_sqs::Client::new(&stack.aws.config());
    let queue = stack.output("DlqUrl");
    let message =
        |number: usize| greenlight_testkit::request::request(&format!("I-held-{number}")).to_json();
    for number in 0..4 {
        let send = sqs.send_message().queue_url(queue).message_body(message(number));
        send.send().await.unwrap();
    }
    let ids = |listed: &str| listed.lines().count();
    assert_eq!(ids(&ok(stack, &["dlq", "list", "--json"]).await), 4);
    // The console polls some of them.
    let receive = sqs.receive_message().queue_url(queue).visibility_timeout(600);
    let held = receive.max_number_of_messages(3).send().await.unwrap().messages.unwrap();
    let others = 4 - held.len();
    let listed = stack.greenlight(&["dlq", "list", "--json"], "").await;
    assert_eq!((listed.status, ids(&listed.stdout)), (4, others), "{}", listed.stderr);
    let said = format!("{} more dead letter(s) are held by another receiver", held.len());
    assert!(listed.stderr.contains(&said), "{}", listed.stderr);
    let first = held[0].message_id().unwrap();
    for words in [["dlq", "show", first].as_slice(), &["dlq", "redrive", first, "--yes"]] {
        let ran = stack.greenlight(words, "").await;
        let is_named = ran.stderr.contains(first) && ran.stderr.contains(&said);
        assert!(ran.status == 4 && is_named, "{words:?}: {}", ran.stderr);
    }
    let words = ["dlq", "redrive", "--class", "unknown", "--yes", "--json"];
    let part = stack.greenlight(&words, "").await;
    assert_eq!((part.status, ids(&part.stdout)), (4, others), "{}", part.stderr);
    for message in &held {
        let handle = message.receipt_handle().unwrap();
        sqs.delete_message().queue_url(queue).receipt_handle(handle).send().await.unwrap();
    }
    // The redriven requests fail again, as Feishu does not know their instances.
    for _ in 0..others {
        stack.next_dead_letter().await;
    }
}

/// Without the right to release dead letters the command receives none: they would stay hidden.
async fn a_right_that_is_missing_is_named_and_hides_nothing(stack: &Stack) {
    let queue = stack.output("DlqUrl");
    let body = greenlight_testkit::request::request("I-denied").to_json();
    let sqs = aws_sdk_sqs::Client::new(&stack.aws.config());
    sqs.send_message().queue_url(queue).message_body(body).send().await.unwrap();
    for (missing, allowed) in [
        ("sqs:ChangeMessageVisibility", ["sqs:ReceiveMessage", "sqs:GetQueueAttributes"]),
        ("sqs:ReceiveMessage", ["sqs:ChangeMessageVisibility", "sqs:GetQueueAttributes"]),
        ("sqs:GetQueueAttributes", ["sqs:ChangeMessageVisibility", "sqs:ReceiveMessage"]),
    ] {
        let mut actions = vec!["cloudformation:DescribeStacks", "dynamodb:GetItem"];
        actions.extend(allowed);
        let ran = stack.greenlight_as(&actions, &["dlq", "list"]).await;
        assert_eq!(ran.status, 1, "{missing}: {}{}", ran.stdout, ran.stderr);
        let said = format!("these credentials are not allowed {missing}");
        assert!(ran.stderr.contains(&said) && ran.stdout.is_empty(), "{missing}: {}", ran.stderr);
        assert_eq!(ok(stack, &["dlq", "list", "--json"]).await.lines().count(), 1, "{missing}");
    }
    stack.next_dead_letter().await;
}

const VISITOR: &str = "00:00:5e:00:53:77";

const TERMS: &[&str] = &["--target", "nac", "--for", "4h", "--reason", "a visitor"];

/// The rights that docs/aws.md lists for a command are sufficient, without any others.
async fn the_rights_that_the_page_names_are_enough(stack: &Stack) {
    stack.scene.approve("I-rights", &["00:00:5e:00:53:0O"]);
    assert_eq!(
        stack.send(&stack.scene.event("e-rights", "I-rights", "APPROVED")).await.status,
        200
    );
    until(stack, &["dlq", "list", "--json"], "I-rights").await;
    let page = include_str!("../../../docs/aws.md");
    let table = page.split("| command | actions |").nth(1).unwrap();
    let rows: Vec<(&str, &str)> =
        table.lines().skip(2).map_while(|line| line.trim_matches('|').split_once('|')).collect();
    let quoted = |text: &str| -> Vec<String> {
        text.split('`').skip(1).step_by(2).map(str::to_owned).collect()
    };
    let actions_of = |command: &str| -> Vec<String> {
        let mut actions = Vec::new();
        let mut commands = vec![command.to_owned()];
        while let Some(command) = commands.pop() {
            let row = rows.iter().find(|(commands, _)| quoted(commands).contains(&command));
            let (_, named) = row.unwrap_or_else(|| panic!("{command} has no row"));
            for name in quoted(named) {
                if name.contains(':') {
                    actions.push(name);
                } else if rows.iter().any(|(commands, _)| quoted(commands).contains(&name)) {
                    commands.push(name);
                }
            }
        }
        // Those that all commands need.
        actions.extend(["cloudformation:DescribeStacks", "dynamodb:GetItem"].map(str::to_owned));
        // AWS has no separate action for the batch call; the local AWS requires one.
        if actions.iter().any(|action| action == "sqs:ChangeMessageVisibility") {
            actions.push("sqs:ChangeMessageVisibilityBatch".to_owned());
        }
        actions
    };
    let api = stack.output("ApiId");
    let url = format!("{}/_aws/execute-api/{api}/$default/api/event", stack.aws.url());
    for words in [
        ["status"].as_slice(),
        &["status", "--waiting"],
        &["audit", "I-1"],
        &["grants"],
        &["dlq", "list"],
        &["doctor"],
        &["subscribe", APPROVAL_CODE],
        &["send-test", &url],
        &["dlq", "redrive", "--class", "invalid_form", "--yes"],
        &["replay", "I-1", "--force", "--yes"],
        &[&["grant", VISITOR, "--owner", "ou_guest"][..], TERMS].concat(),
        &[&["extend", VISITOR][..], TERMS].concat(),
        &["end", VISITOR, "--reason", "left early", "--yes"],
        &["erase", "ou_guest", "--reason", "asked for", "--yes"],
        &["block", VISITOR, "--reason", "stolen", "--yes"],
        &["unblock", VISITOR, "--reason", "found"],
        &["blocks"],
        &["acts"],
    ] {
        let command = if words[0] == "dlq" { words[..2].join(" ") } else { words[0].to_owned() };
        let actions = actions_of(&command);
        let actions: Vec<_> = actions.iter().map(String::as_str).collect();
        let ran = stack.greenlight_as(&actions, words).await;
        assert_eq!(ran.status, 0, "{words:?} with {actions:?}: {}{}", ran.stdout, ran.stderr);
    }
    let none = stack.greenlight_as(&["sqs:SendMessage"], &["status"]).await;
    let said = "these credentials are not allowed cloudformation:DescribeStacks";
    assert!(none.status == 1 && none.stderr.contains(said), "{}", none.stderr);
}

/// Requests that wait for a target count as waiting, not as in flight.
async fn requests_that_wait_are_listed(stack: &Stack) {
    stack.scene.nac.set_down(true);
    stack.scene.approve("I-wait", &[&device(50)]);
    let event = stack.scene.event("e-wait", "I-wait", "APPROVED");
    assert_eq!(stack.send(&event).await.status, 200);
    let listed = until(stack, &["status", "--waiting", "--json"], "I-wait").await;
    let one: Value = serde_json::from_str(listed.trim()).unwrap();
    assert_eq!((&one["target"], &one["class"]), (&"nac".into(), &"target_timeout".into()));
    assert!(one["next_attempt_at"].as_str() > one["failed_at"].as_str(), "{one}");
    let status: Value = serde_json::from_str(&ok(stack, &["status", "--json"]).await).unwrap();
    assert_eq!((&status["waiting"], &status["in_flight"]), (&1.into(), &0.into()), "{status}");
    stack.scene.nac.set_down(false);
    until(stack, &["audit", "I-wait", "--json"], "\"status\":\"succeeded\"").await;
    assert_eq!(ok(stack, &["status", "--waiting", "--json"]).await, "");
}

async fn a_dead_letter_says_why_and_goes_back(stack: &Stack) {
    stack.scene.approve("I-1", &[&device(1)]);
    stack.scene.approve("I-2", &[&device(2), "00:00:5e:00:53:O3"]);
    for (event, instance) in [("e-1", "I-1"), ("e-2", "I-2")] {
        let event = stack.scene.event(event, instance, "APPROVED");
        assert_eq!(stack.send(&event).await.status, 200);
    }
    let listed = until(stack, &["dlq", "list", "--json"], "\"invalid_form\"").await;
    let letter: Value = serde_json::from_str(listed.trim()).unwrap();
    let id = letter["id"].as_str().unwrap();
    let shown = ok(stack, &["dlq", "show", id]).await;
    for expected in
        ["invalid_form", "letter O at position 16", "tell the applicant", "first tried", "I-2"]
    {
        assert!(shown.contains(expected), "{expected}: {shown}");
    }
    let history = ok(stack, &["audit", "00-00-5e-00-53-02"]).await;
    for expected in ["event received", "add 00:00:5e:00:53:02 at nac: done", "invalid_form"] {
        assert!(history.contains(expected), "{expected}: {history}");
    }
    let dry = ok(stack, &["dlq", "redrive", "--class", "invalid_form", "--dry-run"]).await;
    assert_eq!(dry, format!("{id} would go back into the queue\n"));
    stack.scene.approve("I-2", &[&device(2), &device(3)]);
    let calls = stack.scene.nac.calls();
    let back = ok(stack, &["dlq", "redrive", "--class", "invalid_form", "--yes"]).await;
    assert_eq!(back, format!("{id} is back in the queue\n"));
    stack.wait_for_whitelist(&[device(1), device(2), device(3)]).await;
    until(stack, &["audit", "I-2", "--json"], "\"status\":\"succeeded\"").await;
    assert_eq!(stack.scene.nac.calls(), calls + 1, "only device 3");
    assert!(ok(stack, &["dlq", "list"]).await.contains("empty"));
}

/// SQS adds no reason to a message that it moves; the ledger has the last one.
async fn a_letter_that_sqs_moved_says_why(stack: &Stack) {
    stack.scene.approve("I-3", &["00:00:5e:00:53:0O"]);
    assert_eq!(stack.send(&stack.scene.event("e-3", "I-3", "APPROVED")).await.status, 200);
    let listed = until(stack, &["dlq", "list", "--json"], "I-3").await;
    let letter: Value = serde_json::from_str(listed.trim()).unwrap();
    let id = letter["id"].as_str().unwrap();
    ok(stack, &["dlq", "discard", id, "--reason", "a test", "--yes"]).await;
    aws_sdk_sqs::Client::new(&stack.aws.config())
        .send_message()
        .queue_url(stack.output("DlqUrl"))
        .message_body(letter["message"].as_str().unwrap())
        .send()
        .await
        .unwrap();
    let listed = until(stack, &["dlq", "list", "--json"], "I-3").await;
    let bare: Value = serde_json::from_str(listed.trim()).unwrap();
    for field in ["class", "reason", "next_step", "tries"] {
        assert_eq!(bare[field], letter[field], "{field}: {bare}");
    }
}

/// A redrive is killed after the first of three dead letters; a second one does the rest.
async fn a_redrive_that_is_killed_loses_nothing(stack: &Stack) {
    let instances = ["I-41", "I-42", "I-43"];
    for instance in instances {
        stack.scene.approve(instance, &["00:00:5e:00:53:0I"]);
        let event = stack.scene.event(&format!("e-{instance}"), instance, "APPROVED");
        assert_eq!(stack.send(&event).await.status, 200);
    }
    let listed = async || stack.greenlight(&["dlq", "list", "--json"], "").await.stdout;
    let ids = async || -> Vec<String> {
        let listed = listed().await;
        let letters = listed.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        let ours = letters
            .filter(|it| instances.iter().any(|i| it["message"].as_str().unwrap().contains(i)));
        ours.map(|letter| letter["id"].as_str().unwrap().to_owned()).collect()
    };
    let three = async {
        let mut pause = tokio::time::interval(Duration::from_millis(200));
        loop {
            let ids = ids().await;
            if ids.len() == 3 {
                return ids;
            }
            pause.tick().await;
        }
    };
    let three = tokio::time::timeout(TIMEOUT, three).await.expect("three dead letters arrive");
    let devices = [41, 42, 43].map(device);
    for (instance, device) in instances.iter().zip(&devices) {
        stack.scene.approve(instance, &[device]);
    }
    let mut words = vec!["dlq", "redrive", "--yes", "--rate", "1"];
    words.extend(three.iter().map(String::as_str));
    let mut command = stack.greenlight_command(&words);
    let mut redrive = command.stdout(std::process::Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(redrive.stdout.take().unwrap()).lines();
    lines.next_line().await.unwrap().expect("the first goes back");
    redrive.kill().await.unwrap();
    // The dead letters that it held become visible again after the visibility timeout.
    let gone_and_back = async {
        let mut pause = tokio::time::interval(Duration::from_secs(1));
        while ids().await.len() < 2 {
            pause.tick().await;
        }
    };
    tokio::time::timeout(TIMEOUT, gone_and_back).await.expect("the others become visible again");
    let rest = ids().await;
    assert_eq!(rest.len(), 2, "one of three is back in the queue");
    let mut words = vec!["dlq", "redrive", "--yes", "--json"];
    words.extend(rest.iter().map(String::as_str));
    let back = ok(stack, &words).await;
    assert_eq!(back.matches("\"is_back\":true").count(), 2, "{back}");
    let whitelist: Vec<_> = [1, 2, 3, 41, 42, 43].map(device).into();
    stack.wait_for_whitelist(&whitelist).await;
}

async fn who_has_what_and_how_things_stand(stack: &Stack) {
    let granted = ok(stack, &["grants"]).await;
    for number in 1..=3 {
        assert!(granted.contains(&device(number)), "{granted}");
    }
    let of_one = ok(stack, &["grants", &device(3), "--json"]).await;
    assert!(of_one.contains("I-2") && of_one.lines().count() == 1, "{of_one}");
    let status = until(stack, &["status", "--json"], "\"dead_letters\":1").await;
    let status: Value = serde_json::from_str(&status).unwrap();
    assert_eq!(status["last_hour"]["succeeded"], 2, "{status}");
    assert_eq!(status["last_hour"]["failed"], 1, "{status}");
    assert_eq!(status["waiting"], 0, "{status}");
}

async fn what_is_not_found_has_an_exit_status_of_its_own(stack: &Stack) {
    for (arguments, status, why) in [
        (["audit", "I-9"].as_slice(), 3, "knows no event, instance, subject or person"),
        (&["dlq", "show", "absent"], 3, "there is no dead letter absent"),
        (&["dlq", "redrive", "--class", "internal_error", "--yes"], 3, "there is: invalid_form"),
        (&["dlq", "discard", "x", "--reason", "y"], 1, "use --yes"),
        (&["replay", "I-1"], 1, "I-1 has succeeded already"),
        (
            &["status", "--stack", "another"],
            1,
            "the stack `another` cannot be described in us-east-1, profile default",
        ),
        (&["audit"], 2, "required arguments"),
    ] {
        let ran = stack.greenlight(arguments, "").await;
        assert_eq!(ran.status, status, "{arguments:?}: {}", ran.stderr);
        assert!(ran.stderr.contains(why), "{arguments:?}: {}", ran.stderr);
        assert!(ran.stdout.is_empty(), "{arguments:?}: {}", ran.stdout);
    }
}

async fn the_page_shows_the_same(stack: &Stack) {
    let mut ui = stack
        .greenlight_command(&["ui", "--port", "0"])
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(ui.stdout.take().unwrap()).lines();
    let address = lines.next_line().await.unwrap().expect("it prints its address");
    let page = address.split("/?").next().unwrap();
    let browser = Browser::start("en").await;
    browser.open(&address).await;
    let text = browser.open_until(page, "letter O at position 17").await;
    assert!(text.contains("I-3") && text.contains(&device(2)), "{text}");
    stack.scene.approve("I-3", &[&device(4)]);
    browser.click("button[name=id]").await;
    browser.wait_for("back in the queue").await;
    stack.wait_for_whitelist(&[1, 2, 3, 4, 41, 42, 43].map(device)).await;
    let text = browser.open_until(&format!("{page}/?q=I-3"), "succeeded").await;
    assert!(text.contains("The dead-letter queue is empty."), "{text}");
    browser.keep_picture("page-aws").await;
    browser.close().await;
    ui.kill().await.unwrap();
}
