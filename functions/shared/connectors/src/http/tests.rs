use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use greenlight_core::Timestamp;
use greenlight_core::explain::Explanation;
use greenlight_core::secret::Secret;
use serde_json::json;

use bytes::Bytes;
use greenlight_core::flow::Flows;
use greenlight_core::ports::{Act, Conditions, HttpError};
use greenlight_testkit::clock::TestClock;
use greenlight_testkit::subject::{call, device_number};
use minijinja::Value as Context;
use std::time::Duration;

use super::*;
use crate::{AnyConnector, Connectors, Setup, Targets};

/// Returns prepared answers in order, and records the requests.
#[derive(Clone, Default)]
struct Wire(Arc<Mutex<WireState>>);

#[derive(Default)]
struct WireState {
    answers: VecDeque<Result<http::Response<Bytes>, HttpError>>,
    asked: Vec<http::Request<Bytes>>,
}

impl Http for Wire {
    async fn send(
        &self,
        request: http::Request<Bytes>,
    ) -> Result<http::Response<Bytes>, HttpError> {
        let mut state = self.0.lock().unwrap();
        state.asked.push(request);
        state.answers.pop_front().expect("an answer is left")
    }
}

#[derive(Clone)]
struct TestSecret {
    current: Arc<Secret>,
    renewed: Option<Arc<Secret>>,
}

impl ReadSecret for TestSecret {
    fn current(&self) -> Arc<Secret> {
        Arc::clone(&self.current)
    }

    async fn renewed(&self, _: &Arc<Secret>) -> Option<Arc<Secret>> {
        self.renewed.clone()
    }
}

fn secret(token: &str) -> Arc<Secret> {
    let json = json!({
        "feishu": {"app_id": "a", "app_secret": "b", "encrypt_key": "c", "verification_token": "d"},
        "targets": {"nac": {"token": token}},
    });
    Arc::new(Secret::parse(&json.to_string()).unwrap())
}

fn flows(operation: &str, url: &str) -> Flows {
    let text = format!(
        r#"
        sources.feishu.kind = "feishu"
        [targets.nac]
        connector = "generic"
        url = "{url}"
        [[flows]]
        name = "devices"
        definition_id = "A"
        fields.mac = {{ kind = "mac", from = [{{ field = "mac" }}] }}
        actions = [{{ target = "nac", operation = "{operation}", for_each = "mac" }}]
        "#
    );
    Flows::parse(&text, &|_| None).unwrap()
}

#[allow(clippy::unnecessary_wraps, reason = "the type of an HTTP client's result")]
fn answer(status: u16) -> Result<http::Response<Bytes>, HttpError> {
    Ok(http::Response::builder().status(status).body(Bytes::new()).unwrap())
}

#[allow(clippy::unnecessary_wraps, reason = "the type of an HTTP client's result")]
fn busy(retry_after: &str) -> Result<http::Response<Bytes>, HttpError> {
    let response = http::Response::builder().status(429).header("retry-after", retry_after);
    Ok(response.body(Bytes::new()).unwrap())
}

fn refused_connection() -> Result<http::Response<Bytes>, HttpError> {
    Err(HttpError::Connect { host: "nac".into(), cause: Explanation::quoted("refused") })
}

struct Run {
    result: Result<EffectOutcome, Failure>,
    asked: Vec<http::Request<Bytes>>,
    slept: Duration,
}

fn actions(
    flows: &Flows,
    secret: TestSecret,
    clock: &TestClock,
    wire: &Wire,
) -> Result<Targets<Wire, TestSecret, TestClock>, String> {
    let setup = Setup::new(flows, &Connectors::built_in()).map_err(|error| error.to_string())?;
    let client = |_: &str, _: &flow::Target| Ok::<_, ConnectorError>(wire.clone());
    Targets::new(setup, secret, clock.clone(), client).map_err(|error| error.to_string())
}

/// The head of an operation; the keys of its only step follow.
const ADD: &str = "[operations.add]\neffect = \"grant\"\n[[operations.add.steps]]\n";

/// Adds one device with the given answers.
async fn add(answers: impl IntoIterator<Item = Result<http::Response<Bytes>, HttpError>>) -> Run {
    add_with(answers, None, Duration::from_mins(1)).await
}

