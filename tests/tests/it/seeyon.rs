//! Seeyon, from documents only: approvals are polled, or named by the messages of a hook, and read
//! over REST.

use greenlight_core::ports::{Clock, Enqueue};
use greenlight_core::queued::SweepDue;
use greenlight_core::secret::Secret;
use greenlight_core::sweep::SweepKey;
use greenlight_server::server::Server;
use greenlight_sources::client_kind::ClientKind;
use greenlight_sources::seeyon::Seeyon;
use greenlight_sources::test_request::{Sent, TestEvent};
use greenlight_stores::SystemClock;
use greenlight_testkit::stub::{Fault, OfficeSystem as _, SEEYON_ACCOUNT, StubNac, StubSeeyon};
use greenlight_tests::scene::{NAC_TOKEN, device};
use greenlight_tests::serving::{failures, send, serve_in, wait_for_failure, wait_for_sweep};
use serde_json::{Value, json};
use tempfile::TempDir;

const TEMPLATE: &str = "device_access";

/// Longer than the whole numbers of JavaScript, and negative, as Seeyon's ids are.
const FLOW: i64 = -7_386_401_598_213_497_346;

struct Oa {
    seeyon: StubSeeyon,
    nac: StubNac,
    server: Server,
    secret: Value,
    _folder: TempDir,
}

impl Oa {
    /// With more settings of the source.
    async fn open(settings: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let seeyon = StubSeeyon::start().await.unwrap();
        let nac = StubNac::start(NAC_TOKEN).await.unwrap();
        let flows = format!(
            r#"
            [sources.seeyon]
            kind = "seeyon"
            base_url = "{}"
            {settings}
            [targets.nac]
            connector = "generic"
            url = "{}"
            [[flows]]
            name = "devices"
            definition_id = "{TEMPLATE}"
            fields.mac = {{ kind = "mac", from = [{{ field = "subForm1", column = "MAC 地址" }}] }}
            actions = [{{ target = "nac", operation = "add", for_each = "mac" }}]
            "#,
            seeyon.url(),
            nac.url()
        );
        let secret = json!({"sources": {"seeyon": {"user_name": SEEYON_ACCOUNT.0,
            "password": SEEYON_ACCOUNT.1, "hook_secret": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"}},
            "targets": {"nac": {"token": NAC_TOKEN}}});
        let server = serve_in(folder.path(), &flows, &secret).await;
        Self { seeyon, nac, server, secret, _folder: folder }
    }

    fn key() -> SweepKey {
        SweepKey { source: "seeyon".into(), definition_id: TEMPLATE.into() }
    }

    /// Reads the list, and returns when nothing is left to do.
    async fn poll(&self) {
        let due = SweepDue::new(Self::key(), SystemClock.now());
        self.server.database().enqueue(&due).await.unwrap();
        self.server.drained().await.unwrap();
    }

    /// A message as the hook sends it.
    fn message(&self, id: &str, flow: i64) -> Sent {
        let secret = Secret::parse(&self.secret.to_string()).unwrap();
        let event = TestEvent::Approved {
            event_id: id.to_owned(),
            definition_id: TEMPLATE.to_owned(),
            instance_id: flow.to_string(),
        };
        let seeyon: Seeyon = serde_json::from_value(json!({"base_url": "http://x"})).unwrap();
        seeyon.test_request(&event, secret.source("seeyon").unwrap(), SystemClock.now()).unwrap()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn g21_approvals_of_seeyon_are_polled() {
    let oa = Oa::open("").await;
    wait_for_sweep(oa.server.database(), &Oa::key()).await;
    oa.seeyon.put_flow(FLOW, TEMPLATE, 0, &[&device(1), &device(2)]);
    oa.seeyon.put_flow(FLOW + 1, TEMPLATE, 4, &[&device(3)]);
    oa.seeyon.put_flow(FLOW + 2, TEMPLATE, 15, &[&device(4)]);
    oa.seeyon.put_flow(FLOW + 3, "another_template", 0, &[&device(5)]);
    oa.poll().await;
    assert_eq!(oa.nac.whitelist(), [device(1), device(2)]);
    oa.poll().await;
    assert_eq!(oa.nac.calls(), 2, "one set of effects");
    // A token that has ended is replaced; a version that answers with the bare token is read, too.
    oa.seeyon.put_flow(FLOW + 1, TEMPLATE, 0, &[&device(3)]);
    oa.seeyon.expire_tokens();
    oa.seeyon.set_bare(true);
    oa.poll().await;
    assert_eq!(oa.nac.whitelist(), [device(1), device(2), device(3)]);
    assert_eq!(oa.seeyon.logins(), 2);
    assert_eq!(failures(&oa.server).await, []);
    oa.server.stop().await;
}

/// The form of times in the URL of the list is not documented.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_wants_dates_is_asked_by_dates() {
    for settings in ["", "time_format = \"date\""] {
        let oa = Oa::open(settings).await;
        oa.seeyon.set_wants_dates(true);
        wait_for_sweep(oa.server.database(), &Oa::key()).await;
        oa.seeyon.put_flow(FLOW, TEMPLATE, 0, &[&device(1)]);
        oa.poll().await;
        assert_eq!(oa.nac.whitelist(), [device(1)], "{settings}");
        oa.server.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn g12_a_message_of_the_hook_only_names_the_flow() {
    let oa = Oa::open("receive = \"webhook\"").await;
    let path = "/api/event/seeyon";
    oa.seeyon.put_flow(FLOW, TEMPLATE, 0, &[&device(1)]);
    let sent = oa.message("msg_1", FLOW);
    let forged = Sent { body: sent.body.replace("7346", "7347"), ..sent.clone() };
    assert_eq!(send(&oa.server, path, &forged).await.0, 401);
    for _ in 0..3 {
        assert_eq!(send(&oa.server, path, &sent).await.0, 200);
    }
    oa.server.drained().await.unwrap();
    assert_eq!(oa.nac.whitelist(), [device(1)]);
    assert_eq!(oa.nac.calls(), 1);
    // Of a template that the message does not name truly, nothing is carried out.
    oa.seeyon.put_flow(FLOW + 1, "another_template", 0, &[&device(2)]);
    assert_eq!(send(&oa.server, path, &oa.message("msg_2", FLOW + 1)).await.0, 200);
    let instance = (FLOW + 1).to_string();
    wait_for_failure(&oa.server, &instance, "not in the list of ended flows").await;
    // A page is no answer.
    oa.seeyon.set_fault(Some(Fault::Page));
    oa.seeyon.put_flow(FLOW + 2, TEMPLATE, 0, &[&device(3)]);
    assert_eq!(send(&oa.server, path, &oa.message("msg_3", FLOW + 2)).await.0, 200);
    let instance = (FLOW + 2).to_string();
    wait_for_failure(&oa.server, &instance, "the state of a flow in an unexpected form").await;
    assert_eq!(oa.nac.whitelist(), [device(1)]);
    oa.server.stop().await;
}
