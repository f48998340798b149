//! DingTalk: HTTP push and streams, with the official clients of streams, and approvals from an
//! event to the NAC.

use std::collections::BTreeSet;
use std::process::Stdio;

use greenlight_core::ports::Clock;
use greenlight_core::sweep::SweepKey;
use greenlight_server::server::Server;
use greenlight_sources::dingtalk::{DingTalkApp, InstanceChange};
use greenlight_sources::test_request::Sent;
use greenlight_stores::SystemClock;
use greenlight_testkit::stub::{StubDingTalk, StubNac, dingtalk_app};
use greenlight_tests::oracle::{self, Judge, answer, in_time, node};
use greenlight_tests::scene::{NAC_TOKEN, device};
use greenlight_tests::serving::{failures, send, serve_in, wait_for_failure, wait_for_sweep};
use greenlight_tests::tool;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::process::Command;

const PROCESS: &str = "PROC-5AB1E7C0-0001";

struct Organisation {
    app: DingTalkApp,
    dingtalk: StubDingTalk,
    nac: StubNac,
    server: Server,
    _folder: TempDir,
}

impl Organisation {
    async fn open(receive: &str) -> Self {
        let (app, folder) = (dingtalk_app(), tempfile::tempdir().unwrap());
        let dingtalk = StubDingTalk::start(app.clone()).await.unwrap();
        let nac = StubNac::start(NAC_TOKEN).await.unwrap();
        let (url, nac_url) = (dingtalk.url(), nac.url());
        let flows = format!(
            r#"
            [sources.dingtalk]
            kind = "dingtalk"
            base_url = "{url}"
            old_base_url = "{url}"
            receive = "{receive}"
            [targets.nac]
            connector = "generic"
            url = "{nac_url}"
            [[flows]]
            name = "devices"
            definition_id = "{PROCESS}"
            fields.mac = {{ kind = "mac", from = [{{ field = "设备", column = "MAC 地址" }}] }}
            actions = [{{ target = "nac", operation = "add", for_each = "mac" }}]
            "#
        );
        let mut credentials = json!({"app_key": app.app_key, "app_secret": app.app_secret});
        if receive == "webhook" {
            credentials["token"] = app.token.clone().into();
            credentials["encoding_aes_key"] = app.encoding_aes_key.clone().into();
        }
        let secret =
            json!({"sources": {"dingtalk": credentials}, "targets": {"nac": {"token": NAC_TOKEN}}});
        let server = serve_in(folder.path(), &flows, &secret).await;
        if receive == "stream" {
            dingtalk.wait_until_opened(1).await;
        }
        // The first sweep lists what is there: its calls are not those of the test.
        let key = SweepKey { source: "dingtalk".into(), definition_id: PROCESS.into() };
        wait_for_sweep(server.database(), &key).await;
        Self { app, dingtalk, nac, server, _folder: folder }
    }

    async fn send(&self, sent: &Sent) -> (u16, Value) {
        let (status, body) = send(&self.server, "/api/event/dingtalk", sent).await;
        (status, serde_json::from_str(&body).unwrap())
    }

    /// An instance ended with consent, by HTTP push.
    async fn agreed(&self, instance_id: &str) {
        let change = agreed("e-1", instance_id);
        let sent = self.app.instance_change(change, SystemClock.now()).unwrap();
        assert_eq!(self.send(&sent).await.0, 200);
    }
}