async fn add_with(
    answers: impl IntoIterator<Item = Result<http::Response<Bytes>, HttpError>>,
    renewed: Option<Arc<Secret>>,
    time_left: Duration,
) -> Run {
    let wire = Wire::default();
    wire.0.lock().unwrap().answers.extend(answers);
    let clock = TestClock::advanced_by_sleeps(Timestamp::default());
    let secret = TestSecret { current: secret("n4c"), renewed };
    let flows = flows("add", "https://nac.example.com:9999/base/");
    let connector = actions(&flows, secret, &clock, &wire);
    let variables = json!({"instance_id": "I-1", "applicant": "ou_1"});
    let device = device_number(1);
    let deadline = Timestamp::default().plus(time_left);
    let call = call("nac", "add", Some(&device), variables.as_object().unwrap(), deadline);
    let result = connector.unwrap().act(&call).await.map(|acted| acted.outcome);
    let asked = std::mem::take(&mut wire.0.lock().unwrap().asked);
    Run { result, asked, slept: clock.now().since(Timestamp::default()) }
}

#[tokio::test]
async fn the_request_is_what_the_connector_file_says() {
    let run = add([answer(201)]).await;
    assert_eq!(run.result, Ok(EffectOutcome::Done));
    let request = &run.asked[0];
    assert_eq!(request.method(), http::Method::POST);
    assert_eq!(request.uri(), "https://nac.example.com:9999/base/api/macs");
    assert_eq!(request.headers()["authorization"], "Bearer n4c");
    assert_eq!(request.headers()["content-type"], "application/json");
    let body: Value = serde_json::from_slice(request.body()).unwrap();
    assert_eq!(body, json!({"mac": "00:00:5e:00:53:01", "approval": "I-1"}));
}

#[allow(clippy::unnecessary_wraps, reason = "the type of an HTTP client's result")]
fn body(status: u16, text: &str) -> Result<http::Response<Bytes>, HttpError> {
    Ok(http::Response::builder().status(status).body(Bytes::from(text.to_owned())).unwrap())
}

#[tokio::test]
async fn g18_a_web_page_is_refused_with_a_question_after_the_address() {
    let page = "<!doctype html><title>Login</title>";
    // 409 means `already_exists`, by its status alone.
    for status in [200, 201, 302, 400, 403, 404, 409] {
        let Err(Failure::GiveUp { reason }) = add([body(status, page)]).await.result else {
            panic!("HTTP {status} is not given up")
        };
        assert_eq!(reason.class, Class::TargetRejected);
        assert!(reason.cause.text.contains("is this the API's address and port?"), "{reason}");
    }
    for status in [429, 500, 502, 503, 504] {
        let run = add([body(status, page), body(status, page), body(status, page)]).await;
        assert!(matches!(run.result, Err(Failure::Retry { .. })), "HTTP {status}");
    }
}

#[tokio::test]
async fn g18_a_body_of_another_type_is_no_success() {
    let pages = [
        "<?xml version=\"1.0\"?>\n<!DOCTYPE html><html/>",
        "<!-- a portal --><HTML></HTML>",
        "<script>location = '/login'</script>",
        "<meta http-equiv=\"refresh\" content=\"0\"/>",
    ];
    for text in pages {
        let result = act_with("", [body(200, text)]).await;
        assert!(matches!(result, Err(Failure::GiveUp { .. })), "{text}: {result:?}");
    }
    for text in ["OK", "<ok/>", "{\"id\":", "true false"] {
        let result = add([body(201, text)]).await.result;
        assert!(matches!(result, Err(Failure::GiveUp { .. })), "{text}: {result:?}");
    }
    for text in ["", " \n", "{}", "[]", "null", "true", "7", "\"created\""] {
        assert_eq!(add([body(201, text)]).await.result, Ok(EffectOutcome::Done), "{text:?}");
    }
}

