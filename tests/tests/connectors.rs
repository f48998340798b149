//! Each connector that is built in, against a stub that answers as its product does: `contracts/NAME.toml`
//! says what is asked, exactly, and what is answered. A new connector needs a new file and no Rust.

use std::collections::{BTreeMap, VecDeque};
use std::fs;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use greenlight_actions::connector::{ConnectorError, Speaks, built_in, speaks};
use greenlight_actions::http::HttpConnector;
use greenlight_core::Failure;
use greenlight_core::flow::Flows;
use greenlight_core::mac::Eui48;
use greenlight_core::ports::{Act, Call, Clock, ReadSecret};
use greenlight_core::secret::Secret;
use greenlight_http::Client;
use greenlight_stores::SystemClock;
use greenlight_tests::workspace;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::net::TcpListener;

/// What a product does.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Contract {
    /// Of the target in `flows.toml`.
    #[serde(default)]
    params: BTreeMap<String, toml::Value>,
    /// The target's part of the secret.
    #[serde(default)]
    secret: BTreeMap<String, String>,
    case: Vec<Case>,
}

/// One call, all that is exchanged over it, and what it comes to.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    operation: String,
    /// Of the flow, besides those that are always there.
    #[serde(default)]
    fields: BTreeMap<String, Value>,
    /// `done`, `already_there`, `retry CLASS` or `give_up CLASS`.
    outcome: String,
    exchange: Vec<Exchange>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Exchange {
    /// Method, path and query.
    ask: String,
    /// Those that matter.
    #[serde(default)]
    headers: BTreeMap<String, String>,
    json: Option<Value>,
    text: Option<String>,
    answer: Answer,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Answer {
    status: u16,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    json: Option<Value>,
    text: Option<String>,
}

/// What is still to be asked, and what was asked otherwise.
#[derive(Debug, Default)]
struct Script {
    left: VecDeque<Exchange>,
    problems: Vec<String>,
}

/// A value that no contract can know, as it is made by chance.
const ANYTHING: &str = "*";

/// `expected` with [`ANYTHING`] in it, word for word otherwise.
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
            return Some(format!("asked {ask:?} and not {:?}", self.ask));
        }
        for (name, value) in &self.headers {
            let sent = headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
            if !fits(value, sent) {
                return Some(format!("{ask}: the header {name} is {sent:?} and not {value:?}"));
            }
        }
        let sent: Value = serde_json::from_str(body).unwrap_or_default();
        match (&self.json, &self.text) {
            (Some(json), _) if !json_fits(json, &sent) => {
                Some(format!("{ask}: the body is {body} and not {json}"))
            }
            (None, Some(text)) if text != body => {
                Some(format!("{ask}: the body is {body} and not {text}"))
            }
            (None, None) if !body.is_empty() => Some(format!("{ask}: there is a body: {body}")),
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
        script.problems.push(format!("{ask}: nothing more should be asked"));
        return StatusCode::IM_A_TEAPOT.into_response();
    };
    let body = String::from_utf8_lossy(&body);
    script.problems.extend(exchange.problem(&ask, &headers, &body));
    let Answer { status, headers, json, text } = exchange.answer;
    let body = json.map(|json| json.to_string()).or(text).unwrap_or_default();
    let mut response = (StatusCode::from_u16(status).unwrap(), body).into_response();
    for (name, value) in headers {
        let name = axum::http::HeaderName::try_from(name).unwrap();
        response.headers_mut().append(name, value.parse().unwrap());
    }
    response
}

#[derive(Clone)]
struct FixedSecret(Arc<Secret>);

impl ReadSecret for FixedSecret {
    fn current(&self) -> Arc<Secret> {
        Arc::clone(&self.0)
    }

    async fn renewed(&self, _: &Arc<Secret>) -> Option<Arc<Secret>> {
        None
    }
}

