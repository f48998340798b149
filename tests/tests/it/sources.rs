//! Several sources at once: Feishu, an office system that is read through a target, and one whose
//! signed message is the authority.

use std::collections::BTreeMap;
use std::process::Command;

use futures_util::future::join_all;
use greenlight_admin::replay::{Replay, ReplaySources, replay};
use greenlight_core::audit::StoredDeadLetter;
use greenlight_core::event::ApprovalEvent;
use greenlight_core::flow::SourceConfigs;
use greenlight_core::lease::Lease;
use greenlight_core::ports::{Claim, Clock, Enqueue, Http};
use greenlight_core::secret::Secret;
use greenlight_core::trace::TraceId;
use greenlight_core::{Decision, Request};
use greenlight_server::server::Server;
use greenlight_sources::registry::Registry;
use greenlight_sources::test_request::{Sent, TestEvent};
use greenlight_stores::SystemClock;
use greenlight_testkit::stub::{
    OFFICE_TOKEN, StubOffice, message_of, secret_document, signed_webhook,
};
use greenlight_tests::built;
use greenlight_tests::scene::{APPROVAL_CODE, NAC_TOKEN, Scene, device};
use greenlight_tests::serving::{operator, serve_in};
use serde_json::{Value, json};
use tempfile::TempDir;

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

const OTHER_SECRET: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";

const THIRD_SECRET: &str = "whsec_dGhpcmR0aGlyZHRoaXJkdGhpcmR0aGlyZA==";

/// Three sources, each with a flow that adds the device of its form.
fn flows(feishu: &str, office: &str, nac: &str) -> String {
    let flow = |source: &str, definition_id: &str, field: &str| {
        format!(
            r#"
            [[flows]]
            name = "{source} {definition_id}"
            source = "{source}"
            definition_id = "{definition_id}"
            fields.mac = {{ kind = "mac", from = [{field}] }}
            actions = [{{ target = "nac", operation = "add", for_each = "mac" }}]
            "#
        )
    };
    let webhook = r#"kind = "webhook"
        event = { instance_id = "/id", definition_id = "/form", status = "/result" }
        instance = { form = "/fields" }
        statuses = { approved = ["agree"], refused = ["refuse"], revoked = ["withdrawn"] }"#;
    let of_office = webhook.replace("instance = {", "instance = { ended_at = \"/ended_at\",");
    format!(
        r#"
        [sources.feishu]
        kind = "feishu"
        base_url = "{feishu}"
        default = true
        [sources.oa]
        read = {{ target = "office", operation = "read" }}
        {of_office}
        [sources.signed]
        authority = "message"
        {webhook}
        [targets.office]
        connector = "generic-instance"
        url = "{office}"
        [targets.nac]
        connector = "generic"
        url = "{nac}"
        {}{}{}{}"#,
        flow("feishu", APPROVAL_CODE, "{ field = \"devices\", column = \"mac\" }"),
        flow("oa", "F-1", "{ field = \"mac\" }"),
        flow("signed", "F-1", "{ field = \"mac\" }"),
        flow("signed", "F-2", "{ field = \"mac\" }"),
    )
}

struct Machine {
    scene: Scene,
    office: StubOffice,
    server: Server,
    registry: Registry,
    secret: Secret,
    folder: TempDir,
}

impl Machine {
    async fn open() -> Self {
        let (scene, folder) = (Scene::set().await, tempfile::tempdir().unwrap());
        let office = StubOffice::start().await.unwrap();
        let flows = flows(&scene.feishu.url(), &office.url(), &scene.nac.url());
        let mut document = secret_document(&scene.app, NAC_TOKEN);
        document["sources"]["oa"] = json!({"secret": [OTHER_SECRET, THIRD_SECRET]});
        document["sources"]["signed"] = json!({"secret": SECRET});
        document["targets"]["office"] = json!({"token": OFFICE_TOKEN});
        let server = serve_in(folder.path(), &flows, &document).await;
        let sources = SourceConfigs::parse(&flows, &|_| None).unwrap();
        let registry = Registry::new(&sources).unwrap();
        let secret = Secret::parse(&document.to_string()).unwrap();
        Self { scene, office, server, registry, secret, folder }
    }

