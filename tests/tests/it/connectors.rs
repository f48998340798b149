//! Contract tests: each built-in connector runs against a stub of its product.
//! `contracts/NAME.toml` has the exact requests and their answers. A new connector needs a new file
//! and no Rust.

use std::collections::{BTreeMap, VecDeque};
use std::fs;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use greenlight_connectors::connector::ConnectorError;
use greenlight_connectors::http::{Connector, HttpConnector, RequestPreview};
use greenlight_connectors::{AnyConnector, Connectors};
use greenlight_core::Failure;
use greenlight_core::flow::{Target, Tls};
use greenlight_core::grant::Session;
use greenlight_core::ports::{Acted, Clock, Http, HttpError};
use greenlight_core::secret::{FixedSecret, Secret};
use greenlight_http::Client;
use greenlight_stores::SystemClock;
use greenlight_testkit::subject::{call, device_number};
use greenlight_tests::workspace;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::net::TcpListener;

/// The contract of a connector.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Contract {
    /// The target's `params` in `flows.toml`.
    #[serde(default)]
    params: BTreeMap<String, toml::Value>,
    /// The target's part of the secret.
    #[serde(default)]
    secret: BTreeMap<String, String>,
    case: Vec<Case>,
}

/// One call with its exchanges and its outcome.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    operation: String,
    /// Variables of the flow, besides the built-in ones.
    #[serde(default)]
    fields: BTreeMap<String, Value>,
    /// Params of the target, besides those of the contract.
    #[serde(default)]
    params: BTreeMap<String, toml::Value>,
    /// `done`, `already_exists`, `retry CLASS` or `give_up CLASS`.
    outcome: String,
    /// What became of the session: `ended` or `may_last`.
    session: Option<Session>,
    exchange: Vec<Exchange>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Exchange {
    /// Method, path and query.
    ask: String,
    /// The headers to compare.
    #[serde(default)]
    headers: BTreeMap<String, String>,
    json: Option<Value>,
    text: Option<String>,
    answer: RecordedAnswer,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RecordedAnswer {
    status: u16,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    json: Option<Value>,
    text: Option<String>,
}

/// The remaining exchanges, and the differences found.
#[derive(Debug, Default)]
struct Script {
    left: VecDeque<Exchange>,
    problems: Vec<String>,
}

/// Matches any value, such as a random one.
const ANYTHING: &str = "*";

/// Whether `asked` equals `expected`, in which [`ANYTHING`] matches any text.
fn fits(expected: &str, asked: &str) -> bool {
    let mut rest = asked;
    let mut parts = expected.split(ANYTHING);
    let Some(after) = parts.next().and_then(|first| rest.strip_prefix(first)) else { return false };
    rest = after;
    for part in parts {
        let Some(place) = (if part.is_empty() { Some(rest.len()) } else { rest.find(part) }) else {
            return false;
        };
        rest = &rest[place + part.len()..];
    }
    rest.is_empty()
}

fn json_fits(expected: &Value, asked: &Value) -> bool {
    match (expected, asked) {
        (Value::String(expected), Value::String(asked)) => fits(expected, asked),
        (Value::Array(expected), Value::Array(asked)) => {
            expected.len() == asked.len()
                && expected.iter().zip(asked).all(|(expected, asked)| json_fits(expected, asked))
        }
        (Value::Object(expected), Value::Object(asked)) => {
            let same = |(name, expected): (&String, &Value)| {
                asked.get(name).is_some_and(|asked| json_fits(expected, asked))
            };
            expected.len() == asked.len() && expected.iter().all(same)
        }
        _ => expected == asked,
    }
}

impl Exchange {
    fn problem(&self, ask: &str, headers: &HeaderMap, body: &str) -> Option<String> {
        if !fits(&self.ask, ask) {
            return Some(format!("request {ask:?}, expected {:?}", self.ask));
        }
        for (name, value) in &self.headers {
            let sent = headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
            if !fits(value, sent) {
                return Some(format!("{ask}: the header {name} is {sent:?}, expected {value:?}"));
            }
        }
        let sent: Value = serde_json::from_str(body).unwrap_or_default();
        match (&self.json, &self.text) {
            (Some(json), _) if !json_fits(json, &sent) => {
                Some(format!("{ask}: the body is {body}, expected {json}"))
            }
            (None, Some(text)) if text != body => {
                Some(format!("{ask}: the body is {body}, expected {text}"))
            }
            (None, None) if !body.is_empty() => Some(format!("{ask}: unexpected body: {body}")),
            _ => None,
        }
    }
}

async fn answer(
    State(script): State<Arc<Mutex<Script>>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let mut script = script.lock().unwrap();
    let ask = format!("{method} {uri}");
    let Some(exchange) = script.left.pop_front() else {
        script.problems.push(format!("{ask}: unexpected request"));
        return StatusCode::IM_A_TEAPOT.into_response();
    };
    let body = String::from_utf8_lossy(&body);
    script.problems.extend(exchange.problem(&ask, &headers, &body));
    let RecordedAnswer { status, headers, json, text } = exchange.answer;
    let body = json.map(|json| json.to_string()).or(text).unwrap_or_default();
    let mut response = (StatusCode::from_u16(status).unwrap(), body).into_response();
    for (name, value) in headers {
        let name = axum::http::HeaderName::try_from(name).unwrap();
        response.headers_mut().append(name, value.parse().unwrap());
    }
    response
}

/// Performs the call of a case against a stub that plays its exchanges; returns the differences
/// that the stub found.
async fn perform(
    connector: &Connector,
    contract: &Contract,
    case: &Case,
    client: &Client,
) -> (Result<Acted, Failure>, Arc<Mutex<Script>>) {
    let script = Script { left: case.exchange.clone().into(), problems: Vec::new() };
    let script = Arc::new(Mutex::new(script));
    let routes = Router::new().fallback(answer).with_state(Arc::clone(&script));
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let server = tokio::spawn(async move { axum::serve(listener, routes).await });

    let secret = json!({
        "feishu": {"app_id": "a", "app_secret": "b", "encrypt_key": "c", "verification_token": "d"},
        "targets": {"nac": contract.secret},
    });
    let secret = FixedSecret(Arc::new(Secret::parse(&secret.to_string()).unwrap()));
    let target = Target {
        connector: String::new(),
        url,
        params: contract.params.clone().into_iter().chain(case.params.clone()).collect(),
        tls: Tls::default(),
        plaintext: false,
        renamed_from: None,
    };
    let mut http = HttpConnector::new(secret, SystemClock);
    let client = || Ok::<_, ConnectorError>(client.clone());
    http.add("nac", &target, connector.clone(), client).unwrap();
    let mut variables = json!({"instance_id": "I-1", "form_number": "202611250001", "applicant": "ou_1",
        "definition_id": "A", "event_id": "e-1"});
    for (name, value) in &case.fields {
        variables[name] = value.clone();
    }
    let device = device_number(1);
    let variables = variables.as_object().unwrap();
    let deadline = SystemClock.now().plus(Duration::from_mins(1));
    let call = call("nac", &case.operation, Some(&device), variables, deadline);
    let result = http.act(&call).await;
    server.abort();
    (result, script)
}

async fn play(
    connector: &Connector,
    contract: &Contract,
    case: &Case,
    client: &Client,
) -> Result<(), String> {
    let (result, script) = perform(connector, contract, case, client).await;
    let shown = match &result {
        Ok(Acted { outcome, .. }) => outcome.as_str().to_owned(),
        Err(Failure::Retry { reason, .. }) => format!("retry {}", reason.class.as_str()),
        Err(Failure::GiveUp { reason }) => format!("give_up {}", reason.class.as_str()),
    };
    let script = script.lock().unwrap();
    let mut problems = script.problems.clone();
    if shown != case.outcome {
        problems.push(format!("the outcome is {shown:?}, expected {:?}: {result:?}", case.outcome));
    }
    if let Ok(Acted { session, .. }) = &result
        && *session != case.session
    {
        problems.push(format!("the session is {session:?}, expected {:?}", case.session));
    }
    if !script.left.is_empty() {
        problems.push(format!("{} exchanges did not happen", script.left.len()));
    }
    if problems.is_empty() { Ok(()) } else { Err(problems.join("\n    ")) }
}

/// Plays all cases and returns the differences.
async fn play_all(
    name: &str,
    connector: &Connector,
    contract: &Contract,
    client: &Client,
) -> Vec<String> {
    let mut failed = Vec::new();
    for case in &contract.case {
        if let Err(problem) = play(connector, contract, case, client).await {
            failed.push(format!("{name}, {}:\n    {problem}", case.name));
        }
    }
    failed
}

/// Answers that no API sends: a login page, a web server's page, a plain word, with content types.
const MISFITS: [(&str, &str); 4] = [
    ("text/html; charset=utf-8", "<!DOCTYPE html>\n<html><head><title>Login</title></head></html>"),
    ("application/json", "\u{feff} <HTML><body>It works!</body></HTML>"),
    ("text/html", "It works!"),
    ("text/plain", "OK"),
];

/// In every step of every operation, whatever the rules for the status are.
#[tokio::test]
async fn g18_an_answer_of_another_shape_is_never_done_in_any_step_of_any_connector() {
    let client = Client::new(None).unwrap();
    let (mut failed, mut played) = (Vec::new(), 0_u32);
    for (name, connector) in over_http() {
        let path = workspace().join(format!("tests/contracts/{name}.toml"));
        let contract: Contract = toml::from_str(&fs::read_to_string(path).unwrap()).unwrap();
        let succeeds = |case: &&Case| ["done", "already_exists"].contains(&case.outcome.as_str());
        for case in contract.case.iter().filter(succeeds) {
            for place in 0..case.exchange.len() {
                let shown = case.exchange[place].answer.status;
                let statuses = [Some(200), Some(shown).filter(|it| [201, 404, 409].contains(it))];
                for status in statuses.into_iter().flatten() {
                    for (content_type, text) in MISFITS {
                        // The body of an answer that is not successful need not be
                        // parsed.
                        if status >= 400 && !content_type.contains("html") {
                            continue;
                        }
                        let mut changed = case.clone();
                        let headers = [("content-type".to_owned(), content_type.to_owned())].into();
                        changed.exchange[place].answer = RecordedAnswer {
                            status,
                            headers,
                            json: None,
                            text: Some(text.to_owned()),
                        };
                        let (result, _) = perform(&connector, &contract, &changed, &client).await;
                        if result.is_ok() {
                            let exchange = &case.exchange[place].ask;
                            failed.push(format!(
                                "{name}, {}, {exchange}: {status} {text:?}",
                                case.name
                            ));
                        }
                        played += 1;
                    }
                }
            }
        }
    }
    println!("{played} answers of another shape, none of them counts as done");
    assert!(failed.is_empty(), "\n{}", failed.join("\n"));
}

/// The connectors that use HTTP.
fn over_http() -> Vec<(String, Connector)> {
    let built_in = Connectors::built_in();
    let connector = |(name, text): (&str, &str)| match AnyConnector::parse(name, text).unwrap() {
        AnyConnector::Http(connector) => Some((name.to_owned(), *connector)),
        AnyConnector::Sql(_) => None,
    };
    built_in.iter().filter_map(connector).collect()
}

#[tokio::test]
async fn every_connector_keeps_its_contract() {
    let client = Client::new(None).unwrap();
    let (mut failed, mut lines) = (Vec::new(), Vec::new());
    for (name, connector) in over_http() {
        let path = workspace().join(format!("tests/contracts/{name}.toml"));
        let text = fs::read_to_string(&path).unwrap_or_else(|_| panic!("{name} has no contract"));
        let contract: Contract =
            toml::from_str(&text).unwrap_or_else(|error| panic!("{name}: {error}"));
        failed.extend(play_all(&name, &connector, &contract, &client).await);
        let asked: usize = contract.case.iter().map(|case| case.exchange.len()).sum();
        lines.push(format!("{name:18} {:>2} cases, {asked:>2} requests", contract.case.len()));
        let is_shown =
            |operation: &String| contract.case.iter().any(|case| case.operation == *operation);
        assert!(connector.operations.keys().all(is_shown), "{name} does not show all operations");
        let is_busy = |case: &Case| case.exchange.iter().any(|it| it.answer.status == 429);
        assert!(contract.case.iter().any(is_busy), "{name} does not show a 429");
    }
    println!("{}", lines.join("\n"));
    assert!(failed.is_empty(), "\n{}", failed.join("\n"));
}

/// The connector of the walk-through in docs/connectors.md keeps its contract.
#[tokio::test]
async fn the_walk_through_works() {
    let page = fs::read_to_string(workspace().join("docs/connectors.md")).unwrap();
    let (_, walk) = page.split_once("## A NAC that is not in the list").unwrap();
    let blocks: Vec<&str> =
        walk.split("```toml\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
    let [connector, contract] = blocks[..] else { panic!("the walk-through has two files") };
    let connector = Connector::parse("acme", connector).unwrap();
    let contract: Contract = toml::from_str(contract).unwrap();
    let failed = play_all("acme", &connector, &contract, &Client::new(None).unwrap()).await;
    assert!(failed.is_empty(), "\n{}", failed.join("\n"));
}

/// A parsed request: path segments, query, headers, and the body as a tree or text.
#[derive(Debug, PartialEq)]
struct Parts {
    segments: Vec<String>,
    query: Vec<(String, String)>,
    headers: Vec<(String, String)>,
    body: Value,
}

fn decoded(text: &str) -> String {
    percent_encoding::percent_decode_str(text).decode_utf8().unwrap().into_owned()
}

impl Parts {
    fn of(preview: &RequestPreview) -> Self {
        let uri: Uri = preview.url.parse().unwrap();
        let pairs = uri.query().unwrap_or_default().split('&').filter(|pair| !pair.is_empty());
        let pair = |pair: &str| {
            let (name, value) = pair.split_once('=').unwrap();
            (decoded(name), decoded(value))
        };
        let body = match serde_json::from_str(&preview.body) {
            Ok(json) => json,
            Err(_) if preview.body.starts_with('<') => {
                let text = quick_xml::escape::unescape(&preview.body).unwrap().into_owned();
                Value::String(text)
            }
            Err(_) => Value::String(preview.body.clone()),
        };
        Self {
            segments: uri.path().split('/').map(decoded).collect(),
            query: pairs.map(pair).collect(),
            headers: preview.headers.clone(),
            body,
        }
    }

    /// The same request with `text` in place of `marker`.
    fn with(&self, marker: &str, text: &str) -> Self {
        let put = |old: &String| old.replace(marker, text);
        let pairs = |pairs: &[(String, String)]| {
            pairs.iter().map(|(name, value)| (name.clone(), put(value))).collect()
        };
        Self {
            segments: self.segments.iter().map(put).collect(),
            query: pairs(&self.query),
            headers: pairs(&self.headers),
            body: tree(&self.body, &put),
        }
    }
}

/// A JSON tree with its strings replaced.
fn tree(value: &Value, put: &impl Fn(&String) -> String) -> Value {
    match value {
        Value::String(text) => Value::String(put(text)),
        Value::Array(items) => items.iter().map(|item| tree(item, put)).collect(),
        Value::Object(members) => {
            let member = |(name, value): (&String, &Value)| (name.clone(), tree(value, put));
            Value::Object(members.iter().map(member).collect())
        }
        other => other.clone(),
    }
}

/// All requests of an operation, with `value` in place of each value from a form, an answer or the
/// operator.
fn requests(
    connector: &Connector,
    operation: &str,
    value: &str,
) -> Result<Vec<RequestPreview>, Failure> {
    let given = |name: &String| (name.clone(), toml::Value::String(value.to_owned()));
    let target = Target {
        connector: String::new(),
        url: "https://nac.example.com:9999/base".into(),
        params: connector.params.keys().map(given).collect(),
        tls: Tls::default(),
        plaintext: false,
        renamed_from: None,
    };
    let keys = [
        "token",
        "username",
        "password",
        "client_id",
        "client_secret",
        "api_key",
        "shared_secret",
        "app_id",
        "app_secret",
    ];
    let credentials: serde_json::Map<String, Value> =
        keys.iter().map(|key| ((*key).to_owned(), json!("s"))).collect();
    let secret = json!({
        "feishu": {"app_id": "a", "app_secret": "b", "encrypt_key": "c", "verification_token": "d"},
        "targets": {"nac": credentials},
    });
    let secret = FixedSecret(Arc::new(Secret::parse(&secret.to_string()).unwrap()));
    let mut http = HttpConnector::new(secret, SystemClock);
    http.add("nac", &target, connector.clone(), || Ok::<_, ConnectorError>(NoNetwork)).unwrap();
    let mut variables = json!({});
    for name in [
        "instance_id",
        "form_number",
        "applicant",
        "definition_id",
        "event_id",
        "id",
        "group_id",
        "summary",
        "assignee",
    ] {
        variables[name] = json!(value);
    }
    variables["due"] = json!("2027-12-31T00:00:00+08:00");
    let device = device_number(1);
    let variables = variables.as_object().unwrap();
    http.preview(&call("nac", operation, Some(&device), variables, SystemClock.now()))
}

/// An HTTP client that is never called.
#[derive(Clone)]
struct NoNetwork;

impl Http for NoNetwork {
    async fn send(&self, _: http::Request<Bytes>) -> Result<http::Response<Bytes>, HttpError> {
        unreachable!("nothing is sent")
    }
}

const MARKER: &str = "mArKeR";

/// Guarantee 14, for every position of every connector: a value arrives whole in its place and
/// changes nothing else, or the request is refused.
fn check_value(value: &str) -> (usize, usize) {
    let (mut whole, mut refused) = (0, 0);
    for (name, connector) in over_http() {
        for operation in connector.operations.keys() {
            let expected = requests(&connector, operation, MARKER).unwrap();
            let Ok(sent) = requests(&connector, operation, value) else {
                refused += 1;
                continue;
            };
            for (expected, sent) in expected.iter().zip(&sent) {
                let expected = Parts::of(expected).with(MARKER, value);
                assert_eq!(Parts::of(sent), expected, "{name}, {operation}");
                whole += 1;
            }
        }
    }
    (whole, refused)
}

#[test]
fn g14_hostile_values_stay_in_their_place_in_every_connector() {
    let long = "x".repeat(1_000_000);
    let hostile = [
        "\"",
        "'",
        "../..",
        "%2f%2e%2e",
        "x\r\nHost: evil",
        "]]>",
        "<!--",
        "&amp;",
        "'; --",
        "{{ 7 * 7 }}",
        "{% raw %}",
        "\0",
        "\u{202e}abc",
        "a?b=c#d&e=f",
        "\\u0000",
        &long,
    ];
    let mut counts = (0, 0);
    for value in hostile {
        let (whole, refused) = check_value(value);
        counts = (counts.0 + whole, counts.1 + refused);
    }
    println!(
        "{} hostile values: {} requests hold them whole, {} operations are refused",
        hostile.len(),
        counts.0,
        counts.1
    );
    assert!(counts.0 > 0);
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig { cases: 64, failure_persistence: None, ..Default::default() })]

    #[test]
    fn g14_any_value_stays_in_its_place_in_every_connector(value in ".{1,40}") {
        check_value(&value);
    }
}
