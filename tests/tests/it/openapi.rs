//! `PacketFence`'s contract against its published OpenAPI document. `PACKETFENCE_OPENAPI` is the
//! path of `docs/api/spec/openapi.json` in a copy of its repository; the document is not part of
//! this one.

use std::collections::BTreeSet;
use std::fs;

use greenlight_tests::workspace;
use serde::Deserialize;
use serde_json::{Value, json};

#[derive(Deserialize)]
struct Contract {
    case: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    exchange: Vec<Exchange>,
}

#[derive(Deserialize)]
struct Exchange {
    ask: String,
    json: Option<Value>,
    answer: Answer,
}

#[derive(Deserialize)]
struct Answer {
    status: u16,
}

/// Returns the differences between `exchanges` and the document.
fn problems(document: &Value, exchanges: &[Exchange]) -> BTreeSet<String> {
    let mut problems = BTreeSet::new();
    for Exchange { ask, json: body, answer } in exchanges {
        let (method, target) = ask.split_once(' ').unwrap();
        let path = target.split('?').next().unwrap_or(target);
        let paths = document["paths"].as_object().unwrap();
        let operation = paths
            .iter()
            .filter(|(template, _)| is_of(template, path))
            .find_map(|(_, of_path)| of_path.get(method.to_lowercase()));
        let Some(operation) = operation else {
            problems.insert(format!("{method} {path} is not in the document"));
            continue;
        };
        // Rejected logins, throttling and outages can follow any request.
        let is_of_any = answer.status == 401 || answer.status == 429 || answer.status >= 500;
        let documented = operation["responses"].get(answer.status.to_string());
        if documented.is_none() && !is_of_any {
            problems.insert(format!("{method} {path}: {} is not documented", answer.status));
        }
        if let Some(body) = body {
            let mut schema =
                operation["requestBody"]["content"]["application/json"]["schema"].clone();
            let names = names(document, &schema);
            let unknown =
                body.as_object().into_iter().flatten().find(|(name, _)| !names.contains(*name));
            if let Some((name, _)) = unknown {
                problems
                    .insert(format!("{method} {path}: `{name}` is not in its schema: {names:?}"));
            }
            schema["components"] = document["components"].clone();
            let validator = jsonschema::validator_for(&schema).unwrap();
            let wrong =
                validator.iter_errors(body).map(|error| format!("{method} {path}: {error}"));
            problems.extend(wrong);
        }
    }
    problems
}

/// Whether `path` matches `template`, such as `/node/{node_id}`.
fn is_of(template: &str, path: &str) -> bool {
    let (template, path) = (template.split('/'), path.split('/'));
    template.clone().count() == path.clone().count()
        && template.zip(path).all(|(part, given)| part == given || part.starts_with('{'))
}

/// The properties of a schema, with references resolved.
fn names(document: &Value, schema: &Value) -> BTreeSet<String> {
    if let Some(reference) = schema["$ref"].as_str() {
        return names(document, document.pointer(reference.trim_start_matches('#')).unwrap());
    }
    let own = schema["properties"].as_object().into_iter().flatten().map(|(name, _)| name.clone());
    let parts = schema["allOf"].as_array().into_iter().flatten();
    own.chain(parts.flat_map(|part| names(document, part))).collect()
}

#[test]
fn packetfence_is_asked_as_its_document_says() {
    let Some(path) = std::env::var_os("PACKETFENCE_OPENAPI") else {
        println!(
            "skipped: PACKETFENCE_OPENAPI is not set, so there is no document to compare with"
        );
        return;
    };
    let document = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    let contract =
        fs::read_to_string(workspace().join("tests/contracts/packetfence.toml")).unwrap();
    let contract: Contract = toml::from_str(&contract).unwrap();
    let exchanges: Vec<_> = contract.case.into_iter().flat_map(|case| case.exchange).collect();
    let problems = problems(&document, &exchanges);
    assert!(problems.is_empty(), "{problems:#?}");
    println!("{} exchanges match the document", exchanges.len());
}

#[test]
fn what_a_document_does_not_say_is_found() {
    let node = json!({"properties": {"mac": {"type": "string"}}});
    let document = json!({
        "paths": {"/api/v1/node/{id}": {"patch": {
            "requestBody": {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/Node"}}}},
            "responses": {"200": {}},
        }}},
        "components": {"schemas": {"Node": node}},
    });
    let exchange = |ask: &str, body: Value, status| Exchange {
        ask: ask.to_owned(),
        json: Some(body),
        answer: Answer { status },
    };
    let found = |exchange| problems(&document, &[exchange]).len();
    let good = "PATCH /api/v1/node/1";
    assert_eq!(found(exchange(good, json!({"mac": "a"}), 200)), 0);
    assert_eq!(found(exchange(good, json!({"mac": "a"}), 503)), 0);
    assert_eq!(found(exchange(good, json!({"mac": "a"}), 201)), 1);
    assert_eq!(found(exchange(good, json!({"mac": 1}), 200)), 1);
    assert_eq!(found(exchange(good, json!({"name": "a"}), 200)), 1);
    assert_eq!(found(exchange("PUT /api/v1/node/1", json!({}), 200)), 1);
    assert_eq!(found(exchange("PATCH /api/v1/nodes", json!({}), 200)), 1);
}