    async fn send(&self, path: &str, sent: &Sent) -> u16 {
        let url = format!("http://{}{path}", self.server.address());
        self.scene.send_to(&url, None, sent).await.status
    }

    fn test_event(&self, source: &str, event_id: &str, instance_id: &str) -> Sent {
        let (_, kind) = self.registry.find(Some(source)).unwrap();
        let event = TestEvent::Approved {
            event_id: event_id.into(),
            definition_id: "F-1".into(),
            instance_id: instance_id.into(),
        };
        let credentials = self.secret.source(source).unwrap();
        kind.test_request(&event, credentials, SystemClock.now()).unwrap()
    }

    /// The calls per device.
    fn calls(&self) -> BTreeMap<String, usize> {
        self.scene.nac.calls_per_device().into_iter().collect()
    }

    /// Runs the command on this machine's data folder; returns the exit status and the output.
    async fn greenlight(&self, words: &[&str]) -> (i32, String) {
        let mut command = Command::new(built("greenlight"));
        command.args(words).arg("--data-dir").arg(self.folder.path().join("data"));
        command.env("GREENLIGHT_LANG", "en");
        let output = tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap();
        let text = [output.stdout, output.stderr].concat();
        (output.status.code().unwrap(), String::from_utf8_lossy(&text).into_owned())
    }
}

fn document(instance_id: &str, mac: &str) -> Value {
    let ended_at = SystemClock.now().as_millis();
    json!({"id": instance_id, "form": "F-1", "result": "agree", "ended_at": ended_at,
        "fields": {"mac": mac}})
}

