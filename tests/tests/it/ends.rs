//! How access ends on one machine: by a withdrawal, by time, and by an operator, with the command
//! that the operator uses.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use greenlight_admin::dead_letters::{self, DeadLetterError, Pace, Which};
use greenlight_admin::erase::erase;
use greenlight_admin::grants::{self, GrantError, NewGrant};
use greenlight_admin::operator::Operator;
use greenlight_admin::replay::{Replay, ReplayError, ReplaySources, replay};
use greenlight_admin::stores::Stores;
use greenlight_core::act::{Act, ActKind};
use greenlight_core::explain::Explanation;
use greenlight_core::flow::Flows;
use greenlight_core::grant::{GrantKey, GrantRecord, Phase};
use greenlight_core::operator::{ActStore, BlockStore, DeadLetterQueue, StoreFuture};
use greenlight_core::ports::{Clock, FindNamesInUse, KeepGrants, LedgerError};
use greenlight_core::subject::Subject;
use greenlight_core::{Decision, Timestamp};
use greenlight_server::server::Server;
use greenlight_stores::SystemClock;
use greenlight_testkit::stub::{at_feishu, form_of, secret_document};
use greenlight_testkit::subject::device as subject;
use greenlight_tests::built;
use greenlight_tests::scene::{APPROVAL_CODE, NAC_TOKEN, Scene, device};
use greenlight_tests::serving::{approve_at, deliver_status, serve_in};
use serde_json::{Value, json};
use tempfile::TempDir;

struct Machine {
    scene: Scene,
    server: Server,
    folder: TempDir,
}

impl Machine {
    /// With the keys of `[flows.grant]`.
    async fn open(grant: &str) -> Self {
        let (scene, folder) = (Scene::set().await, tempfile::tempdir().unwrap());
        let flows = include_str!("../../../infra/flows.toml")
            .replace("${NAC_URL}", &scene.nac.url())
            .replace("${APPROVAL_CODE}", APPROVAL_CODE)
            .replace("[[flows.actions]]", &format!("[flows.grant]\n{grant}\n[[flows.actions]]"));
        let flows = at_feishu(&flows, &scene.feishu.url());
        let secret = secret_document(&scene.app, NAC_TOKEN);
        let server = serve_in(folder.path(), &flows, &secret).await;
        Self { scene, server, folder }
    }

    async fn approve(&self, instance: &str, devices: &[u32]) {
        let devices: Vec<_> = devices.iter().map(|number| device(*number)).collect();
        let form = form_of("", &devices.iter().map(String::as_str).collect::<Vec<_>>());
        approve_at(&self.server, &self.scene, instance, &form).await;
    }

    async fn withdraw(&self, instance: &str) {
        self.scene.feishu.revert(instance);
        let event = format!("r-{instance}");
        deliver_status(&self.server, &self.scene, &event, (instance, "REVERTED")).await;
    }

    fn whitelist(&self) -> Vec<String> {
        self.scene.nac.whitelist()
    }

    /// Runs the command, which must end with this status, and returns its output.
    async fn greenlight(&self, status: i32, words: &[&str]) -> String {
        let mut command = std::process::Command::new(built("greenlight"));
        command.args(words).arg("--data-dir").arg(self.folder.path().join("data"));
        command.env("GREENLIGHT_LANG", "en").env("USER", "li").env_remove("SUDO_USER");
        let output = tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap();
        let text = [output.stdout, output.stderr].concat();
        let text = String::from_utf8_lossy(&text).into_owned();
        assert_eq!(output.status.code(), Some(status), "{words:?}: {text}");
        text
    }

    async fn classes(&self) -> Vec<String> {
        let letters = self.server.database().dead_letters().await.unwrap();
        letters.iter().map(|letter| letter.class().to_owned()).collect()
    }

    async fn acts(&self) -> Vec<Act> {
        let mut acts = self.server.database().acts(99, FOREVER).await.unwrap();
        acts.reverse();
        acts
    }

    async fn grant(&self, number: u32) -> GrantRecord {
        let key = GrantKey::new("nac", &subject(&device(number)));
        self.server.database().change_grant(&key, |it| (it, ())).await.unwrap().0
    }
}