/// Flows with one target of that connector, and every field that the case gives.
fn flows(connector: &str, url: &str, contract: &Contract, case: &Case) -> Flows {
    let field = |name: &String| {
        format!("fields.{name} = {{ kind = \"text\", from = [{{ field = \"{name}\" }}] }}")
    };
    let fields: Vec<_> = case.fields.keys().map(field).collect();
    let fields = fields.join("\n");
    let text = format!(
        r#"
        [targets.nac]
        connector = "{connector}"
        url = "{url}"
        [[flows]]
        name = "devices"
        approval_code = "A"
        fields.mac = {{ kind = "mac", from = [{{ field = "mac" }}] }}
        {fields}
        actions = [{{ target = "nac", operation = "{}", for_each = "mac" }}]
        "#,
        case.operation
    );
    let mut flows = Flows::parse(&text, &|_| None).unwrap();
    flows.targets.get_mut("nac").unwrap().params = contract.params.clone();
    flows
}

async fn play(name: &str, contract: &Contract, case: &Case, client: &Client) -> Result<(), String> {
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
    let flows = flows(name, &url, contract, case);
    let connector = HttpConnector::new(&flows, secret, SystemClock, |_, _| {
        Ok::<_, ConnectorError>(client.clone())
    });
    let connector = connector.map_err(|error| error.to_string())?;
    let mut variables = json!({"instance_code": "I-1", "serial_number": "202611250001", "applicant": "ou_1",
        "approval_code": "A", "event_id": "e-1"});
    for (name, value) in &case.fields {
        variables[name] = value.clone();
    }
    let call = Call {
        target: "nac",
        operation: &case.operation,
        device: Eui48::parse("00:00:5e:00:53:01").unwrap(),
        variables: variables.as_object().unwrap(),
        deadline: SystemClock.now().plus(Duration::from_mins(1)),
    };
    let result = connector.act(&call).await;
    server.abort();
    let told = match &result {
        Ok(outcome) => outcome.as_str().to_owned(),
        Err(Failure::Retry { reason, .. }) => format!("retry {}", reason.class.as_str()),
        Err(Failure::GiveUp { reason }) => format!("give_up {}", reason.class.as_str()),
    };
    let script = script.lock().unwrap();
    let mut problems = script.problems.clone();
    if told != case.outcome {
        problems.push(format!("it came to {told:?} and not {:?}: {result:?}", case.outcome));
    }
    if !script.left.is_empty() {
        problems.push(format!("{} exchanges are left", script.left.len()));
    }
    if problems.is_empty() { Ok(()) } else { Err(problems.join("\n    ")) }
}

#[tokio::test]
async fn every_connector_keeps_its_contract() {
    let client = Client::new(None).unwrap();
    let (mut failed, mut lines) = (Vec::new(), Vec::new());
    let over_http =
        built_in().iter().filter(|(name, text)| speaks(name, text).unwrap() == Speaks::Http);
    for (name, _) in over_http {
        let path = workspace().join(format!("tests/contracts/{name}.toml"));
        let text = fs::read_to_string(&path).unwrap_or_else(|_| panic!("{name} has no contract"));
        let contract: Contract =
            toml::from_str(&text).unwrap_or_else(|error| panic!("{name}: {error}"));
        for case in &contract.case {
            if let Err(problem) = play(name, &contract, case, &client).await {
                failed.push(format!("{name}, {}:\n    {problem}", case.name));
            }
        }
        let asked: usize = contract.case.iter().map(|case| case.exchange.len()).sum();
        lines.push(format!("{name:18} {:>2} cases, {asked:>2} requests", contract.case.len()));
        let operations = ["add", "remove", "find"];
        let is_shown =
            |operation: &&str| contract.case.iter().any(|case| case.operation == **operation);
        assert!(operations.iter().all(is_shown), "{name} does not show all operations");
        let is_busy = |case: &Case| case.exchange.iter().any(|it| it.answer.status == 429);
        assert!(contract.case.iter().any(is_busy), "{name} does not show a 429");
    }
    println!("{}", lines.join("\n"));
    assert!(failed.is_empty(), "\n{}", failed.join("\n"));
}
