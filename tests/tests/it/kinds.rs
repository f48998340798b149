//! One suite for the sources of every kind: what arrives, what an approval says, and what the
//! office system answers.

use std::collections::BTreeSet;
use std::time::Duration;

use greenlight_admin::audit::find_requests;
use greenlight_core::Timestamp;
use greenlight_core::ports::Clock;
use greenlight_server::server::Server;
use greenlight_sources::test_request::Sent;
use greenlight_stores::SystemClock;
use greenlight_testkit::stub::{
    Change, Fault, OFFICE_SYSTEMS, OfficeSystem, Outcome, StubNac, altered, flows_for_devices,
};
use greenlight_tests::scene::{NAC_TOKEN, device};
use greenlight_tests::serving::{failures, send, serve_in, wait_for_failure};
use http::Method;
use tempfile::TempDir;

const PATH: &str = "/api/event/oa";

/// A source of one kind, with a flow that adds the devices of its form.
struct Installation {
    kind: &'static str,
    system: Box<dyn OfficeSystem>,
    nac: StubNac,
    server: Server,
    _folder: TempDir,
}

impl Installation {
    async fn open(kind: &'static str, system: Box<dyn OfficeSystem>) -> Self {
        let (folder, nac) =
            (tempfile::tempdir().unwrap(), StubNac::start(NAC_TOKEN).await.unwrap());
        let (flows, secret) = flows_for_devices(system.as_ref(), &nac.url(), NAC_TOKEN);
        let server = serve_in(folder.path(), &flows, &secret).await;
        Self { kind, system, nac, server, _folder: folder }
    }

    fn event_at(&self, event_id: &str, number: u32, outcome: Outcome, now: Timestamp) -> Sent {
        let definition_id = self.system.definition_id();
        self.system.event(Change { event_id, definition_id, number, outcome }, now)
    }

    fn event(&self, event_id: &str, number: u32, outcome: Outcome) -> Sent {
        self.event_at(event_id, number, outcome, SystemClock.now())
    }

    /// The status of the answer.
    async fn send(&self, sent: &Sent) -> u16 {
        send(&self.server, PATH, sent).await.0
    }

    async fn accept(&self, sent: &Sent) {
        let (status, body) = send(&self.server, PATH, sent).await;
        assert_eq!(status, 200, "{}: {body}", self.kind);
    }

    /// What was done until nothing is left to do: the whitelist, the calls, and the classes of the
    /// dead letters.
    async fn done(&self) -> (Vec<String>, usize, Vec<String>) {
        self.server.drained().await.unwrap();
        let classes = failures(&self.server).await.into_iter().map(|(class, _)| class).collect();
        (self.nac.whitelist(), self.nac.calls(), classes)
    }
}

async fn each_kind(test: impl AsyncFn(&Installation)) {
    for (kind, start) in OFFICE_SYSTEMS {
        let installation = Installation::open(kind, start().await.unwrap()).await;
        test(&installation).await;
        installation.server.stop().await;
    }
}

/// A new kind has its stub here, and with it this suite.
#[test]
fn every_kind_is_in_the_suite() {
    let stubs: BTreeSet<_> = OFFICE_SYSTEMS.iter().map(|(kind, _)| *kind).collect();
    let kinds: BTreeSet<_> = greenlight_sources::registry::kinds().map(|(kind, _)| kind).collect();
    assert_eq!(stubs, kinds);
}

