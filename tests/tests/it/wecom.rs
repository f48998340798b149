//! WeCom: callbacks against its own library and `wechatpy`, and approvals from a callback to the
//! NAC.

use std::process::Command;

use greenlight_core::event::Inbound;
use greenlight_core::flow::SourceConfigs;
use greenlight_core::ports::{Clock, Enqueue};
use greenlight_core::queued::SweepDue;
use greenlight_core::secret::Secret;
use greenlight_core::sweep::SweepKey;
use greenlight_core::{Rejection, Timestamp, WEBHOOK_PATH, WebhookRequest};
use greenlight_server::server::Server;
use greenlight_sources::registry::Registry;
use greenlight_sources::test_request::Sent;
use greenlight_sources::wecom::{ApprovalChange, WeComApp};
use greenlight_stores::SystemClock;
use greenlight_testkit::stub::{StubNac, StubWeCom, wecom_app};
use greenlight_tests::oracle::{answer, node, python};
use greenlight_tests::scene::{NAC_TOKEN, device};
use greenlight_tests::serving::{failures, send, serve_in, wait_for_failure, wait_for_sweep};
use greenlight_tests::tool;
use serde_json::{Value, json};
use tempfile::TempDir;

const TEMPLATE: &str = "3TkZjxugodbqpEMk9j7X6h6zKqYkc7MxQrrFmT7H";

fn flows(wecom: &str, nac: &str) -> String {
    format!(
        r#"
        [sources.wecom]
        kind = "wecom"
        base_url = "{wecom}"
        [targets.nac]
        connector = "generic"
        url = "{nac}"
        [[flows]]
        name = "devices"
        definition_id = "{TEMPLATE}"
        fields.mac = {{ kind = "mac", from = [{{ field = "设备", column = "MAC 地址" }}] }}
        actions = [{{ target = "nac", operation = "add", for_each = "mac" }}]
        "#
    )
}

fn secret(app: &WeComApp) -> Value {
    json!({"sources": {"wecom": {"corp_id": app.corp_id, "secret": app.secret,
        "token": app.token, "encoding_aes_key": app.encoding_aes_key}},
        "targets": {"nac": {"token": NAC_TOKEN}}})
}

struct Corp {
    app: WeComApp,
    wecom: StubWeCom,
    nac: StubNac,
    server: Server,
    _folder: TempDir,
}

impl Corp {
    async fn open() -> Self {
        Self::open_with("", &secret(&wecom_app())).await
    }

    /// With more settings of the source.
    async fn open_with(settings: &str, secret: &Value) -> Self {
        let (app, folder) = (wecom_app(), tempfile::tempdir().unwrap());
        let wecom = StubWeCom::start(app.clone()).await.unwrap();
        let nac = StubNac::start(NAC_TOKEN).await.unwrap();
        let kind = "kind = \"wecom\"";
        let flows = flows(&wecom.url(), &nac.url()).replace(kind, &format!("{kind}\n{settings}"));
        let server = serve_in(folder.path(), &flows, secret).await;
        // The first sweep lists what is there: its calls are not those of the test.
        wait_for_sweep(server.database(), &Self::key()).await;
        Self { app, wecom, nac, server, _folder: folder }
    }

    fn key() -> SweepKey {
        SweepKey { source: "wecom".into(), definition_id: TEMPLATE.into() }
    }

    async fn send(&self, sent: &Sent) -> (u16, String) {
        send(&self.server, "/api/event/wecom/", sent).await
    }

    /// A callback about an approval, now.
    async fn change(&self, sp_no: &str, sp_status: i64, event: i64) {
        let change = ApprovalChange { template_id: TEMPLATE, sp_no, sp_status, event };
        let sent = self.app.change(change, SystemClock.now()).unwrap();
        assert_eq!(self.send(&sent).await, (200, String::new()));
    }
}

