//! Weaver, from documents only: approvals that are named by the messages of a hook, and read with
//! its API.

use std::process::Command;

use greenlight_core::ports::Clock;
use greenlight_core::secret::Secret;
use greenlight_server::server::Server;
use greenlight_sources::client_kind::ClientKind;
use greenlight_sources::test_request::{Sent, TestEvent};
use greenlight_sources::weaver::Weaver;
use greenlight_stores::SystemClock;
use greenlight_testkit::stub::{Fault, OfficeSystem as _, StubNac, StubWeaver, WEAVER_APP};
use greenlight_tests::oracle::{answer, python};
use greenlight_tests::scene::{NAC_TOKEN, device};
use greenlight_tests::serving::{failures, send, serve_in, wait_for_failure};
use greenlight_tests::tool;
use serde_json::{Value, json};
use tempfile::TempDir;

const PATH: &str = "/api/event/weaver";

struct Oa {
    weaver: StubWeaver,
    nac: StubNac,
    server: Server,
    secret: Value,
    _folder: TempDir,
}

impl Oa {
    async fn open() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let weaver = StubWeaver::start().await.unwrap();
        let nac = StubNac::start(NAC_TOKEN).await.unwrap();
        let flows = format!(
            r#"
            [sources.weaver]
            kind = "weaver"
            base_url = "{}"
            approved = {{ field = "jg", value = "同意" }}
            [targets.nac]
            connector = "generic"
            url = "{}"
            [[flows]]
            name = "devices"
            definition_id = "77"
            fields.mac = {{ kind = "mac", from = [{{ field = "设备", column = "mac" }}] }}
            actions = [{{ target = "nac", operation = "add", for_each = "mac" }}]
            "#,
            weaver.url(),
            nac.url()
        );
        let secret = json!({"sources": {"weaver": {"app_id": "GREENLIGHT", "secret": WEAVER_APP.0,
            "spk": weaver.spk(), "user_id": WEAVER_APP.1,
            "hook_secret": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"}},
            "targets": {"nac": {"token": NAC_TOKEN}}});
        let server = serve_in(folder.path(), &flows, &secret).await;
        Self { weaver, nac, server, secret, _folder: folder }
    }

    /// A message as the hook sends it.
    fn message(&self, request: &str) -> Sent {
        let secret = Secret::parse(&self.secret.to_string()).unwrap();
        let event = TestEvent::Approved {
            event_id: format!("msg_{request}"),
            definition_id: "77".to_owned(),
            instance_id: request.to_owned(),
        };
        let approved = json!({"field": "jg", "value": "同意"});
        let weaver = json!({"base_url": "http://x", "approved": approved});
        let weaver: Weaver = serde_json::from_value(weaver).unwrap();
        weaver.test_request(&event, secret.source("weaver").unwrap(), SystemClock.now()).unwrap()
    }

    async fn accept(&self, request: &str) {
        assert_eq!(send(&self.server, PATH, &self.message(request)).await.0, 200);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_approval_of_weaver_is_read_and_carried_out_once() {
    let oa = Oa::open().await;
    oa.weaver.put_request("341001", 3, "同意", &[&device(1), &device(2)]);
    for _ in 0..3 {
        oa.accept("341001").await;
    }
    oa.server.drained().await.unwrap();
    assert_eq!(oa.nac.whitelist(), [device(1), device(2)]);
    assert_eq!(oa.nac.calls(), 2, "one set of effects");
    // A token that has ended is refused with HTTP 200, and replaced.
    oa.weaver.expire_tokens();
    oa.weaver.put_request("341002", 3, "同意", &[&device(3)]);
    oa.accept("341002").await;
    oa.server.drained().await.unwrap();
    assert_eq!(oa.nac.whitelist(), [device(1), device(2), device(3)]);
    assert_eq!(oa.weaver.logins(), 2);
    // Another library reads what was encrypted.
    let asked = json!({"private_key": oa.weaver.private_key(), "sealed": oa.weaver.sealed()});
    let mut program = Command::new(tool("wecom-sdk", "python"));
    let opened = answer(program.arg(python("weaver")), &asked);
    assert_eq!(opened, json!([WEAVER_APP.0, WEAVER_APP.1]));
    oa.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn g12_an_archived_form_without_the_result_is_not_carried_out() {
    let oa = Oa::open().await;
    oa.weaver.put_request("341001", 3, "拒绝", &[&device(1)]);
    oa.accept("341001").await;
    oa.server.drained().await.unwrap();
    let [(class, reason)] = failures(&oa.server).await.try_into().unwrap();
    assert_eq!(class, "not_approved");
    assert!(reason.contains("refused"), "{reason}");
    // Not archived yet.
    oa.weaver.put_request("341002", 1, "同意", &[&device(2)]);
    oa.accept("341002").await;
    wait_for_failure(&oa.server, "341002", "pending").await;
    // A page is no answer, and a form that is not there is none either.
    oa.accept("341003").await;
    wait_for_failure(&oa.server, "341003", "PARAM_ERROR").await;
    oa.weaver.set_fault(Some(Fault::Page));
    oa.accept("341004").await;
    wait_for_failure(&oa.server, "341004", "unexpected body").await;
    let sent = oa.message("341001");
    let forged = Sent { body: sent.body.replace("341001", "341002"), ..sent };
    assert_eq!(send(&oa.server, PATH, &forged).await.0, 401);
    assert_eq!(oa.nac.whitelist(), Vec::<String>::new());
    oa.server.stop().await;
}
