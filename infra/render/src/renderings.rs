//! The output of commands for fixed data: one snapshot for each rendering.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use greenlight_admin::audit::Related;
use greenlight_admin::dead_letters::{DeadLetterError, RedriveResult, Redriven, Seen};
use greenlight_admin::replay::ReplayError;
use greenlight_admin::status::SystemStatus;
use greenlight_core::act::{Act, ActKind};
use greenlight_core::audit::{
    Elsewhere, Grant, LastFailure, RequestHistory, RequestStatus, StoredDeadLetter,
};
use greenlight_core::breaker::{Breaker, BreakerState};
use greenlight_core::explain::{Explain, Explanation};
use greenlight_core::extract::Problem;
use greenlight_core::grant::{EndReason, GrantRecord, HoldId, Outcome, Removed, Session, Terms};
use greenlight_core::lease::Lease;
use greenlight_core::ledger::{Effect, EffectKey, EffectKind, EffectOutcome, State};
use greenlight_core::mac::MacError;
use greenlight_core::operator::{QueueStatus, Unwanted};
use greenlight_core::retry::RetryState;
use greenlight_core::sweep::{self, Sweep, SweepKey};
use greenlight_core::{Class, Timestamp};
use greenlight_testkit::prose::english_runs;
use serde_json::{Value, json};

use crate::format::OutputFormat::{self, Json, Text};
use crate::language::Language::{Chinese, English};
use crate::reasons::next_step;
use crate::{audit, dlq, grants as grants_of, replay, status};

/// 2026-11-28T07:24:10Z.
const NOW: Timestamp = Timestamp::from_millis(1_795_850_650_000);

fn ago(seconds: u64) -> Timestamp {
    NOW.minus(Duration::from_secs(seconds))
}

fn last_failure(class: &str, cause: Explanation) -> LastFailure {
    let target = Some("nac".to_owned());
    LastFailure { class: class.to_owned(), cause, target, at: ago(30) }
}

/// A cause that a worker recorded.
fn recorded(cause: Value) -> Explanation {
    serde_json::from_value(cause).unwrap()
}

/// A request for two devices, of which one was done.
fn history(instance: &str, state: State, last_failure: Option<LastFailure>) -> RequestHistory {
    let effect = Effect { kind: EffectKind::Grant, outcome: EffectOutcome::Done, at: ago(40) };
    RequestHistory {
        key: format!("feishu#7C468A54#{instance}#approved"),
        definition_id: "7C468A54".into(),
        event_id: format!("event-of-{instance}"),
        received_at: Some(ago(60)),
        first_claimed_at: Some(ago(59)),
        flow: Some("device-whitelist".into()),
        applicant: Some("ou_1".into()),
        form_number: Some("202611280001".into()),
        state,
        attempt: 2,
        effects: BTreeMap::from([(EffectKey::from("nac/add/mac:00:00:5e:00:53:01"), effect)]),
        last_failure,
        retry: None,
    }
}

fn succeeded() -> RequestHistory {
    history("I-1", State::Done { at: ago(39), by: "lease".into() }, None)
}

fn failed() -> RequestHistory {
    let error = MacError::LookAlike { letter: 'O', digit: '0', position: 16 };
    let problem =
        Problem::Entry { field: "mac".into(), number: 2, position: 1, error: error.explain() };
    let failure = last_failure("invalid_form", problem.explain());
    let state = State::Failed { at: ago(30), by: "lease".into(), reason: problem.to_string() };
    history("I-2", state, Some(failure))
}

fn retrying() -> RequestHistory {
    let released = Lease { id: "lease".into(), until: Timestamp::default() };
    let failure = last_failure(
        "target_timeout",
        recorded(json!({
            "code": "call.answered",
            "text": "`add` of 00:00:5e:** at target `nac` was answered HTTP 503",
            "values": {
                "at": {
                    "code": "operation.subject",
                    "values": {
                        "operation": "add",
                        "subject": "00:00:5e:**",
                        "step": {"code": "step.only", "values": {"target": "nac"}},
                    },
                },
                "status": "503",
            },
        })),
    );
    let retry = RetryState { ended_at: ago(30), wait_ms: 90_000, ..RetryState::default() };
    let history = history("I-3", State::Running(released), Some(failure));
    RequestHistory { retry: Some(retry), ..history }
}

fn running() -> RequestHistory {
    let lease = Lease { id: "lease".into(), until: NOW.plus(Duration::from_secs(5)) };
    history("I-4", State::Running(lease), None)
}

fn letters() -> Vec<StoredDeadLetter> {
    let letter = |id: &str, last_failure| StoredDeadLetter {
        id: id.to_owned(),
        body: format!("{{\"no\": \"request {id}\"}}"),
        last_failure,
        receive_count: Some(7),
        first_received: Some(ago(3_600)),
    };
    let failure = last_failure(
        "target_auth_failed",
        recorded(json!({
            "code": "call.unauthorized",
            "text": "target `nac` rejected the credentials (HTTP 401)",
            "values": {"target": "nac", "status": "401"},
        })),
    );
    vec![
        letter("11", Some(failure)),
        StoredDeadLetter { receive_count: None, ..letter("12", None) },
    ]
}

