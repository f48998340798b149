//! The flows of docs/examples.md, as they are written there.

use greenlight_connectors::{Connectors, Setup};
use greenlight_core::Timestamp;
use greenlight_core::flow::Flows;
use greenlight_core::instance::Status;
use greenlight_runtime::Configuration;
use greenlight_testkit::stub::{at_feishu, secret_document};
use greenlight_tests::scene::{APPROVAL_CODE, NAC_TOKEN, Scene};
use greenlight_tests::serving::{deliver, serve_in};
use greenlight_tests::workspace;
use serde_json::{Value, json};
use sqlx::any::AnyPoolOptions;
use sqlx::{AnyPool, Row};

/// The blocks of docs/examples.md in this language.
fn blocks(language: &str) -> Vec<String> {
    blocks_of("docs/examples.md", language)
}

fn blocks_of(page: &str, language: &str) -> Vec<String> {
    let page = std::fs::read_to_string(workspace().join(page)).unwrap();
    let start = format!("```{language}\n");
    let block = |rest: &str| rest.split("```").next().unwrap().to_owned();
    page.split(&start).skip(1).map(block).collect()
}

/// A flow of the page, with `url` as that of a database.
fn flows(name: &str, url: &str) -> Option<String> {
    flow_of_page(name, "DATABASE_URL", url)
}

/// A flow of the page, with the value of a variable.
pub(crate) fn flow_of_page(name: &str, variable: &str, value: &str) -> Option<String> {
    let name = format!("name = \"{name}\"");
    let block = blocks("toml").into_iter().find(|block| block.contains(&name))?;
    let block = block.replace(&format!("${{{variable}}}"), value);
    Some(block.replace("${APPROVAL_CODE}", APPROVAL_CODE))
}

#[test]
fn every_flow_of_the_page_is_valid() {
    let variable = |name: &str| match name {
        "DATABASE_URL" | "KEA_DATABASE_URL" => {
            Some("postgres://db.example.com/assets?sslmode=verify-full".to_owned())
        }
        "APPROVAL_CODE" => Some("A".to_owned()),
        _ => None,
    };
    let blocks = blocks("toml");
    for text in &blocks {
        let flows = Flows::parse(text, &variable).unwrap_or_else(|error| panic!("{error}\n{text}"));
        let setup = Setup::new(&flows, &Connectors::built_in());
        assert!(setup.is_ok(), "{:?}\n{text}", setup.err());
    }
    assert_eq!(blocks.len(), 5);
}

/// The flows of the pages about sources are valid, and their samples are what the sources read.
#[test]
fn every_flow_and_sample_of_the_pages_about_sources_is_valid() {
    let variable = |name: &str| match name {
        "NAC_URL" => Some("https://nac.example.com".to_owned()),
        _ => Some("A".to_owned()),
    };
    let connectors = Connectors::built_in();
    let parse = |text: &String| {
        Configuration::parse(text.clone(), &connectors, &variable, Timestamp::default())
            .unwrap_or_else(|error| panic!("{error}\n{text}"))
    };
    for (page, expected) in [
        ("docs/sources/feishu.md", (1, 1)),
        ("docs/sources/feishu.zh-CN.md", (1, 1)),
        ("docs/sources/webhook.md", (2, 1)),
        ("docs/sources/webhook.zh-CN.md", (2, 1)),
        ("docs/sources/wecom.md", (2, 1)),
        ("docs/sources/wecom.zh-CN.md", (2, 1)),
        ("docs/sources/seeyon.md", (1, 1)),
        ("docs/sources/seeyon.zh-CN.md", (1, 1)),
        ("docs/sources/weaver.md", (1, 1)),
        ("docs/sources/weaver.zh-CN.md", (1, 1)),
        ("docs/sources/dingtalk.md", (1, 1)),
        ("docs/sources/dingtalk.zh-CN.md", (1, 1)),
    ] {
        let flows: Vec<_> = blocks_of(page, "toml").iter().map(parse).collect();
        let samples = [blocks_of(page, "json"), blocks_of(page, "xml")].concat();
        assert_eq!((flows.len(), samples.len()), expected, "{page}");
        for (configuration, sample) in flows.iter().zip(samples) {
            let (_, kind) = configuration.sources.find(None).unwrap();
            let instance = kind.parse_instance(&sample).unwrap();
            assert_eq!(instance.status, Status::Approved);
            let place = &configuration.flows.flows[0].fields["mac"].from[0].field;
            assert_eq!(instance.form.find(place).len(), 1, "{sample}");
        }
    }
}