const FOREVER: Timestamp = Timestamp::from_millis(i64::MAX);

/// Approved and withdrawn, with the events in either order, and again: what nothing holds is
/// removed, once.
#[tokio::test]
async fn g22_a_withdrawal_removes_what_no_other_approval_holds() {
    let machine = Machine::open("").await;
    machine.approve("I-1", &[1, 2]).await;
    machine.approve("I-2", &[2]).await;
    assert_eq!(machine.whitelist(), [device(1), device(2)]);
    machine.withdraw("I-1").await;
    assert_eq!(machine.whitelist(), [device(2)], "another approval holds it");
    machine.withdraw("I-2").await;
    machine.withdraw("I-1").await;
    assert_eq!(machine.whitelist(), Vec::<String>::new());
    assert_eq!(machine.scene.nac.removals(), [device(1), device(2)], "each once");
    // The withdrawal comes first.
    let form = form_of("", &[&device(3)]);
    machine.scene.feishu.put_instance("I-3", APPROVAL_CODE, "APPROVED", &form);
    machine.withdraw("I-3").await;
    deliver_status(&machine.server, &machine.scene, "e-3", ("I-3", "APPROVED")).await;
    assert_eq!(machine.whitelist(), Vec::<String>::new());
    assert_eq!(machine.classes().await, Vec::<String>::new(), "that is no failure");
    let audit = machine.greenlight(0, &["audit", "I-3"]).await;
    assert!(audit.contains("withdrawn"), "{audit}");
    let audit = machine.greenlight(0, &["audit", "I-1"]).await;
    for part in ["ended: the approval was revoked", "removed at nac; an open session may last"] {
        assert!(audit.contains(part), "{part}: {audit}");
    }
    println!("3 approvals withdrawn, 2 removals, 0 dead letters");
}

/// A person leaves: the event is confirmed at the source, and every access of the person ends.
#[tokio::test]
async fn g22_what_a_person_held_who_left_is_removed() {
    let machine = Machine::open("").await;
    machine.approve("I-1", &[1, 2]).await;
    let url = format!("http://{}/api/event", machine.server.address());
    let leave = async |event: &str, person: &str| {
        let event = machine.scene.app.person_left(event, person, SystemClock.now().as_millis());
        assert_eq!(machine.scene.send_to(&url, None, &event).await.status, 200);
    };
    leave("p-2", "ou_stranger").await;
    machine.server.drained().await.unwrap();
    assert_eq!(machine.classes().await, ["not_approved"], "the source does not know the person");
    machine.scene.feishu.leave("ou_stub");
    leave("p-3", "ou_stub").await;
    machine.scene.nac.wait_for_whitelist(&[]).await;
    let audit = machine.greenlight(0, &["audit", "I-1", "--json"]).await;
    let audit: Value = serde_json::from_str(&audit).unwrap();
    for end in audit["ends"].as_array().unwrap() {
        assert_eq!(
            (&end["reason"], &end["session"]),
            (&json!("left"), &json!("may_last")),
            "{end}"
        );
    }
    assert_eq!(audit["ends"].as_array().unwrap().len(), 2);
    println!("1 person left, 2 removals, 1 event that the source does not confirm");
}