/// A JSON document with sorted keys: their order depends on features of other crates.
fn sorted(json: &str) -> String {
    fn of(value: Value) -> Value {
        match value {
            Value::Object(map) => {
                let sorted: BTreeMap<_, _> = map.into_iter().collect();
                Value::Object(sorted.into_iter().map(|(key, value)| (key, of(value))).collect())
            }
            Value::Array(values) => values.into_iter().map(of).collect(),
            value => value,
        }
    }
    of(serde_json::from_str(json).unwrap()).to_string()
}

/// Compares a rendering with its snapshots: English and JSON, and Chinese, which has no English.
fn check(name: &str, render: impl Fn(OutputFormat) -> String) {
    let (english, chinese) = (render(Text(English)), render(Text(Chinese)));
    let json = render(Json).lines().map(sorted).collect::<Vec<_>>().join("\n");
    insta::assert_snapshot!(name, format!("{english}\n{json}"));
    insta::assert_snapshot!(format!("{name}_zh"), chinese);
    assert_eq!(english_runs(&chinese), [""; 0], "{chinese}");
}

#[test]
fn audit() {
    let histories = [succeeded(), failed(), retrying(), running()];
    let mut replayed = Act::new("li@desk", ActKind::ForcedReplay, "I-1", None, ago(30));
    replayed.effects = succeeded().effects;
    let blocked =
        Act::new("li@desk", ActKind::Block, "mac:00:00:5e:00:53:01", Some("lost"), ago(5));
    let acts = [(replayed, "a1"), (blocked, "a2")].map(|(act, id)| Act { id: id.into(), ..act });
    let hold = HoldId::of_approval("feishu", "A-1", "I-1");
    let mut record = held_by(&[("I-1", None)]).end(&hold, EndReason::Withdrawn, ago(20));
    let removed = Some(Removed { at: ago(15), session: Some(Session::MayLast) });
    record.holds.get_mut(&hold).unwrap().removed = removed;
    let (target, subject) = ("nac".to_owned(), "mac:00:00:5e:00:53:01".to_owned());
    let grants = vec![Grant { target, subject, record }];
    let related = Related { acts: acts.into(), grants };
    check("audit", |format| audit::render(&histories, &related, NOW, format));
}

/// The record of a grant that these approvals hold, each until its time.
fn held_by(approvals: &[(&str, Option<Timestamp>)]) -> GrantRecord {
    let lease = Lease { id: "lease".into(), until: NOW };
    approvals.iter().fold(GrantRecord::default(), |record, (instance, until)| {
        let (hold, at) = (HoldId::of_approval("feishu", "A-1", instance), ago(40));
        let (owner, applicant, until) = ("ou_2".into(), "ou_1".into(), *until);
        let terms = Terms { owner, applicant, until, ..Terms::default() };
        let (record, begun) = record.begin_grant(&hold, &terms, &lease, at);
        let (record, settled) =
            record.settle(&lease.id, begun.unwrap(), Outcome::Granted { hold }, at);
        settled.unwrap();
        record
    })
}

#[test]
fn grants() {
    let grant = Grant {
        target: "nac".into(),
        subject: "mac:00:00:5e:00:53:01".into(),
        record: held_by(&[("I-1", None), ("I-2", Some(NOW.plus(Duration::from_hours(48))))]),
    };
    let mut ending =
        Grant {
            target: "无线控制器".into(), record: held_by(&[("I-3", None)]), ..grant.clone()
        };
    let hold = HoldId::of_approval("feishu", "A-1", "I-3");
    ending.record = ending.record.end(&hold, EndReason::Returned, NOW);
    let grants = [grant, ending];
    check("grants", |format| grants_of::render(&grants, None, format));
    let formula = |owner: &str| {
        let mut grant = grants[0].clone();
        for hold in grant.record.holds.values_mut() {
            hold.terms.owner = owner.to_owned();
        }
        grant
    };
    let rows = [formula("=HYPERLINK(\"x\")"), formula("ou_1, \"Li\"")];
    let csv = crate::grants_csv::render(&rows);
    assert!(csv.contains("\"'=HYPERLINK(\"\"x\"\")\""), "{csv}");
    assert!(csv.contains("\"ou_1, \"\"Li\"\"\"") && csv.starts_with("kind,subject,"), "{csv}");
    check("no_grants", |format| grants_of::render(&[], Some("ou_2"), format));
}