/// Returns the result of `answers` with a connector whose only step has these keys.
async fn act_with(
    keys: &str,
    answers: impl IntoIterator<Item = Result<http::Response<Bytes>, HttpError>>,
) -> Result<EffectOutcome, Failure> {
    let text = format!("{ADD}method = \"POST\"\n{keys}");
    let connector = Connector::parse("mine", &text).unwrap();
    let wire = Wire::default();
    wire.0.lock().unwrap().answers.extend(answers);
    let secret = TestSecret { current: secret("n4c"), renewed: None };
    let mut http = HttpConnector::new(secret, TestClock::advanced_by_sleeps(Timestamp::default()));
    let target = flows("add", "https://nac").targets.remove("nac").unwrap();
    http.add("nac", &target, connector, || Ok::<_, ConnectorError>(wire.clone())).unwrap();
    let variables = json!({});
    let device = device_number(1);
    let deadline = Timestamp::default().plus(Duration::from_mins(1));
    let call = call("nac", "add", Some(&device), variables.as_object().unwrap(), deadline);
    http.act(&call).await.map(|acted| acted.outcome)
}

#[tokio::test]
async fn g18_an_empty_body_is_no_success_where_it_is_read() {
    let reads = [
        "capture = { id = \"{{ answer.id }}\" }",
        "outcomes = [{ when = \"answer.code != 0\", result = \"fail\" }]",
        "outcomes = [{ status = [200], when = \"answer.code == 0\", result = \"done\" }]",
    ];
    for keys in reads {
        let result = act_with(keys, [body(200, "")]).await;
        assert!(matches!(result, Err(Failure::GiveUp { .. })), "{keys}: {result:?}");
    }
    let reads_nothing = [
        "capture = { was = \"{{ status }}\" }",
        "outcomes = [{ status = [404], when = \"answer.code == 1\", result = \"already_exists\" }]",
        "outcomes = [{ status = [200], result = \"done\" }, { when = \"answer.code\", result = \"fail\" }]",
    ];
    for keys in reads_nothing {
        assert_eq!(act_with(keys, [body(200, "")]).await, Ok(EffectOutcome::Done), "{keys}");
    }
}

#[tokio::test]
async fn g18_a_step_says_what_type_of_answer_it_asks_for() {
    let accept = "headers = { Accept = \"application/xml\" }";
    for (keys, text, is_done) in [
        ("", "{}", true),
        ("", "<ok/>", true),
        ("", "OK", false),
        (accept, "<ok/>", true),
        (accept, "{}", false),
        ("json = {}", "<ok/>", false),
        ("xml = { a = \"b\" }", "{}", false),
        ("answer = \"text\"", "OK", true),
        ("answer = \"text\"", "<html>", false),
        ("answer = \"json\"", "OK", false),
    ] {
        let result = act_with(keys, [body(200, text)]).await;
        assert_eq!(result.is_ok(), is_done, "{keys}, {text}: {result:?}");
    }
}

#[tokio::test]
async fn g17_a_gateway_that_waits_in_vain_is_about_the_device() {
    for status in [408, 502, 503, 504] {
        let run = add([answer(status), answer(status), answer(status)]).await;
        let Err(Failure::Retry { reason, .. }) = run.result else { panic!("HTTP {status}") };
        assert_eq!(reason.class, Class::TargetTimeout, "HTTP {status}");
        assert!(!reason.class.is_about_whole_target());
    }
    let run = add([busy("60")]).await;
    assert!(
        matches!(run.result, Err(Failure::Retry { reason, .. }) if reason.class.is_about_whole_target())
    );
}

#[tokio::test]
async fn an_endless_retry_after_is_a_long_one() {
    let run = add([busy("18446744073709551615")]).await;
    assert!(
        matches!(run.result, Err(Failure::Retry { after: Some(after), .. }) if after.as_secs() == 43_200)
    );
}

#[test]
fn a_connector_may_not_ask_for_more_operations_than_are_recorded_together() {
    let text = format!("[limits]\nconcurrency = 65\n{ADD}method = \"POST\"");
    assert!(matches!(
        Connector::parse("mine", &text),
        Err(ConnectorError::Concurrency { asked: 65, .. })
    ));
}

#[tokio::test]
async fn already_exists_is_as_good_as_done() {
    assert_eq!(add([answer(409)]).await.result, Ok(EffectOutcome::AlreadyExists));
}

#[tokio::test]
async fn what_passes_in_a_moment_is_tried_again_at_once() {
    let run = add([refused_connection(), answer(503), answer(201)]).await;
    assert_eq!(run.result, Ok(EffectOutcome::Done));
    assert_eq!(run.asked.len(), 3);
    let run = add([busy("1"), answer(201)]).await;
    assert_eq!((run.result, run.slept), (Ok(EffectOutcome::Done), Duration::from_secs(1)));
}