/// Target and source are renamed in flows.toml: without `renamed_from` the check fails, and nothing
/// is lost; with it the withdrawal removes what was given under the earlier name.
#[tokio::test]
async fn g22_access_goes_on_under_the_name_that_its_target_began_with() {
    let Machine { scene, server, folder } = Machine::open("").await;
    approve_at(&server, &scene, "I-1", &form_of("", &[&device(1)])).await;
    server.stop().await;
    let file = folder.path().join("flows.toml");
    let flows = std::fs::read_to_string(&file).unwrap();
    let flows = flows
        .replace("[targets.nac]", "[targets.campus]")
        .replace("target = \"nac\"", "target = \"campus\"")
        .replace("[sources.feishu]", "[sources.office]");
    let secret = secret_document(&scene.app, NAC_TOKEN);
    let renamed = flows
        .replace("[targets.campus]", "[targets.campus]\nrenamed_from = \"nac\"")
        .replace("[sources.office]", "[sources.office]\nrenamed_from = \"feishu\"");
    // The server does not start without credentials; the secret has those of the earlier names.
    let server = serve_in(folder.path(), &renamed, &secret).await;
    let machine = Machine { scene, server, folder };
    let validate = ["flows", "--flows", file.to_str().unwrap(), "validate"];
    machine.greenlight(0, &validate).await;
    std::fs::write(&file, &flows).unwrap();
    let said = machine.greenlight(1, &validate).await;
    for name in ["targets.nac", "sources.feishu"] {
        let expected = format!("`{name}` is missing in flows.toml, and 1 grant(s)");
        assert!(said.contains(&expected), "{said}");
    }
    let without: Flows = Flows::parse(&flows, &|_| None).unwrap();
    let used = machine.server.database().names_in_use().await.unwrap();
    assert_eq!(used.missing_in(&without).len(), 2);

    machine.approve("I-2", &[1]).await;
    machine.withdraw("I-1").await;
    assert_eq!(machine.whitelist(), [device(1)], "the second approval holds it, too");
    machine.withdraw("I-2").await;
    assert_eq!(machine.whitelist(), Vec::<String>::new());
    let used = machine.server.database().names_in_use().await.unwrap();
    assert_eq!(used.missing_in(&without), [], "nothing is held any more");
    println!("2 approvals held and withdrawn across a rename of target and source");
}

/// The target is down when the access ends: the ledger knows what is left, and a tick that finds it
/// makes the next attempt.
#[tokio::test]
async fn g23_a_removal_goes_on_after_the_target_was_away() {
    let machine = Machine::open("").await;
    machine.approve("I-1", &[1]).await;
    machine.scene.nac.set_down(true);
    machine.withdraw("I-1").await;
    assert_eq!(machine.grant(1).await.phase(), Phase::Ending);
    let listed = machine.greenlight(0, &["grants"]).await;
    assert!(listed.contains("to be removed"), "{listed}");
    assert_eq!(machine.classes().await, Vec::<String>::new());
    machine.scene.nac.set_down(false);
    // Instead of the wait until then: the circuit and the grant are asked at once.
    machine.retry_now(1).await;
    machine.scene.nac.wait_for_whitelist(&[]).await;
    machine.server.drained().await.unwrap();
    assert_eq!(machine.grant(1).await.phase(), Phase::Ended);
    let listed = machine.greenlight(0, &["grants"]).await;
    assert!(listed.contains("Nothing is granted"), "{listed}");
}

impl Machine {
    /// Lets the time pass that a removal waits.
    async fn retry_now(&self, number: u32) {
        use greenlight_core::breaker::Breaker;
        use greenlight_core::operator::RequestStore;
        use greenlight_core::ports::KeepBreakers;
        let database = self.server.database();
        database.change_breaker("nac", |_| (Breaker::default(), ())).await.unwrap();
        let key = GrantKey::new("nac", &subject(&device(number)));
        database.enqueue_due(&key, SystemClock.now()).await.unwrap();
    }
}