fn agreed<'a>(event_id: &'a str, instance_id: &'a str) -> InstanceChange<'a> {
    InstanceChange {
        event_id,
        process_code: PROCESS,
        instance_id,
        kind: "finish",
        result: Some("agree"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_approval_of_dingtalk_opens_the_network_and_its_revocation_closes_it() {
    let organisation = Organisation::open("webhook").await;
    let Organisation { app, dingtalk, nac, server, .. } = &organisation;
    let check = app.url_check(SystemClock.now()).unwrap();
    let (status, reply) = organisation.send(&check).await;
    assert_eq!(status, 200);
    let names = reply.as_object().unwrap().keys().map(String::as_str);
    let names: Vec<_> = names.collect::<BTreeSet<_>>().into_iter().collect();
    assert_eq!(names, ["encrypt", "msg_signature", "nonce", "timeStamp"]);

    let swept = dingtalk.calls();
    dingtalk.put_instance("I-1", PROCESS, &[&device(1), &device(2)]);
    for _ in 0..3 {
        organisation.agreed("I-1").await;
    }
    server.drained().await.unwrap();
    assert_eq!(nac.whitelist(), [device(1), device(2)]);
    assert_eq!(nac.calls(), 2);
    assert_eq!(dingtalk.calls() - swept, 2, "the detail, and the list that says whose it is");

    // The revocation is an approval of its own, with a form of its own: it never grants. The token
    // has ended meanwhile.
    dingtalk.expire_tokens();
    dingtalk.revoke("I-2", "I-1");
    organisation.agreed("I-2").await;
    server.drained().await.unwrap();
    assert_eq!(nac.whitelist(), Vec::<String>::new());
    // An event of the first that comes again does not give the access back.
    organisation.agreed("I-1").await;
    server.drained().await.unwrap();
    assert_eq!(nac.whitelist(), Vec::<String>::new());
    assert_eq!(failures(&organisation.server).await, []);
    organisation.server.stop().await;
}

/// A message that names another form than the instance has is refused: the detail does not say.
#[tokio::test(flavor = "multi_thread")]
async fn an_instance_of_another_form_is_refused() {
    let organisation = Organisation::open("webhook").await;
    organisation.dingtalk.put_instance("I-1", "PROC-OTHER", &[&device(1)]);
    // The list of a form can lag behind the event, for some minutes.
    organisation.dingtalk.end_at("I-1", "2026-11-20T03:05Z");
    organisation.agreed("I-1").await;
    organisation.server.drained().await.unwrap();
    let letters = failures(&organisation.server).await;
    assert_eq!(letters.len(), 1);
    assert_eq!(letters[0].0, "not_approved", "{letters:?}");
    assert_eq!(organisation.nac.calls(), 0);
    organisation.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_who_left_loses_access() {
    let organisation = Organisation::open("webhook").await;
    let Organisation { app, dingtalk, nac, server, .. } = &organisation;
    dingtalk.put_instance("I-1", PROCESS, &[&device(1)]);
    organisation.agreed("I-1").await;
    server.drained().await.unwrap();
    assert_eq!(nac.whitelist(), [device(1)]);
    dingtalk.leave("user001");
    dingtalk.expire_tokens();
    let now = SystemClock.now();
    let mut event = app.data(agreed("e-9", "I-9"), now);
    event["EventType"] = "bpms_instance_change".into();
    event["bizCategoryId"] = "hrm.termination".into();
    assert_eq!(organisation.send(&app.pushed(&event, now).unwrap()).await.0, 200);
    nac.wait_for_whitelist(&[]).await;
    organisation.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_of_dingtalk_are_dead_letters_or_retried() {
    let organisation = Organisation::open("webhook").await;
    let Organisation { dingtalk, server, .. } = &organisation;
    dingtalk.set_error(Some((400, "processInstanceNotExist")));
    organisation.agreed("I-0").await;
    server.drained().await.unwrap();
    let letters = failures(&organisation.server).await;
    assert_eq!(letters.len(), 1);
    assert_eq!(letters[0].0, "source_rejected");
    assert!(letters[0].1.contains("HTTP 400, code processInstanceNotExist"), "{letters:?}");

    let waiting = async |instance: &str, cause: &str| {
        organisation.agreed(instance).await;
        wait_for_failure(server, instance, cause).await;
    };
    for (number, (status, code, cause)) in [
        (403, "Forbidden.AccessDenied.QpsLimitForAppkeyAndApi", "too many calls a second"),
        (403, "Forbidden.AccessDenied.ApiCountLimitForOrg", "begins anew on the 1st"),
        (403, "Forbidden.AccessDenied.IpNotInWhiteList", "服务器出口IP"),
        (403, "Forbidden.AccessDenied.AccessTokenPermissionDenied", "Workflow.Instance.Read"),
        (500, "systemError", "HTTP 500, code systemError"),
        // A token that is refused twice.
        (400, "InvalidAuthentication", "HTTP 400, code InvalidAuthentication"),
        (401, "InvalidAuthentication", "HTTP 401, code InvalidAuthentication"),
    ]
    .into_iter()
    .enumerate()
    {
        dingtalk.set_error(Some((status, code)));
        waiting(&format!("I-1{number}"), cause).await;
    }
    dingtalk.set_error(None);
    dingtalk.set_page(true);
    waiting("I-20", "HTTP 200 with an unexpected body").await;
    assert_eq!(failures(&organisation.server).await.len(), 1);
    organisation.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_approval_comes_over_the_stream() {
    let organisation = Organisation::open("stream").await;
    let Organisation { app, dingtalk, nac, server, .. } = &organisation;
    dingtalk.put_instance("I-1", PROCESS, &[&device(1)]);
    let data = app.data(agreed("e-1", "I-1"), SystemClock.now());
    for event_id in ["e-1", "e-1", "e-2"] {
        let reply = dingtalk.push("bpms_instance_change", event_id, &data).await.unwrap();
        assert_eq!(reply["code"], 200);
        let status: Value = serde_json::from_str(reply["data"].as_str().unwrap()).unwrap();
        assert_eq!(status["status"], "SUCCESS");
    }
    server.drained().await.unwrap();
    assert_eq!((nac.whitelist(), nac.calls()), (vec![device(1)], 1));
    let other = dingtalk.push("chat_update_title", "e-3", &json!({})).await.unwrap();
    assert_eq!(other["code"], 200);
    let ping = dingtalk.push_system("ping", &json!({"opaque": "op-1"})).await.unwrap();
    assert_eq!((&ping["code"], &ping["data"]), (&json!(200), &json!(r#"{"opaque":"op-1"}"#)));

    // What cannot be read costs nothing, and the stream goes on.
    for odd in ["", "{}", "[1]", r#"{"type":"EVENT","headers":{"messageId":"m"},"data":"{"}"#] {
        dingtalk.push_raw(odd);
    }
    assert!(dingtalk.push("bpms_instance_change", "e-4", &json!({"type": 7})).await.is_some());
    // The server ends the stream, and another one is opened; it also breaks off.
    dingtalk.push_raw(
        r#"{"type":"SYSTEM","headers":{"topic":"disconnect","messageId":"d"},"data":"{}"}"#,
    );
    dingtalk.wait_until_opened(2).await;
    dingtalk.close_streams();
    dingtalk.wait_until_opened(3).await;
    dingtalk.put_instance("I-2", PROCESS, &[&device(2)]);
    let data = app.data(agreed("e-5", "I-2"), SystemClock.now());
    assert!(dingtalk.push("bpms_instance_change", "e-5", &data).await.is_some());
    server.drained().await.unwrap();
    assert_eq!(nac.whitelist(), [device(1), device(2)]);
    organisation.server.stop().await;
}

/// The official clients of streams connect to the stub, read its events and reply.
#[tokio::test(flavor = "multi_thread")]
async fn the_official_clients_of_streams_connect_to_the_stub() {
    for is_node in [false, true] {
        let app = dingtalk_app();
        let dingtalk = StubDingTalk::start(app.clone()).await.unwrap();
        let question = json!({"base_url": dingtalk.url(), "app_key": app.app_key,
            "app_secret": app.app_secret})
        .to_string();
        let mut program = if is_node {
            Command::from(node("dingtalk"))
        } else {
            let mut python = Command::new(tool("dingtalk-sdk", "python"));
            python.arg(oracle::python("dingtalk"));
            python
        };
        // They write what they do into their log.
        let mut client = Judge::start(program.arg(question).stderr(Stdio::null()));
        in_time(dingtalk.wait_until_opened(1)).await;
        let data = app.data(agreed("e-1", "I-1"), SystemClock.now());
        let reply = in_time(dingtalk.push("bpms_instance_change", "e-1", &data)).await.unwrap();
        assert_eq!(reply["code"], 200, "{is_node}: {reply}");
        let event = in_time(client.next_json()).await;
        assert_eq!((&event["type"], &event["id"]), (&json!("bpms_instance_change"), &json!("e-1")));
        assert_eq!(event["data"]["title"], "张三提交的设备入网申请");
        assert_eq!(event["data"]["processInstanceId"], "I-1");
    }
}

/// The cipher is that of WeCom, whose library works for texts that are not ASCII, too.
#[tokio::test]
async fn a_library_of_the_same_cipher_opens_what_is_sent_and_replied() {
    let organisation = Organisation::open("webhook").await;
    let app = &organisation.app;
    let sent = app.instance_change(agreed("e-1", "I-1"), SystemClock.now()).unwrap();
    let (_, reply) = organisation.send(&sent).await;
    let body: Value = serde_json::from_str(&sent.body).unwrap();
    let parameters = sent.query.split('&').filter_map(|pair| pair.split_once('='));
    let mut query: serde_json::Map<String, Value> =
        parameters.map(|(name, value)| (name.to_owned(), json!(value))).collect();
    let signature = query.remove("signature").unwrap();
    query.insert("msg_signature".to_owned(), signature);
    let of_reply = json!({"msg_signature": reply["msg_signature"],
        "timestamp": reply["timeStamp"], "nonce": reply["nonce"]});
    let question = json!({
        "app": {"token": app.token, "encoding_aes_key": app.encoding_aes_key,
            "corp_id": app.app_key},
        "callbacks": [
            {"query": query, "encrypted": body["encrypt"]},
            {"query": of_reply, "encrypted": reply["encrypt"]},
        ],
        "messages": [],
    });
    let answer = answer(&mut node("wecom"), &question);
    assert!(answer["opened"][0]["message"].as_str().unwrap().contains("张三"), "{answer}");
    let opened = &answer["opened"];
    assert_eq!(opened[1], json!({"message": "success", "id": app.app_key}));
    assert_eq!(opened[0]["id"], app.app_key);
    organisation.server.stop().await;
}