#[tokio::test]
async fn what_does_not_pass_is_left_to_the_queue() {
    let run = add([answer(500), answer(500), answer(500)]).await;
    assert!(
        matches!(run.result, Err(Failure::Retry { reason, .. }) if reason.class == Class::TargetFailed)
    );
    let run = add([busy("60")]).await;
    assert!(
        matches!(run.result, Err(Failure::Retry { after: Some(after), .. }) if after.as_secs() == 60)
    );
    assert_eq!(run.slept, Duration::ZERO);
    let timeout = Err(HttpError::Timeout { host: "nac".into() });
    assert!(matches!(add([timeout]).await.result, Err(Failure::Retry { .. })));
    let run = add_with([answer(503)], None, Duration::ZERO).await;
    assert!(matches!(run.result, Err(Failure::Retry { .. })));
}

#[tokio::test]
async fn a_refusal_is_given_up_and_its_reason_names_no_device() {
    for status in [400, 403, 404, 422, 301] {
        let run = add([answer(status)]).await;
        let Err(Failure::GiveUp { reason }) = run.result else {
            panic!("{status} is given up");
        };
        assert_eq!(reason.class, Class::TargetRejected);
        assert!(reason.cause.text.contains(&format!("HTTP {status}")), "{reason}");
        assert!(!reason.cause.text.contains("00:00:5e:00:53:01"), "{reason}");
    }
}

#[tokio::test]
async fn a_refused_credential_is_read_again_once() {
    let run =
        add_with([answer(401), answer(201)], Some(secret("new")), Duration::from_mins(1)).await;
    assert_eq!(run.result, Ok(EffectOutcome::Done));
    assert_eq!(run.asked[1].headers()["authorization"], "Bearer new");
    // Retried until the operator corrects the credential.
    let run = add([answer(401)]).await;
    assert!(
        matches!(run.result, Err(Failure::Retry { reason, .. }) if reason.class == Class::TargetAuthFailed)
    );
}

#[test]
fn what_does_not_go_together_is_said_at_the_start() {
    let problem = |flows: Flows, token: &str| {
        let secret = TestSecret { current: secret(token), renewed: None };
        actions(
            &flows,
            secret,
            &TestClock::advanced_by_sleeps(Timestamp::default()),
            &Wire::default(),
        )
        .err()
        .unwrap()
    };
    let said = problem(flows("ad", "https://nac"), "t");
    assert!(said.contains("has no operation `ad`; available: add"), "{said}");
    for url in ["nac", "ftp://nac", "https://user:pass@nac", "https://nac?x=1"] {
        let said = problem(flows("add", url), "t");
        assert!(said.contains("target `nac`: `url` must"), "{said}");
    }
    let said = problem(flows("add", "https://nac"), "");
    assert!(said.contains("`targets.nac.token`"), "{said}");
    let mut unknown = flows("add", "https://nac");
    unknown.targets.get_mut("nac").unwrap().connector = "genreic".into();
    assert!(problem(unknown, "t").contains("available: asset-register, "));
}

#[test]
fn conditions_are_over_what_the_flow_gives() {
    let with = |when: &str| {
        let mut flows = flows("add", "https://nac");
        flows.flows[0].actions[0].when = Some(when.to_owned());
        let secret = TestSecret { current: secret("t"), renewed: None };
        actions(
            &flows,
            secret,
            &TestClock::advanced_by_sleeps(Timestamp::default()),
            &Wire::default(),
        )
    };
    let connector = with("applicant == 'ou_1'").unwrap();
    let variables = json!({"applicant": "ou_1"});
    let holds = |condition| connector.holds(condition, variables.as_object().unwrap()).unwrap();
    assert!(
        holds("applicant == 'ou_1'") && !holds("applicant == 'ou_2'") && !holds("absent.member")
    );
    // MiniJinja sorts undefined below every number: a missing field must not satisfy the condition.
    for left_out in [json!({}), json!({"form_number": null})] {
        let condition = "form_number <= 30";
        assert!(!connector.holds(condition, left_out.as_object().unwrap()).unwrap());
    }
    let problem = |when| with(when).err().unwrap();
    assert!(problem("os == 'macOS'").contains("`os`: there is no such field"));
    assert!(problem("mac == 1").contains("use `subject`"));
    assert!(with("subject.startswith('00:00:5e')").is_ok());
    assert!(problem("os ==").contains("flow `devices`: the condition"));
}