#[test]
fn status() {
    let breaker = |state, failures| Breaker { state, failures, ..Breaker::default() };
    let until = NOW.plus(Duration::from_secs(25));
    let unwanted = Unwanted {
        source: "feishu".into(),
        definition_id: "B-2".into(),
        decision: "approved".into(),
        count: 3,
        last: ago(50),
    };
    let swept = |source: &str, sweep| {
        let definition_id = "7C468A54-8745-2245-9675-08B7C63E7A85".to_owned();
        (SweepKey { source: source.to_owned(), definition_id }, sweep)
    };
    let open = [("I-1".to_owned(), sweep::Seen::open(ago(900), NOW))];
    let last = Some(ago(600));
    let sweeps = vec![
        swept("dingtalk", Sweep { not_before: Some(until), ..Sweep::new(ago(900)) }),
        swept(
            "feishu",
            Sweep { listed_until: last, found: 2, last_found: last, ..Sweep::new(ago(900)) },
        ),
        swept(
            "wecom",
            Sweep { listed_until: last, instances: open.into(), ..Sweep::new(ago(900)) },
        ),
    ];
    let full = SystemStatus {
        unwanted: vec![unwanted],
        sweeps,
        queue: QueueStatus {
            is_served: Some(false),
            waiting: 3,
            in_flight: 1,
            oldest: Some(Duration::from_secs(4_000)),
            dead_letters: 2,
            dead_letters_by_class: [("invalid_form".into(), 2)].into(),
            ..QueueStatus::default()
        },
        waiting_by_class: [("source_unavailable".into(), 1), ("target_timeout".into(), 2)].into(),
        unreachable_sources: [("feishu".into(), 1)].into(),
        breakers: [
            ("nac".into(), breaker(BreakerState::Open { until }, 3)),
            ("wlc".into(), breaker(BreakerState::Closed, 1)),
            ("radius".into(), Breaker::default()),
        ]
        .into(),
        last_hour: [(RequestStatus::Succeeded, 5), (RequestStatus::Retrying, 3)].into(),
    };
    check("status", |format| status::render(&full, NOW, format));
    check("status_of_an_empty_system", |format| {
        status::render(&SystemStatus::default(), NOW, format)
    });
}

#[test]
fn waiting() {
    check("waiting", |format| status::render_waiting(&[retrying()], NOW, format));
    check("nothing_waits", |format| status::render_waiting(&[], NOW, format));
}

#[test]
fn dead_letters() {
    let seen = Seen { letters: letters(), elsewhere: None };
    check("dlq_list", |format| dlq::render_list(&seen, format));
    let elsewhere = Some(Elsewhere { count: 2, until: NOW });
    let hidden = Seen { letters: Vec::new(), elsewhere };
    let shown = dlq::render_list(&hidden, Text(English));
    assert_eq!(shown, "", "a hidden list is not reported as empty");
    check("dlq_show", |format| dlq::render(&letters()[0], format));
    check("dlq_redrive", |format| {
        let results =
            [RedriveResult::Back, RedriveResult::WouldGoBack, RedriveResult::TakenMeanwhile];
        let results = results.map(|result| {
            let redriven = Redriven { id: "11".into(), result, number: 1, of: 3 };
            dlq::render_redriven(&redriven, format)
        });
        results.join("\n")
    });
    check("dlq_discard", |format| dlq::render_discarded("11", "withdrawn", format));
}

#[test]
fn errors() {
    let elsewhere = Elsewhere { count: 2, until: NOW };
    let of_dlq = [
        DeadLetterError::NotFound("1".into()),
        DeadLetterError::NotSeen { id: "1".into(), elsewhere },
        DeadLetterError::NotAll(elsewhere),
        DeadLetterError::TakenMeanwhile(3),
        DeadLetterError::NoneOfClass { class: "x".into(), known: Vec::new() },
        DeadLetterError::NoneOfClass { class: "x".into(), known: vec!["invalid_form".into()] },
    ];
    let of_replay: [fn(String) -> ReplayError; 4] =
        [ReplayError::Unknown, ReplayError::Completed, ReplayError::Retrying, ReplayError::Running];
    for language in [English, Chinese] {
        let of_dlq = of_dlq.iter().map(|error| dlq::render_error(error, language));
        let of_replay =
            of_replay.iter().map(|of| replay::render_error(&of("I-1".into()), language));
        let texts: Vec<_> = of_dlq.chain(of_replay).collect();
        insta::assert_snapshot!(format!("errors_{}", language.code()), texts.join("\n"));
        if language == Chinese {
            assert_eq!(english_runs(&texts.join("\n")), [""; 0]);
        }
    }
}

#[test]
fn next_steps_in_chinese_have_no_english() {
    let classes = Class::ALL.map(Class::as_str).into_iter().chain(["unknown", "of the future"]);
    let steps: Vec<_> = classes.map(|class| next_step(class, Chinese)).collect();
    assert_eq!(english_runs(&steps.join("\n")), [""; 0]);
    assert!(steps.iter().all(|step| !step.is_ascii()), "{steps:?}");
}

#[test]
fn the_catalogue_has_no_english() {
    let texts: HashMap<String, String> = toml::from_str(include_str!("zh.toml")).unwrap();
    // Names of values in braces are not shown.
    let runs: Vec<_> = texts.values().flat_map(|text| english_runs(text)).collect();
    assert_eq!(runs, [""; 0]);
}