/// A table in the shape of Feishu's.
fn assets(rows: &[[&str; 3]]) -> Value {
    let row = |cells: &[&str; 3]| {
        let columns = [("asset", "input"), ("owner", "contact"), ("until", "date")];
        let cell = |((name, kind), value): ((&str, &str), &&str)| {
            let value = if kind == "contact" { json!([value]) } else { json!(value) };
            json!({"id": name, "custom_id": name, "name": name, "type": kind, "value": value})
        };
        columns.into_iter().zip(cells).map(cell).collect::<Vec<_>>()
    };
    let rows: Vec<_> = rows.iter().map(row).collect();
    json!([{"id": "t", "custom_id": "assets", "name": "资产", "type": "fieldList", "value": rows}])
}

async fn rows(pool: &AnyPool, sql: &'static str) -> Vec<[Option<String>; 2]> {
    let rows = sqlx::query(sql).fetch_all(pool).await.unwrap();
    rows.iter().map(|row| [row.get(0), row.get(1)]).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_approval_changes_a_record_once_per_approval_and_once_per_row() {
    let scene = Scene::set().await;
    let folder = tempfile::tempdir().unwrap();
    let database = folder.path().join("assets.db");
    std::fs::write(&database, "").unwrap();
    let url = format!("sqlite://{}", database.display());
    sqlx::any::install_default_drivers();
    let pool = AnyPoolOptions::new().connect(&url).await.unwrap();
    let tables =
        blocks("sql").remove(0) + "INSERT INTO assets (name) VALUES ('nb-001'), ('nb-002');";
    sqlx::raw_sql(sqlx::AssertSqlSafe(tables)).execute(&pool).await.unwrap();

    let flows = at_feishu(&flows("asset-owners", &url).unwrap(), &scene.feishu.url());
    let server = serve_in(folder.path(), &flows, &secret_document(&scene.app, NAC_TOKEN)).await;
    let end = "2027-12-31T00:00:00+08:00";
    let form = assets(&[["nb-001", "ou_2", end], ["nb-009", "ou_3", end], ["nb-002", "ou_3", end]]);
    scene.feishu.put_instance("I-1", APPROVAL_CODE, "APPROVED", &form);
    let expected = [("nb-001", "ou_2"), ("nb-002", "ou_3")]
        .map(|(name, owner)| [Some(name.to_owned()), Some(owner.to_owned())]);
    for event in ["e-1", "e-2"] {
        deliver(&server, &scene, event, "I-1").await;
        let found = rows(&pool, "SELECT name, owner FROM assets ORDER BY name").await;
        assert_eq!(found, expected);
        let noted = rows(&pool, "SELECT instance_id, applicant FROM approvals").await;
        assert_eq!(noted, [[Some("I-1".to_owned()), Some("ou_stub".to_owned())]]);
    }
    let letters = server.database().dead_letters().await.unwrap();
    let reasons: Vec<_> = letters.into_iter().filter_map(|it| it.last_failure).collect();
    assert!(reasons.iter().all(|reason| reason.class.as_str() == "not_found"), "{reasons:?}");
    let said = "`assign` of n*** at target `register` found no row";
    assert!(reasons.iter().all(|reason| reason.cause.text == said), "{reasons:?}");
    assert_eq!(reasons.len(), 2, "one for each event");
}