/// A target with its own connector, its HTTP client and its secret.
fn one(
    text: &str,
    renewed: Option<Arc<Secret>>,
) -> (HttpConnector<Wire, TestSecret, TestClock>, Wire, TestClock) {
    let (wire, clock) = (Wire::default(), TestClock::advanced_by_sleeps(Timestamp::default()));
    let secret = TestSecret { current: secret("old"), renewed };
    let target = flow::Target {
        connector: String::new(),
        url: "https://nac".into(),
        params: BTreeMap::new(),
        tls: flow::Tls::default(),
        plaintext: false,
        renamed_from: None,
    };
    let connector = Connector::parse("mine", text).unwrap();
    let mut http = HttpConnector::new(secret, clock.clone());
    http.add("nac", &target, connector, || Ok::<_, ConnectorError>(wire.clone())).unwrap();
    (http, wire, clock)
}

async fn add_at(connector: &HttpConnector<Wire, TestSecret, TestClock>) -> String {
    let variables = Map::new();
    let device = device_number(1);
    let deadline = Timestamp::default().plus(Duration::from_hours(1));
    let call = call("nac", "add", Some(&device), &variables, deadline);
    match connector.act(&call).await {
        Ok(acted) => acted.outcome.as_str().to_owned(),
        Err(failure) => failure.reason().class.as_str().to_owned(),
    }
}

/// A refusal after a step that changed something is not "nothing happened": what was granted must
/// be removed. Nor is one after a try whose answer was lost.
#[tokio::test]
async fn a_refusal_tells_whether_something_was_done_before() {
    let text = r#"
        [operations.add]
        effect = "grant"
        steps = [{ method = "PUT" }, { method = "POST" }]
    "#;
    for (answers, expected) in [
        (vec![answer(403)], false),
        (vec![answer(204), answer(403)], true),
        (vec![answer(503), answer(403)], true),
    ] {
        let (connector, wire, _) = one(text, None);
        wire.0.lock().unwrap().answers.extend(answers);
        let (variables, device) = (Map::new(), device_number(1));
        let deadline = Timestamp::default().plus(Duration::from_hours(1));
        let call = call("nac", "add", Some(&device), &variables, deadline);
        let failure = connector.act(&call).await.unwrap_err();
        let reason = failure.reason();
        assert_eq!(reason.class, Class::TargetRejected);
        assert_eq!(reason.may_have_changed, expected);
    }
}

#[allow(clippy::unnecessary_wraps, reason = "the type of an HTTP client's result")]
fn challenge(nonce: &str) -> Result<http::Response<Bytes>, HttpError> {
    let header = format!("Digest realm=\"r\", qop=\"auth\", nonce=\"{nonce}\"");
    let response = http::Response::builder().status(401).header("www-authenticate", header);
    Ok(response.body(Bytes::new()).unwrap())
}

/// A server that sends a new nonce with each 401 must not keep the old password in use.
#[tokio::test]
async fn a_rotated_password_is_read_again_for_digest_too() {
    let digest = "[auth]\ndigest = { username = \"token\", password = \"token\" }\n";
    let text = format!("{digest}{ADD}method = \"PUT\"");
    let (connector, wire, _) = one(&text, Some(secret("new")));
    wire.0.lock().unwrap().answers.extend([challenge("1"), challenge("2"), answer(200)]);
    assert_eq!(add_at(&connector).await, "done");
    let asked = wire.0.lock().unwrap();
    let last = asked.asked[2].headers()["authorization"].to_str().unwrap();
    assert!(last.contains("username=\"new\"") && last.contains("nonce=\"2\""), "{last}");
}