/// An operator gives, extends, ends and forbids access, and puts what was refused right.
#[tokio::test(flavor = "multi_thread")]
async fn an_operator_grants_extends_ends_and_blocks() {
    let machine = Machine::open("").await;
    let mac = device(1);
    let nac = &machine.scene.nac;
    let why = ["--reason", "a visitor"];
    let grant =
        ["grant", "0000.5e00.5301", "--target", "nac", "--owner", "ou_guest", "--for", "4h"];
    let said = machine.greenlight(0, &[&grant[..], &why].concat()).await;
    assert!(said.contains(&mac) && said.contains("ou_guest"), "{said}");
    nac.wait_for_whitelist(std::slice::from_ref(&mac)).await;
    machine.server.drained().await.unwrap();
    let listed = machine.greenlight(0, &["grants", &mac, "--json"]).await;
    let listed: Value = serde_json::from_str(&listed).unwrap();
    let hold = &listed["holds"][0];
    assert_eq!((&hold["state"], &hold["owner"]), (&"active".into(), &"ou_guest".into()));
    assert!(hold["approval"].as_str().unwrap().starts_with("operator:"), "{listed}");
    let first_end = machine.grant(1).await.lasts_until().unwrap();

    let extend = ["extend", &mac, "--target", "nac", "--for", "2days"];
    machine.greenlight(0, &[&extend[..], &why].concat()).await;
    machine.server.drained().await.unwrap();
    let extended = machine.grant(1).await.lasts_until().unwrap();
    assert!(extended.since(first_end) > Duration::from_hours(43), "{extended}");

    let end = ["end", &mac, "--yes"];
    let said = machine.greenlight(0, &[&end[..], &why].concat()).await;
    assert!(said.contains("the access is being removed"), "{said}");
    nac.wait_for_whitelist(&[]).await;
    machine.greenlight(3, &[&end[..], &why].concat()).await;

    // What is blocked loses its access, and an approval does not give it back.
    machine.approve("I-1", &[1, 2]).await;
    assert_eq!(machine.whitelist(), [device(1), device(2)]);
    let block = ["block", &mac, "--yes", "--reason", "stolen"];
    let said = machine.greenlight(0, &block).await;
    assert!(said.contains("is blocked"), "{said}");
    nac.wait_for_whitelist(&[device(2)]).await;
    machine.approve("I-2", &[1]).await;
    assert_eq!(
        (machine.whitelist(), machine.classes().await),
        (vec![device(2)], vec!["blocked".into()])
    );
    let said = machine.greenlight(1, &[&grant[..], &why].concat()).await;
    assert!(said.contains("stolen"), "{said}");
    let blocks = machine.greenlight(0, &["blocks"]).await;
    assert!(blocks.contains("stolen") && blocks.contains("li@"), "{blocks}");

    machine.greenlight(0, &["unblock", &mac, "--reason", "found again"]).await;
    machine.greenlight(0, &["dlq", "redrive", "--class", "blocked", "--yes"]).await;
    nac.wait_for_whitelist(&[device(1), device(2)]).await;
    machine.server.drained().await.unwrap();

    // The applicant leaves.
    let grant = machine.grant(1).await;
    let owner = grant.holds.values().find(|hold| hold.is_live()).unwrap().terms.owner.clone();
    let would = machine.greenlight(0, &["offboard", &owner, "--dry-run"]).await;
    assert_eq!(would.matches("would end").count(), 2, "{would}");
    assert_eq!(machine.whitelist().len(), 2);
    machine.greenlight(0, &["offboard", &owner, "--yes"]).await;
    nac.wait_for_whitelist(&[]).await;

    let acts = machine.acts().await;
    let kinds: Vec<_> = acts.iter().map(|act| act.what).collect();
    let expected = [
        ActKind::Grant,
        ActKind::Extend,
        ActKind::End,
        ActKind::Block,
        ActKind::Unblock,
        ActKind::Redrive,
        ActKind::Offboard,
    ];
    assert_eq!(kinds, expected);
    assert!(acts.iter().all(|act| act.who.starts_with("li@")), "{acts:?}");
    assert_eq!(acts[3].why.as_deref(), Some("stolen"));
    let shown = machine.greenlight(0, &["acts"]).await;
    assert!(shown.contains("stolen") && shown.contains("redrive"), "{shown}");
    let of_mac = machine.greenlight(0, &["audit", &mac]).await;
    for part in ["block", "stolen", "extend", "redrive by li@"] {
        assert!(of_mac.contains(part), "{part}: {of_mac}");
    }
    let of_approval = machine.greenlight(0, &["audit", "I-2"]).await;
    assert!(of_approval.contains("redrive by li@"), "{of_approval}");
    println!("7 acts, all of them recorded with who and why");
}

/// What a forced replay does again stays in the record of the act.
#[tokio::test]
async fn g26_a_forced_replay_keeps_what_was_done_before_it() {
    let machine = Machine::open("").await;
    machine.approve("I-1", &[1]).await;
    machine.greenlight(0, &["replay", "I-1", "--force", "--yes"]).await;
    machine.server.drained().await.unwrap();
    let acts = machine.acts().await;
    let before: Vec<_> = acts[0].effects.keys().map(|key| key.as_str().to_owned()).collect();
    assert_eq!(before, [format!("nac/add/mac:{}", device(1))]);
    let audit = machine.greenlight(0, &["audit", "I-1"]).await;
    let lines_of = |what: &str| audit.lines().filter(|line| line.contains(what)).count();
    assert_eq!((lines_of("add "), lines_of("before the forced replay")), (2, 1), "{audit}");
    let audit = machine.greenlight(0, &["audit", "I-1", "--json"]).await;
    let audit: Value = serde_json::from_str(&audit).unwrap();
    assert_eq!(audit["acts"][0]["what"], "forced_replay");
    assert_eq!(audit["acts"][0]["effects_before"][0]["outcome"], "done");
    println!("1 forced replay, 1 effect kept from before it");
}

