//! SQL actions on real databases: PostgreSQL, MariaDB and SQLite.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use greenlight_connectors::connector::ConnectorError;
use greenlight_connectors::{Connectors, Setup, Targets};
use greenlight_core::Failure;
use greenlight_core::flow::Flows;
use greenlight_core::ledger::EffectOutcome;
use greenlight_core::ports::{Act, Clock};
use greenlight_core::secret::{FixedSecret, Secret};
use greenlight_core::subject::{Subject, TEXT};
use greenlight_http::Client;
use greenlight_stores::SystemClock;
use greenlight_testkit::subject;
use greenlight_tests::databases::{MariaDb, Postgres, USER};
use serde_json::{Value, json};
use sqlx::any::AnyPoolOptions;
use sqlx::{AnyPool, Row};

type SqlTargets = Targets<Client, FixedSecret, SystemClock>;

fn databases(url: &str, group: &str, credentials: &Value) -> SqlTargets {
    let params = [("group".to_owned(), toml::Value::String(group.into()))].into();
    databases_with(&Connectors::built_in(), "freeradius-sql", url, params, credentials)
}

fn databases_with(
    connectors: &Connectors,
    connector: &str,
    url: &str,
    params: BTreeMap<String, toml::Value>,
    credentials: &Value,
) -> SqlTargets {
    let text = format!(
        r#"
        sources.feishu.kind = "feishu"
        [targets.radius]
        connector = "{connector}"
        url = "{url}"
        [[flows]]
        name = "devices"
        definition_id = "A"
        fields.mac = {{ kind = "mac", from = [{{ field = "mac" }}] }}
        actions = [{{ target = "radius", operation = "add", for_each = "mac" }}]
        "#
    );
    targets(&text, connectors, credentials, params)
}

fn targets(
    flows: &str,
    connectors: &Connectors,
    credentials: &Value,
    params: BTreeMap<String, toml::Value>,
) -> SqlTargets {
    let mut flows = Flows::parse(flows, &|_| None).unwrap();
    flows.targets.get_mut("radius").unwrap().params = params;
    let secret = json!({
        "feishu": {"app_id": "a", "app_secret": "b", "encrypt_key": "c", "verification_token": "d"},
        "targets": {"radius": credentials},
    });
    let secret = FixedSecret(Arc::new(Secret::parse(&secret.to_string()).unwrap()));
    let no_client =
        |_: &str, _: &_| -> Result<Client, ConnectorError> { unreachable!("no HTTP here") };
    let setup = Setup::new(&flows, connectors).unwrap();
    Targets::new(setup, secret, SystemClock, no_client).unwrap()
}

async fn act(databases: &SqlTargets, operation: &str, device: &str, valid_until: Value) -> String {
    let variables = json!({"instance_id": "I-1", "valid_until": valid_until});
    let device = subject::device(device);
    let variables = variables.as_object().unwrap();
    let deadline = SystemClock.now().plus(Duration::from_mins(1));
    let call = subject::call("radius", operation, Some(&device), variables, deadline);
    outcome(databases.act(&call).await.map(|acted| acted.outcome))
}

fn outcome(result: Result<EffectOutcome, Failure>) -> String {
    match result {
        Ok(EffectOutcome::Done) => "done".into(),
        Ok(EffectOutcome::AlreadyExists) => "already_exists".into(),
        Err(Failure::Retry { reason, .. }) => format!("retry {}", reason.class.as_str()),
        Err(Failure::GiveUp { reason }) => format!("give_up {}", reason.class.as_str()),
    }
}

/// The relevant FreeRADIUS tables, without a unique index.
const TABLES: [&str; 2] = [
    "CREATE TABLE radusergroup (username varchar(64) NOT NULL, groupname varchar(64) NOT NULL, priority integer NOT NULL)",
    "CREATE TABLE radcheck (username varchar(64) NOT NULL, attribute varchar(64) NOT NULL, op varchar(2) NOT NULL, value varchar(253) NOT NULL)",
];

async fn texts(pool: &AnyPool, sql: &'static str) -> Vec<String> {
    let rows = sqlx::query(sql).fetch_all(pool).await.unwrap();
    rows.iter().map(|row| row.get::<String, _>(0)).collect()
}