/// NACs lock accounts: a rejected login is not repeated at once, for any call.
#[tokio::test]
async fn a_login_that_was_refused_rests() {
    let text = r#"
        [auth]
        headers = { A = "{{ token }}" }
        login = { method = "POST", json = { p = "{{ secret.token }}" }, capture = { token = "{{ answer.t }}" } }
        [operations.add]
        effect = "grant"
        steps = [{ method = "PUT" }]
    "#;
    let (connector, wire, clock) = one(text, None);
    wire.0.lock().unwrap().answers.extend([answer(401)]);
    assert_eq!(add_at(&connector).await, "target_auth_failed");
    assert_eq!(add_at(&connector).await, "target_auth_failed");
    assert_eq!(wire.0.lock().unwrap().asked.len(), 1, "one login for both");
    clock.sleep(Duration::from_secs(20)).await;
    let token = http::Response::new(Bytes::from_static(b"{\"t\": \"x\"}"));
    wire.0.lock().unwrap().answers.extend([Ok(token), answer(200)]);
    assert_eq!(add_at(&connector).await, "done");
}

#[test]
fn a_bad_connector_file_is_named_with_its_place() {
    let problem = |text: &str| Connector::parse("mine", text).unwrap_err().to_string();
    let said = problem(&format!("{ADD}method = \"POST\"\npaht = []"));
    assert!(said.contains("`mine`") && said.contains("line 5"), "{said}");
    let said = problem(&format!("{ADD}method = \"POST\"\njson = {{ mac = \"{{{{ mac \" }}"));
    assert!(said.contains("operation `add`") && said.contains("does not compile"), "{said}");
    for (text, expected) in [
        ("[operations.add]\neffect = \"grant\"\nsteps = []", "operation `add` has no step"),
        ("[operations.add]\nsteps = []", "missing field `effect`"),
        ("[operations.add]\neffect = \"give\"\nsteps = []", "unknown variant `give`"),
        ("[operations.\"a/b\"]\neffect = \"read\"\nsteps = []", "1 to 64 letters, digits"),
        ("formats.mac.separator = \"x\"\n[operations]", "`separator` takes one of: colon"),
        ("formats.mac.colour = \"x\"\n[operations]", "no option `colour`"),
        ("formats.ip.prefix = \"x\"\n[operations]", "`prefix` takes one of: networks"),
        ("formats.text.case = \"x\"\n[operations]", "no option `case`"),
        ("formats.badge = {}\n[operations]", "no such kind of subject"),
        ("mac = { case = \"upper\" }\n[operations]", "`mac` was renamed to `formats.mac`"),
        (
            "[operations.add]\neffect = \"grant\"\nsteps = [{ method = \"PUT\", json = {}, xml = {} }]",
            "one of `json`, `form` and `xml`",
        ),
        (
            "[operations.add]\neffect = \"grant\"\nsteps = [{ method = \"GET\", path = [\"{{ params.site }}\"] }]",
            "`params.site` is not declared",
        ),
        ("[auth]\nheaders = { A = \"{{ token }}\" }\n[operations]", "`auth` uses `token`"),
        (
            "[operations.add]\neffect = \"grant\"\n[[operations.add.steps]]\nmethod = \"GET\"\n[[operations.add.steps]]\nmethd = \"GET\"",
            "line 6",
        ),
    ] {
        let said = problem(text);
        assert!(said.contains(expected), "{said}");
    }
}

fn context(variables: Value) -> Context {
    Context::from(minijinja::value::Serde(variables))
}

/// Guarantee 14: a form value arrives unchanged in its place and changes nothing else.
#[test]
fn g14_values_cannot_leave_their_place() {
    let connector = Connector::parse(
        "hostile",
        r#"
        [operations.add]
        effect = "write"
        [[operations.add.steps]]
        method = "POST"
        path = ["v1", "{{ who }}", "end"]
        query = { a = "{{ who }}", z = "last" }
        json = { one = "{{ who }}", two = ["x {{ who }} y"], n = 7 }
        "#,
    )
    .unwrap();
    let hostile_values = [
        "a/../b",
        "%2f..%2f",
        "x\r\nHost: evil",
        "\"}, {\"",
        "{{ 7 * 7 }}",
        "a?b=c#d&z=e",
        "\u{202e}\0",
        "' OR 1=1; --",
        "]]>",
    ];
    for hostile in hostile_values {
        let context = context(json!({ "who": hostile }));
        let draft = connector.operations["add"].steps[0].render("http://nac/base", &context);
        let request = draft.unwrap().into_request().unwrap();
        let decode = |text: &str| {
            percent_encoding::percent_decode_str(text).decode_utf8().unwrap().into_owned()
        };
        let segments: Vec<_> = request.uri().path().split('/').map(decode).collect();
        assert_eq!(segments, ["", "base", "v1", hostile, "end"]);
        let query: Vec<_> = request.uri().query().unwrap().split('&').map(decode).collect();
        assert_eq!(query, [format!("a={hostile}"), "z=last".to_owned()]);
        let body: Value = serde_json::from_slice(request.body()).unwrap();
        assert_eq!(body, json!({"one": hostile, "two": [format!("x {hostile} y")], "n": 7}));
    }
    println!(
        "{} hostile values in 5 places each, all whole and in their place",
        hostile_values.len()
    );
    for climbing in ["", ".", ".."] {
        let context = context(json!({ "who": climbing }));
        let result = connector.operations["add"].steps[0].render("http://nac", &context);
        assert!(result.is_err(), "{climbing:?}");
    }
}