#[tokio::test(flavor = "multi_thread")]
async fn g20_an_approval_of_every_kind_has_one_set_of_effects() {
    each_kind(async |it| {
        it.system.put(1, Outcome::Approved, &[&device(1), &device(2)]);
        let first = it.event("msg_1", 1, Outcome::Approved);
        let again = it.event("msg_2", 1, Outcome::Approved);
        for sent in [&first, &first, &again] {
            it.accept(sent).await;
        }
        let once = (vec![device(1), device(2)], 2, vec![]);
        assert_eq!(it.done().await, once, "{}", it.kind);
        // A token that the office system does not accept any more is replaced.
        if it.system.expire_tokens() {
            it.system.put(2, Outcome::Approved, &[&device(3)]);
            it.accept(&it.event("msg_3", 2, Outcome::Approved)).await;
            let more = (vec![device(1), device(2), device(3)], 3, vec![]);
            assert_eq!(it.done().await, more, "{}", it.kind);
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn g12_no_kind_carries_out_what_was_not_approved() {
    each_kind(async |it| {
        let mut expected = Vec::new();
        for (number, outcome) in
            [(1, Outcome::Refused), (2, Outcome::Withdrawn), (3, Outcome::Revoked)]
        {
            if !it.system.has(outcome) {
                continue;
            }
            it.system.put(number, outcome, &[&device(number)]);
            // The event says so, and then another one says that it was approved.
            it.accept(&it.event(&format!("msg_{number}"), number, outcome)).await;
            it.accept(&it.event(&format!("msg_{number}0"), number, Outcome::Approved)).await;
            expected.push("not_approved".to_owned());
        }
        let (whitelist, calls, classes) = it.done().await;
        assert_eq!((whitelist, calls), (vec![], 0), "{}", it.kind);
        assert!(!classes.is_empty() && classes.len() <= expected.len(), "{}: {classes:?}", it.kind);
        assert!(classes.iter().all(|class| class == "not_approved"), "{}: {classes:?}", it.kind);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_revoked_after_the_approval_is_removed() {
    each_kind(async |it| {
        if !it.system.has(Outcome::Revoked) {
            return;
        }
        it.system.put(1, Outcome::Approved, &[&device(1)]);
        it.accept(&it.event("msg_1", 1, Outcome::Approved)).await;
        assert_eq!(it.done().await.0, [device(1)], "{}", it.kind);
        it.system.put(1, Outcome::Revoked, &[&device(1)]);
        it.accept(&it.event("msg_2", 1, Outcome::Revoked)).await;
        assert_eq!(it.done().await, (vec![], 1, vec![]), "{}", it.kind);
        // The approval does not come back.
        it.accept(&it.event("msg_1", 1, Outcome::Approved)).await;
        assert_eq!(it.done().await, (vec![], 1, vec![]), "{}", it.kind);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn g15_no_kind_accepts_what_is_not_authentic() {
    each_kind(async |it| {
        it.system.put(1, Outcome::Approved, &[&device(1)]);
        let genuine = it.event("msg_1", 1, Outcome::Approved);
        let with = |change: &dyn Fn(&mut Sent)| {
            let mut sent = genuine.clone();
            change(&mut sent);
            sent
        };
        let old = SystemClock.now().minus(Duration::from_hours(48));
        let early = SystemClock.now().plus(Duration::from_hours(48));
        let not_authentic = [
            ("altered", altered(genuine.clone())),
            ("unsigned", with(&|it| (it.query, it.headers) = (String::new(), Vec::new()))),
            ("old", it.event_at("msg_1", 1, Outcome::Approved, old)),
            ("early", it.event_at("msg_1", 1, Outcome::Approved, early)),
            ("empty", with(&|it| it.body.clear())),
            ("no object", with(&|it| it.body = "[]".into())),
            ("empty object", with(&|it| it.body = "{}".into())),
            ("nested", with(&|it| it.body = "[".repeat(100_000))),
            ("nested XML", with(&|it| it.body = "<a>".repeat(100_000))),
            (
                "entities",
                with(&|it| {
                    it.body = "<!DOCTYPE xml [<!ENTITY a SYSTEM \"file:///etc/passwd\">]><xml>\
                    <Encrypt>&a;</Encrypt></xml>"
                        .into();
                }),
            ),
            ("huge", with(&|it| it.body = "a".repeat(2_000_000))),
            ("another method", with(&|it| it.method = Method::GET)),
        ];
        for (name, sent) in not_authentic {
            let status = it.send(&sent).await;
            assert!((400..500).contains(&status), "{} {name}: {status}", it.kind);
            if ["altered", "unsigned", "old", "early"].contains(&name) {
                assert_eq!(status, 401, "{} {name}", it.kind);
            }
        }
        assert_eq!(it.done().await, (vec![], 0, vec![]), "{}", it.kind);
        it.accept(&genuine).await;
        assert_eq!(it.done().await.0, [device(1)], "{}", it.kind);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_no_flow_wants_is_accepted_and_does_nothing() {
    each_kind(async |it| {
        it.system.put(1, Outcome::Approved, &[&device(1)]);
        let definition_id = "another-form";
        let other =
            Change { event_id: "msg_1", definition_id, number: 1, outcome: Outcome::Approved };
        it.accept(&it.system.event(other, SystemClock.now())).await;
        it.accept(&it.event("msg_2", 1, Outcome::Refused)).await;
        assert_eq!(it.done().await, (vec![], 0, vec![]), "{}", it.kind);
        it.accept(&it.event("msg_3", 1, Outcome::Approved)).await;
        assert_eq!(it.done().await.0, [device(1)], "{}", it.kind);
    })
    .await;
}

/// A form without an address in any row, and one with an address that is none.
#[tokio::test(flavor = "multi_thread")]
async fn a_form_without_a_device_is_a_dead_letter_of_one_class() {
    each_kind(async |it| {
        for (number, macs) in [(1, &[][..]), (2, &["", ""]), (3, &["00:00:5e:00:53"])] {
            it.system.put(number, Outcome::Approved, macs);
            it.accept(&it.event(&format!("msg_{number}"), number, Outcome::Approved)).await;
        }
        let (whitelist, calls, classes) = it.done().await;
        assert_eq!((whitelist, calls), (vec![], 0), "{}", it.kind);
        assert_eq!(classes, ["invalid_form"; 3], "{}", it.kind);
    })
    .await;
}

/// A call that is refused for its rate, and a page with HTTP 200, are no answers: the request
/// waits.
/// For a connector a page is the answer of a wrong address, which no retry corrects.
#[tokio::test(flavor = "multi_thread")]
async fn what_may_pass_is_tried_again() {
    each_kind(async |it| {
        for (number, fault) in [(1, Fault::RateLimited), (2, Fault::Page)] {
            let id = it.system.put(number, Outcome::Approved, &[&device(number)]);
            it.system.set_fault(Some(fault));
            it.accept(&it.event(&format!("msg_{number}"), number, Outcome::Approved)).await;
            wait_for_failure(&it.server, &id, "").await;
            it.system.set_fault(None);
            let found = find_requests(it.server.database(), &id).await.unwrap();
            let failure = found.into_iter().find_map(|history| history.last_failure).unwrap();
            let is_wrong_address = (it.kind, fault) == ("webhook", Fault::Page);
            let class = if is_wrong_address { "source_rejected" } else { "source_unavailable" };
            assert_eq!(failure.class, class, "{} {fault:?}", it.kind);
            let is_dead =
                failures(&it.server).await.iter().any(|(class, _)| *class == failure.class);
            assert_eq!(is_dead, is_wrong_address, "{} {fault:?}", it.kind);
        }
    })
    .await;
}