async fn suite(url: &str, with_user: &str, credentials: &Value) {
    let radius = databases(url, "mab-whitelist", credentials);
    let pool = AnyPoolOptions::new().connect(with_user).await.unwrap();
    for table in TABLES {
        sqlx::query(table).execute(&pool).await.unwrap();
    }
    let (one, two) = ("00:00:5e:00:53:01", "00:00:5e:00:53:02");
    assert_eq!(act(&radius, "find", one, Value::Null).await, "give_up not_found");
    assert_eq!(act(&radius, "add", one, Value::Null).await, "done");
    assert_eq!(act(&radius, "add", one, Value::Null).await, "already_exists");
    assert_eq!(act(&radius, "find", one, Value::Null).await, "done");
    let until = json!("2027-01-01T08:00:00+08:00");
    assert_eq!(act(&radius, "add", two, until.clone()).await, "done");
    assert_eq!(act(&radius, "add", two, until).await, "already_exists");
    let expirations = texts(&pool, "SELECT value FROM radcheck").await;
    assert_eq!(expirations, ["01 Jan 2027 00:00:00"]);
    assert_eq!(act(&radius, "remove", one, Value::Null).await, "done");
    assert_eq!(act(&radius, "remove", one, Value::Null).await, "already_exists");
    assert_eq!(texts(&pool, "SELECT username FROM radusergroup").await, [two]);

    // Guarantee 14: any value arrives unchanged in its place and changes nothing else.
    let hostile =
        ["'; DROP TABLE radusergroup; --", "\\' OR 1=1", "$1 :mac ?", "\u{202e}\"]]>{{ 7 * 7 }}"];
    for group in hostile {
        let radius = databases(url, group, credentials);
        assert_eq!(act(&radius, "add", one, Value::Null).await, "done", "{group}");
        let groups = texts(&pool, "SELECT groupname FROM radusergroup ORDER BY groupname").await;
        assert!(groups.iter().any(|name| name == group), "{group}: {groups:?}");
        assert_eq!(act(&radius, "remove", one, Value::Null).await, "done", "{group}");
    }
    assert_eq!(texts(&pool, "SELECT username FROM radusergroup").await, [two]);
    assert_eq!(
        act(&databases(url, "a\0b", credentials), "add", one, Value::Null).await,
        "give_up invalid_form"
    );
    println!("{} hostile values bound, none executed", hostile.len());
    at_the_same_moment(url, credentials, &pool).await;
    with_a_connector_of_ones_own(url, credentials, &pool).await;
    records(url, credentials, &pool).await;
    pool.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn g14_values_are_bound_in_sqlite() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}", folder.path().join("radius.db").display());
    let missing = databases(&url, "g", &json!({}));
    assert_eq!(
        act(&missing, "find", "00:00:5e:00:53:01", Value::Null).await,
        "retry target_unavailable"
    );
    std::fs::write(folder.path().join("radius.db"), "").unwrap();
    suite(&url, &url, &json!({})).await;
}

fn with_user(url: &str) -> String {
    url.replace("://", "://greenlight:p%40ss%2Fword@")
}

/// Concurrent workers add the same device: there is one row for it, and one for its end of access.
async fn at_the_same_moment(url: &str, credentials: &Value, pool: &AnyPool) {
    let device = "00:00:5e:00:53:03";
    let workers = (1..=8).map(|hour| async move {
        let radius = databases(url, "together", credentials);
        let until = json!(format!("2027-01-01T{hour:02}:00:00Z"));
        act(&radius, "add", device, until).await
    });
    let outcomes = futures_util::future::join_all(workers).await;
    assert!(
        outcomes.iter().all(|shown| shown == "done" || shown == "already_exists"),
        "{outcomes:?}"
    );
    let there = texts(pool, "SELECT username FROM radusergroup WHERE groupname = 'together'").await;
    assert_eq!(there, [device]);
    let ends = "SELECT value FROM radcheck WHERE username = '00:00:5e:00:53:03'";
    assert_eq!(texts(pool, ends).await.len(), 1);
    println!("{} workers at the same moment: one row", outcomes.len());
}

const OWN: &str = r#"
protocol = "sql"
[operations.add]
effect = "grant"
revoked_by = "remove"
confirmed_by = "find"
[[operations.add.statements]]
sql = "INSERT INTO allowed (mac) VALUES (:mac)"
repeatable = "mac is the primary key"
[operations.remove]
effect = "revoke"
[[operations.remove.statements]]
sql = "DELETE FROM allowed WHERE mac = :mac"
[operations.find]
effect = "read"
[[operations.find.statements]]
sql = "UPDATE allowed SET seen = seen + 1 WHERE mac = :mac"
[[operations.find.statements]]
sql = "SELECT 1 FROM allowed WHERE mac = :mac"
"#;