/// A person is erased: neither requests nor ended access name the person, and the acts stay.
#[tokio::test]
async fn g26_erase_replaces_a_person_by_a_pseudonym() {
    let machine = Machine::open("").await;
    machine.approve("I-1", &[1]).await;
    let grant = ["grant", &device(2), "--target", "nac", "--owner", "ou_stub", "--for", "4h"];
    machine.greenlight(0, &[&grant[..], &["--reason", "a visitor"]].concat()).await;
    machine.scene.nac.wait_for_whitelist(&[device(1), device(2)]).await;
    let erase = ["erase", "ou_stub", "--reason", "asked for", "--yes"];
    let said = machine.greenlight(1, &erase).await;
    assert!(said.contains("holds access"), "{said}");
    machine.greenlight(0, &["offboard", "ou_stub", "--yes"]).await;
    machine.scene.nac.wait_for_whitelist(&[]).await;
    machine.server.drained().await.unwrap();
    let would = machine.greenlight(0, &["erase", "ou_stub", "--reason", "x", "--dry-run"]).await;
    assert!(would.contains("1 request(s)"), "{would}");
    assert!(machine.greenlight(0, &["audit", "I-1"]).await.contains("ou_stub"));

    let said = machine.greenlight(0, &[&erase[..], &["--json"]].concat()).await;
    let said: Value = serde_json::from_str(&said).unwrap();
    let pseudonym = said["pseudonym"].as_str().unwrap();
    let audit = machine.greenlight(0, &["audit", "I-1"]).await;
    assert!(audit.contains(pseudonym) && !audit.contains("ou_stub"), "{audit}");
    let found = machine.greenlight(0, &["audit", pseudonym]).await;
    assert!(found.contains("I-1"), "{found}");
    for number in [1, 2] {
        let record = serde_json::to_string(&machine.grant(number).await).unwrap();
        assert!(record.contains(pseudonym) && !record.contains("ou_stub"), "{record}");
    }
    let kinds: Vec<_> = machine.acts().await.iter().map(|act| act.what).collect();
    assert_eq!(kinds, [ActKind::Grant, ActKind::Offboard, ActKind::Erase], "no act is erased");
    let acts = machine.acts().await;
    assert_eq!(acts[2].on, pseudonym, "the act does not tell whose it is");
    println!("1 person erased from 1 request and 2 grants; 3 acts stay");
}

/// What cannot be given is refused with its reason, and nothing is recorded.
#[tokio::test]
async fn an_act_that_cannot_be_done_is_refused_with_its_reason() {
    let machine = Machine::open("").await;
    let why = ["--reason", "a visitor", "--owner", "ou_guest"];
    let mac = device(1);
    for (words, reason) in [
        (&["--target", "nca", "--for", "4h"][..], "there is no target `nca`; there is: nac"),
        (&["--target", "nac", "--until", "2020-01-01T00:00:00Z"], "the end is not in the future"),
        (&["--target", "nac", "--for", "4h", "--operation", "remove"], "name one of the granting"),
        (&["--target", "nac", "--for", "4h", "--kind", "person"], "not of the kind `person`"),
    ] {
        let said = machine.greenlight(1, &[&["grant", &mac][..], words, &why].concat()).await;
        assert!(said.contains(reason), "{said}");
    }
    machine
        .greenlight(2, &["grant", &mac, "--target", "nac", "--owner", "o", "--reason", "x"])
        .await;
    machine.greenlight(2, &["end", &mac, "--yes", "--reason", "  "]).await;
    assert_eq!((machine.acts().await, machine.whitelist()), (vec![], vec![]));
}