#[test]
fn every_connector_that_is_built_in_is_sound() {
    for (name, text) in Connectors::built_in().iter() {
        let connector = AnyConnector::parse(name, text).unwrap();
        let (title, operations) = (connector.title(), connector.operations());
        assert!(!title.is_empty(), "{name} has no title");
        let operations: Vec<_> = operations.collect();
        // What can be granted can be revoked and found.
        let of_grants = [
            ("add", EffectKind::Grant),
            ("find", EffectKind::Read),
            ("remove", EffectKind::Revoke),
        ];
        let no_access = operations.iter().all(|(_, effect)| !effect.is_about_access());
        assert!(!operations.is_empty() && (no_access || operations == of_grants), "{name}");
    }
}

const WITH_CHECK: &str = r#"
    [operations.add]
    effect = "grant"
    revoked_by = "remove"
    check = "find"
    steps = [{ method = "POST", path = ["devices"], json = { mac = "{{ mac }}" } }]
    [operations.find]
    effect = "read"
    steps = [{ method = "GET", path = ["devices", "{{ mac }}"], outcomes = [{ status = [404], result = "not_found" }] }]
    [operations.remove]
    effect = "revoke"
    session = "may_last"
    steps = [{ method = "DELETE", path = ["devices", "{{ mac }}"], capture = { gone = "{{ status }}" } }]
"#;

/// An access is given when the target itself shows it, and not before.
#[tokio::test]
async fn a_grant_with_a_check_is_done_when_the_target_shows_the_subject() {
    let (connector, wire, _) = one(WITH_CHECK, None);
    wire.0.lock().unwrap().answers.extend([answer(201), answer(404), answer(409), answer(200)]);
    let variables = Map::new();
    let device = device_number(1);
    let deadline = Timestamp::default().plus(Duration::from_hours(1));
    let call = call("nac", "add", Some(&device), &variables, deadline);
    let Err(Failure::Retry { reason, .. }) = connector.act(&call).await else {
        panic!("it is not shown");
    };
    assert_eq!((reason.class, reason.may_have_changed), (Class::TargetFailed, true));
    // A refusal ends the operation before the check.
    assert!(connector.act(&call).await.is_err());
    assert_eq!(wire.0.lock().unwrap().asked.len(), 3);
    wire.0.lock().unwrap().answers = [answer(201), answer(200)].into();
    assert_eq!(connector.act(&call).await.unwrap().outcome, EffectOutcome::Done);
}

#[test]
fn what_check_and_session_cannot_mean_is_said_at_the_start() {
    let read_with = |from: &str, to: &str| Connector::parse("mine", &WITH_CHECK.replace(from, to));
    for (from, to, said) in [
        ("check = \"find\"", "check = \"remove\"", "no operation with `effect = \"read\"`"),
        (
            "check = \"find\"",
            "session = \"ended\"",
            "it is for operations with `effect = \"revoke\"`",
        ),
        ("\"may_last\"", "\"gone\"", "`ended` or `may_last`"),
        ("\"may_last\"", "\"{{ 'ended' if left else 'may_last' }}\"", "`left`, which is neither"),
        ("\"devices\", \"{{ mac }}\"], outcomes", "\"{{ site }}\"], outcomes", "uses `site`"),
    ] {
        let error = read_with(from, to).unwrap_err().to_string();
        assert!(error.contains(said), "{to}: {error}");
    }
    let template = "\"{{ 'ended' if gone == '204' else 'may_last' }}\"";
    assert!(read_with("\"may_last\"", template).is_ok());
}