/// A record per approval, and one per subject: the connector `asset-register`.
async fn records(url: &str, credentials: &Value, pool: &AnyPool) {
    for sql in [
        "CREATE TABLE approvals (instance_id varchar(64) PRIMARY KEY, applicant varchar(64) NOT NULL)",
        "CREATE TABLE assets (name varchar(64) PRIMARY KEY, owner varchar(64), valid_until varchar(32))",
        "INSERT INTO assets (name) VALUES ('nb-001')",
    ] {
        sqlx::query(sql).execute(pool).await.unwrap();
    }
    let register = ASSETS.replace("URL", url);
    let register = targets(&register, &Connectors::built_in(), credentials, BTreeMap::new());
    let variables = json!({"instance_id": "I-1", "applicant": "ou_1", "owner": "ou_2",
        "valid_until": "2027-12-31T00:00:00+08:00"});
    let act = async |operation: &str, asset: Option<&str>| {
        let asset = asset.map(|asset| Subject::parse(&TEXT, asset).unwrap());
        let variables = variables.as_object().unwrap();
        let deadline = SystemClock.now().plus(Duration::from_mins(1));
        let call = subject::call("radius", operation, asset.as_ref(), variables, deadline);
        outcome(register.act(&call).await.map(|acted| acted.outcome))
    };
    assert_eq!(act("note", None).await, "done");
    assert_eq!(act("note", None).await, "already_exists");
    assert_eq!(act("assign", Some("nb-001")).await, "done");
    assert_eq!(act("assign", Some("nb-001")).await, "done");
    assert_eq!(act("assign", Some("nb-009")).await, "give_up not_found");
    assert_eq!(texts(pool, "SELECT applicant FROM approvals").await, ["ou_1"]);
    let assigned =
        "SELECT name FROM assets WHERE owner = 'ou_2' AND valid_until LIKE '2027-12-31T%'";
    assert_eq!(texts(pool, assigned).await, ["nb-001"]);
}

const ASSETS: &str = r#"
sources.feishu.kind = "feishu"
[targets.radius]
connector = "asset-register"
url = "URL"
[[flows]]
name = "assets"
definition_id = "A"
fields.asset = { kind = "text", pattern = "[a-z0-9-]+", from = [{ field = "asset" }] }
fields.valid_until = { kind = "date", from = [{ field = "until" }] }
actions = [
    { target = "radius", operation = "note" },
    { target = "radius", operation = "assign", for_each = "asset" },
]
"#;

/// A violated unique index counts as already done, and a `SELECT` keeps the earlier statements.
async fn with_a_connector_of_ones_own(url: &str, credentials: &Value, pool: &AnyPool) {
    let table = "CREATE TABLE allowed (mac varchar(64) PRIMARY KEY, seen integer DEFAULT 0)";
    sqlx::query(table).execute(pool).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("own.toml"), OWN).unwrap();
    let connectors = Connectors::built_in_and(Some(folder.path())).unwrap();
    let own = databases_with(&connectors, "own", url, BTreeMap::new(), credentials);
    let device = "00:00:5e:00:53:04";
    assert_eq!(act(&own, "find", device, Value::Null).await, "give_up not_found");
    assert_eq!(act(&own, "add", device, Value::Null).await, "done");
    assert_eq!(act(&own, "add", device, Value::Null).await, "already_exists");
    assert_eq!(act(&own, "find", device, Value::Null).await, "done");
    assert_eq!(texts(pool, "SELECT mac FROM allowed WHERE seen = 2").await, [device]);

    // The conflicting row belongs to another device.
    std::fs::write(
        folder.path().join("own.toml"),
        OWN.replace("VALUES (:mac)", "VALUES ('taken')"),
    )
    .unwrap();
    sqlx::query("INSERT INTO allowed (mac) VALUES ('taken')").execute(pool).await.unwrap();
    let connectors = Connectors::built_in_and(Some(folder.path())).unwrap();
    let own = databases_with(&connectors, "own", url, BTreeMap::new(), credentials);
    let shown = act(&own, "add", "00:00:5e:00:53:05", Value::Null).await;
    assert_eq!(shown, "give_up target_rejected");
}

/// The suite on a server that is stopped when `server` is dropped.
async fn suite_over(server: impl Sized, url: &str) {
    let credentials = json!({"username": USER.0, "password": USER.1});
    suite(url, &with_user(url), &credentials).await;

    let wrong = databases(url, "g", &json!({"username": USER.0, "password": "wrong"}));
    let device = "00:00:5e:00:53:01";
    assert_eq!(act(&wrong, "find", device, Value::Null).await, "retry target_auth_failed");
    let radius = databases(url, "g", &credentials);
    drop(server);
    assert_eq!(act(&radius, "find", device, Value::Null).await, "retry target_unavailable");
}

#[tokio::test(flavor = "multi_thread")]
async fn g14_values_are_bound_in_postgresql() {
    let server = Postgres::start().await;
    let url = server.url();
    suite_over(server, &url).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn g14_values_are_bound_in_mariadb() {
    let server = MariaDb::start().await;
    let url = server.url();

    // Characters that the database cannot store: the error has no specific SQLSTATE.
    let latin = url.replace("/radius", "/latin");
    let radius = databases(&latin, "\u{202e}", &json!({"username": USER.0, "password": USER.1}));
    let pool = AnyPoolOptions::new().connect(&with_user(&latin)).await.unwrap();
    sqlx::query(TABLES[0]).execute(&pool).await.unwrap();
    let device = "00:00:5e:00:53:01";
    assert_eq!(act(&radius, "add", device, Value::Null).await, "give_up target_rejected");
    pool.close().await;

    suite_over(server, &url).await;
}