/// Nothing needs a public address, nor the keys of callbacks.
#[tokio::test(flavor = "multi_thread")]
async fn g21_approvals_are_polled() {
    let app = wecom_app();
    let mut secret = secret(&app);
    let of_wecom = secret["sources"]["wecom"].as_object_mut().unwrap();
    of_wecom.retain(|name, _| name == "corp_id" || name == "secret");
    let corp = Corp::open_with("receive = \"polling\"", &secret).await;
    let (key, database) = (Corp::key(), corp.server.database());
    assert_eq!(wait_for_sweep(database, &key).await.open(), 0);
    corp.wecom.put_approval("202611300001", TEMPLATE, 2, &[&device(1)]);
    corp.wecom.put_approval("202611300002", TEMPLATE, 1, &[&device(2)]);
    corp.wecom.put_approval("202611300003", TEMPLATE, 3, &[&device(3)]);
    let poll = async || {
        database.enqueue(&SweepDue::new(key.clone(), SystemClock.now())).await.unwrap();
        corp.server.drained().await.unwrap();
    };
    poll().await;
    assert_eq!(corp.nac.whitelist(), [device(1)]);
    let record = wait_for_sweep(database, &key).await;
    assert_eq!((record.open(), record.found), (1, 0), "{record:?}");
    poll().await;
    assert_eq!(corp.nac.calls(), 1);
    // A callback is not authentic: there are no keys.
    let change = ApprovalChange { template_id: TEMPLATE, sp_no: "1", sp_status: 2, event: 2 };
    let sent = app.change(change, SystemClock.now()).unwrap();
    assert_eq!(corp.send(&sent).await.0, 503);
    corp.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_approval_of_wecom_opens_the_network_and_its_revocation_closes_it() {
    let corp = Corp::open().await;
    let check = corp.app.url_check("1616140317555161061", SystemClock.now()).unwrap();
    assert_eq!(corp.send(&check).await, (200, "1616140317555161061".to_owned()));

    corp.wecom.put_approval("202611300001", TEMPLATE, 2, &[&device(1), &device(2)]);
    // The first of two approvers; then all, three times; then it is paid.
    corp.change("202611300001", 1, 2).await;
    for _ in 0..3 {
        corp.change("202611300001", 2, 2).await;
    }
    corp.change("202611300001", 10, 0).await;
    corp.server.drained().await.unwrap();
    assert_eq!(corp.nac.whitelist(), [device(1), device(2)]);
    assert_eq!((corp.nac.calls(), corp.wecom.calls()), (2, (1, 1)), "one login, one read");

    // The token ends early, and a new one is fetched.
    corp.wecom.expire_tokens();
    corp.wecom.put_approval("202611300001", TEMPLATE, 6, &[&device(1), &device(2)]);
    corp.change("202611300001", 6, 8).await;
    corp.server.drained().await.unwrap();
    assert_eq!(corp.nac.whitelist(), Vec::<String>::new());
    assert_eq!(corp.wecom.calls().0, 2);
    assert_eq!(failures(&corp.server).await, []);
    corp.server.stop().await;
}

/// What a retry cannot change is a dead letter; what the office system may answer otherwise soon is
/// retried.
#[tokio::test(flavor = "multi_thread")]
async fn codes_of_wecom_are_dead_letters_or_retried() {
    let corp = Corp::open().await;
    corp.wecom.put_approval("1", TEMPLATE, 2, &[&device(1)]);
    for (code, cause) in [(301_025, "code 301025"), (81_013, "code 81013")] {
        corp.wecom.set_code(code);
        let before = failures(&corp.server).await.len();
        corp.change("1", 2, 2).await;
        corp.server.drained().await.unwrap();
        let found = failures(&corp.server).await;
        assert_eq!(found.len(), before + 1, "{code}");
        let of_code = found.iter().find(|(_, text)| text.contains(cause));
        let (class, text) = of_code.unwrap_or_else(|| panic!("{code}: {found:?}"));
        assert_eq!(class, "source_rejected", "{code}: {text}");
    }
    let waiting = async |sp_no: &str, cause: &str| {
        corp.change(sp_no, 2, 2).await;
        wait_for_failure(&corp.server, sp_no, cause).await;
    };
    for (number, (code, cause)) in [
        (60_020, "call from 192.0.2.7 (code 60020): add this address"),
        (45_009, "code 45009"),
        (-1, "code -1"),
        (48_002, "可调用接口的应用"),
        (301_055, "either it is not among 可调用接口的应用"),
        (60_011, "outside of its 可见范围"),
    ]
    .into_iter()
    .enumerate()
    {
        corp.wecom.set_code(code);
        waiting(&format!("2{number}"), cause).await;
    }
    corp.wecom.set_code(0);
    corp.wecom.set_page(true);
    waiting("30", "HTTP 200 with an unexpected body").await;
    corp.server.stop().await;
}

fn received(sent: &Sent, app: &WeComApp, now: Timestamp) -> Result<Inbound, Rejection> {
    let sources = SourceConfigs::parse("sources.wecom.kind = \"wecom\"", &|_| None).unwrap();
    let registry = Registry::new(&sources).unwrap();
    let webhooks = registry.webhooks();
    let (_, webhook) = webhooks.find(None).unwrap();
    let (head, body) = sent.to_request(WEBHOOK_PATH).unwrap().into_parts();
    let request = WebhookRequest::new(head, body).unwrap();
    webhook.parse(&request, &Secret::parse(&secret(app).to_string()).unwrap(), now)
}

/// The parameters in a query.
fn parameters(query: &str) -> Value {
    let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    let decoded =
        |text: &str| percent_encoding::percent_decode_str(text).decode_utf8().unwrap().into_owned();
    pairs.map(|(name, value)| (name.to_owned(), json!(decoded(value)))).collect()
}

/// WeCom's own library and another one open what the simulator makes, and the source opens what
/// they make; their client reads the answers of the stub.
#[tokio::test(flavor = "multi_thread")]
async fn the_libraries_of_wecom_agree_with_the_source_and_the_stub() {
    let (app, now) = (wecom_app(), SystemClock.now());
    let wecom = StubWeCom::start(app.clone()).await.unwrap();
    wecom.put_approval("202611300001", TEMPLATE, 2, &[&device(1)]);
    let change =
        ApprovalChange { template_id: TEMPLATE, sp_no: "202611300001", sp_status: 2, event: 2 };
    let (check, callback) = (app.url_check("616", now).unwrap(), app.change(change, now).unwrap());
    let other = WeComApp { corp_id: "wwOTHERCORP0000000".into(), ..app.clone() };
    let foreign = other.change(change, now).unwrap();
    let sent = [&check, &callback, &foreign];
    let encrypted = |sent: &Sent| match sent.body.split_once("<Encrypt><![CDATA[") {
        Some((_, rest)) => json!(rest.split_once("]]>").unwrap().0),
        None => parameters(&sent.query)["echostr"].clone(),
    };
    let callbacks = sent.map(|sent| {
        json!({"query": parameters(&sent.query), "body": sent.body, "encrypted": encrypted(sent)})
    });
    let xml = format!(
        "<xml><ToUserName>{}</ToUserName><Event>sys_approval_change</Event><ApprovalInfo>\
         <SpNo>7</SpNo><SpStatus>2</SpStatus><TemplateId>{TEMPLATE}</TemplateId></ApprovalInfo>\
         <Content>设备已放行</Content></xml>",
        app.corp_id
    );
    let (timestamp, nonce) = (now.as_seconds().to_string(), "n0nce");
    let question = json!({
        "app": {"token": app.token, "encoding_aes_key": app.encoding_aes_key,
            "corp_id": app.corp_id, "secret": app.secret},
        "callbacks": callbacks, "base_url": wecom.url(), "sp_no": "202611300001",
        "messages": [{"xml": xml, "timestamp": timestamp, "nonce": nonce}],
    });
    let asked = question.clone();
    let by_python = tokio::task::spawn_blocking(move || {
        let mut program = Command::new(tool("wecom-sdk", "python"));
        answer(program.arg(python("wecom")), &asked)
    });
    let by_python = by_python.await.unwrap();
    let by_node = answer(&mut node("wecom"), &question);

    assert_eq!(by_python["opened"][0], json!({"challenge": "616"}));
    let info = &by_python["opened"][1]["message"]["ApprovalInfo"];
    assert_eq!((&info["SpNoStr"], &info["SpStatus"]), (&json!("202611300001"), &json!("2")));
    assert_eq!(by_python["opened"][2], json!({"refused": "InvalidCorpIdException"}));
    assert_eq!(by_node["opened"][0], json!({"message": "616", "id": app.corp_id}));
    assert_eq!(by_node["opened"][1]["id"], app.corp_id);
    assert!(by_node["opened"][1]["message"].as_str().unwrap().contains("202611300001"));
    assert_eq!(by_node["opened"][2]["id"], "wwOTHERCORP0000000");
    let contents = &by_python["detail"]["info"]["apply_data"]["contents"];
    assert_eq!(contents[1]["value"]["children"][0]["list"][0]["value"]["text"], device(1));

    let of_python = by_python["sealed"][0].as_str().unwrap();
    let signature = of_python.split_once("<MsgSignature><![CDATA[").unwrap().1;
    let signature = signature.split_once("]]>").unwrap().0;
    let sealed = &by_node["sealed"][0];
    let of_node =
        format!("<xml><Encrypt>{}</Encrypt></xml>", sealed["encrypted"].as_str().unwrap());
    for (body, signature) in
        [(of_python, signature), (&of_node, sealed["signature"].as_str().unwrap())]
    {
        let query = format!("msg_signature={signature}&timestamp={timestamp}&nonce={nonce}");
        let sent = Sent { query, ..Sent::post(vec![], body.to_owned()) };
        let Ok(Inbound::Approval(event)) = received(&sent, &app, now) else { panic!("{body}") };
        assert_eq!((&*event.instance_id, &*event.definition_id), ("7", TEMPLATE));
    }
    assert_eq!(received(&foreign, &app, now), Err(Rejection::WrongApp));
}