/// Guarantee 20: the same approval by webhook at each of its URLs, as a retry and as a replay, all
/// at once. The sources have an instance of the same name, which is another one in each.
#[tokio::test(flavor = "multi_thread")]
async fn g20_one_set_of_effects_whatever_way_the_news_came() {
    let machine = Machine::open().await;
    machine.scene.approve("I-1", &[&device(1)]);
    machine.office.put_document("I-1", document("I-1", &device(2)));
    let feishu = machine.scene.event("e-1", "I-1", "APPROVED");
    let feishu_again = machine.scene.event("e-2", "I-1", "APPROVED");
    let oa = machine.test_event("oa", "msg_1", "I-1");
    let oa_retry = machine.test_event("oa", "msg_2", "I-1");
    let signed = signed_webhook(SECRET, "msg_1", &document("I-1", &device(3)));
    let signed_retry = signed_webhook(SECRET, "msg_2", &document("I-1", &device(3)));
    let database = machine.server.database();
    let replayed = async |source: &str, definition_id: &str| {
        let asked = Replay {
            source: Some(source.to_owned()),
            instance_id: "I-1".into(),
            decision: Decision::Approved,
            definition_id: Some(definition_id.to_owned()),
            force: false,
        };
        let now = SystemClock.now();
        // It is refused when the request is at work, or done.
        let _ =
            replay(database, database, &operator(database), &asked, &ReplaySources::default(), now)
                .await;
    };
    let deliveries = [
        ("/api/event", &feishu),
        ("/api/event/", &feishu),
        ("/api/event/feishu", &feishu_again),
        ("/api/event/oa", &oa),
        ("/api/event/oa/", &oa),
        ("/api/event/oa", &oa_retry),
        ("/api/event/signed", &signed),
        ("/api/event/signed/", &signed),
        ("/api/event/signed", &signed_retry),
    ];
    let delivered = join_all(deliveries.map(|(path, sent)| machine.send(path, sent)));
    let (answers, ..) =
        tokio::join!(delivered, replayed("feishu", APPROVAL_CODE), replayed("oa", "F-1"));
    assert_eq!(answers, [200; 9]);
    machine.server.drained().await.unwrap();
    let once: BTreeMap<_, _> = [1, 2, 3].map(|n| (device(n), 1)).into();
    assert_eq!(machine.calls(), once);
    assert_eq!(database.dead_letters().await.unwrap().len(), 0);
    println!("3 sources, 9 deliveries and 2 replays of 3 approvals: one call per device");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_is_not_authentic_reaches_no_queue() {
    let machine = Machine::open().await;
    let signed = signed_webhook(SECRET, "msg_1", &document("I-1", &device(1)));
    let feishu = machine.scene.event("e-1", "I-1", "APPROVED");
    let unsigned = Sent::post(vec![], signed.body.clone());
    let other = signed_webhook(OTHER_SECRET, "msg_1", &document("I-1", &device(1)));
    for (path, sent, status) in [
        ("/api/event/absent", &signed, 404),
        ("/api/event/signed/more", &signed, 404),
        ("/api/event/signed", &unsigned, 401),
        ("/api/event/signed", &other, 401),
        ("/api/event/signed", &feishu, 401),
        ("/api/event/feishu", &signed, 401),
        // The default source is Feishu.
        ("/api/event", &signed, 401),
        ("/api/event/signed", &signed, 200),
    ] {
        assert_eq!(machine.send(path, sent).await, status, "{path}");
    }
    let url = format!("http://{}/api/event/signed?echostr=x", machine.server.address());
    let get = http::Request::get(url).body(bytes::Bytes::new()).unwrap();
    assert_eq!(machine.scene.client.send(get).await.unwrap().status(), 405);
    machine.server.drained().await.unwrap();
    assert_eq!(machine.calls(), [(device(1), 1)].into());
}

/// Guarantee 12 where the source cannot be read: a signed revocation stops an approval that waits,
/// and one that is approved again under its id is not lost in silence.
#[tokio::test(flavor = "multi_thread")]
async fn g12_a_revocation_is_kept_where_the_source_cannot_be_read() {
    let machine = Machine::open().await;
    let database = machine.server.database();
    let signed = |id: &str, status: &str| {
        let mut document = document("I-1", &device(1));
        document["result"] = status.into();
        signed_webhook(SECRET, id, &document)
    };
    let send = async |id: &str, status: &str| {
        assert_eq!(machine.send("/api/event/signed", &signed(id, status)).await, 200);
        machine.server.drained().await.unwrap();
        let letters = database.dead_letters().await.unwrap();
        let class = |letter: &StoredDeadLetter| letter.last_failure.as_ref().unwrap().class.clone();
        letters.iter().map(class).collect::<Vec<_>>()
    };
    // The revocation comes first, as if the approval had waited for its target.
    assert_eq!(send("msg_1", "withdrawn").await, Vec::<String>::new());
    // It is sent again: nothing is new.
    assert_eq!(send("msg_1", "withdrawn").await, Vec::<String>::new());
    assert_eq!(send("msg_2", "agree").await, ["not_approved"]);
    assert_eq!(machine.calls(), BTreeMap::new());
    // A worker died between the claim of a revocation and its record.
    let event = ApprovalEvent {
        tenant: String::new(),
        event_id: "e-5".into(),
        definition_id: "F-1".into(),
        instance_id: "I-5".into(),
        decision: Some(Decision::Revoked),
        occurred_at: None,
        signed: None,
    };
    let (revoked, now) = (Decision::Revoked, SystemClock.now());
    let claimed = Request::new("signed", event, revoked, now, TraceId::random()).unwrap();
    let lease = Lease { id: "dead".into(), until: now };
    database.claim(&claimed, &lease, now).await.unwrap().unwrap();
    let mut document = document("I-5", &device(5));
    for (id, status) in [("msg_5", "withdrawn"), ("msg_6", "agree")] {
        document["result"] = status.into();
        let message = signed_webhook(SECRET, id, &document);
        assert_eq!(machine.send("/api/event/signed", &message).await, 200);
        machine.server.drained().await.unwrap();
    }
    let letters = database.dead_letters().await.unwrap();
    let class = |letter: &StoredDeadLetter| letter.last_failure.as_ref().unwrap().class.clone();
    assert_eq!(letters.iter().map(class).collect::<Vec<_>>(), ["not_approved", "not_approved"]);
    assert_eq!(machine.calls(), BTreeMap::new());
    // The same id in another form is another approval.
    let mut other = self::document("I-1", &device(2));
    other["form"] = "F-2".into();
    let other = signed_webhook(SECRET, "msg_3", &other);
    assert_eq!(machine.send("/api/event/signed", &other).await, 200);
    machine.server.drained().await.unwrap();
    assert_eq!(machine.calls(), [(device(2), 1)].into());
}

/// Guarantee 12 where the source cannot be read: a message that someone put into the queue makes
/// nothing happen without the signature, and a replay has none.
#[tokio::test(flavor = "multi_thread")]
async fn g12_a_message_is_believed_only_with_its_signature() {
    let machine = Machine::open().await;
    let database = machine.server.database();
    let event = ApprovalEvent {
        tenant: String::new(),
        event_id: "e-1".into(),
        definition_id: "F-1".into(),
        instance_id: "I-1".into(),
        decision: Some(Decision::Approved),
        occurred_at: None,
        signed: None,
    };
    let (approved, now) = (Decision::Approved, SystemClock.now());
    let unsigned = Request::new("signed", event, approved, now, TraceId::random()).unwrap();
    database.enqueue(&unsigned).await.unwrap();
    // An authentic message of one approval does not speak for another.
    let sent = signed_webhook(SECRET, "msg_1", &document("I-2", &device(2)));
    let message = message_of(&sent);
    for instance_id in ["I-3", "I-4"] {
        let mut signed = message.clone();
        if instance_id == "I-4" {
            let other = signed_webhook(OTHER_SECRET, "msg_1", &document("I-4", &device(4)));
            signed.body = message_of(&other).body;
        }
        let forged =
            Request { instance_id: instance_id.into(), signed: Some(signed), ..unsigned.clone() };
        database.enqueue(&forged).await.unwrap();
    }
    machine.server.drained().await.unwrap();
    assert_eq!(machine.calls(), BTreeMap::new());
    let letters = database.dead_letters().await.unwrap();
    let class = |letter: &StoredDeadLetter| {
        let request = Request::parse(&letter.body).unwrap();
        (request.instance_id, letter.last_failure.as_ref().unwrap().class.clone())
    };
    let classes: BTreeMap<_, _> = letters.iter().map(class).collect();
    let expected =
        [("I-1", "source_rejected"), ("I-3", "not_approved"), ("I-4", "source_rejected")];
    assert_eq!(classes, expected.map(|(a, b)| (a.to_owned(), b.to_owned())).into());
    let of_other = letters.iter().find(|letter| class(letter).0 == "I-3").unwrap();

    // The message is form content: it is not shown.
    for format in [&[][..], &["--json"]] {
        let show = [&["dlq", "show", of_other.id.as_str()], format].concat();
        let (status, said) = machine.greenlight(&show).await;
        assert_eq!(status, 0, "{said}");
        assert!(said.contains("I-3") && said.contains("hidden"), "{said}");
        assert!(!said.contains(&message.body), "{said}");
    }
    let replay = ["replay", "I-2", "--source", "signed", "--definition-id", "F-1"];
    let (status, said) = machine.greenlight(&replay).await;
    assert_eq!(status, 1, "{said}");
    assert!(said.contains("its signed message is the authority"), "{said}");
    let secrets = machine.folder.path().join("secrets.json");
    let subscribe = ["subscribe", "F-1", "--source", "oa", "--secrets", secrets.to_str().unwrap()];
    let (status, said) = machine.greenlight(&subscribe).await;
    assert_eq!(status, 1, "{said}");
    assert!(said.contains("not subscribed to through an API"), "{said}");
}