/// A store of acts that takes none.
#[derive(Debug)]
struct NoActs;

impl ActStore for NoActs {
    fn record_act<'a>(&'a self, _: &'a Act) -> StoreFuture<'a, ()> {
        let error = LedgerError(Explanation::quoted("the disk is full"));
        Box::pin(async move { Err(error.into()) })
    }

    fn acts(&self, _: usize, _: Timestamp) -> StoreFuture<'_, Vec<Act>> {
        Box::pin(async { Ok(Vec::new()) })
    }
}

fn is_refused<T: fmt::Debug>(result: Result<T, impl fmt::Display>) {
    let error = result.map_err(|error| error.to_string()).unwrap_err();
    assert!(error.contains("the disk is full"), "{error}");
}

/// An act that cannot be recorded is not done.
#[tokio::test]
async fn g26_nothing_is_done_whose_act_is_not_recorded() {
    let machine = Machine::open("").await;
    machine.approve("I-1", &[1]).await;
    let bad = form_of("", &["00:00:5e:00:53:0O"]);
    approve_at(&machine.server, &machine.scene, "I-2", &bad).await;
    let database = machine.server.database();
    let stores = Stores::of(database.clone());
    let operator = Operator { who: "li@host".into(), acts: Arc::new(NoActs) };
    let (mac, now) = (subject(&device(1)), SystemClock.now());
    let before = machine.grant(1).await;
    let until = now.plus(Duration::from_hours(1));
    let new = NewGrant {
        target: "nac".into(),
        subject: Subject::parse(mac.kind(), &device(2)).unwrap(),
        operation: "add".into(),
        revoked_by: Some("remove".into()),
        owner: "ou_1".into(),
        until,
    };
    is_refused(grants::grant(&stores, &operator, &new, "x", now).await);
    let extended = NewGrant { subject: mac.clone(), ..new.clone() };
    is_refused(grants::extend(&stores, &operator, extended, "x", now).await);
    is_refused(grants::end(&stores, &operator, (mac.value(), None), "x", now).await);
    is_refused(grants::block(&stores, &operator, (&mac, &[]), None, "x", now).await);
    is_refused(grants::unblock(&stores, &operator, &mac, "x", now).await);
    let owner = before.holds.values().next().unwrap().terms.owner.clone();
    is_refused(grants::offboard(&stores, &operator, &owner, false, now).await);
    is_refused(erase(&stores, &operator, "ou_of_none", "x", false, now).await);
    let letters = database.dead_letters().await.unwrap();
    let which = Which::Ids(vec![letters[0].id.clone()]);
    let pace = Pace { is_dry: false, per_second: 100 };
    let queue: &dyn DeadLetterQueue = database;
    let redriven: Result<(), DeadLetterError> =
        dead_letters::redrive(queue, &operator, &which, pace, &SystemClock, |_| {}).await;
    is_refused(redriven);
    is_refused(dead_letters::discard(queue, &operator, &letters[0].id, "x", &SystemClock).await);
    for (instance_id, force) in [("I-1", true), ("I-2", false)] {
        let asked = Replay {
            source: None,
            instance_id: instance_id.into(),
            decision: Decision::Approved,
            definition_id: None,
            force,
        };
        let replayed: Result<_, ReplayError> =
            replay(database, database, &operator, &asked, &ReplaySources::default(), now).await;
        is_refused(replayed);
    }
    machine.server.drained().await.unwrap();
    assert_eq!(machine.grant(1).await, before);
    assert_eq!(machine.whitelist(), [device(1)]);
    assert_eq!(machine.scene.nac.calls(), 1);
    assert_eq!(database.dead_letters().await.unwrap(), letters);
    assert_eq!(database.blocks(9).await.unwrap(), []);
    let dry = grants::offboard(&stores, &operator, &owner, true, now).await;
    assert!(matches!(&dry, Ok(would) if would.len() == 1), "{dry:?}");
    let absent = grants::end(&stores, &operator, ("00:00:5e:00:53:99", None), "x", now).await;
    assert!(matches!(absent, Err(GrantError::NotGranted(_))), "{absent:?}");
    println!("11 acts without a record, none done");
}
