//! The output of commands for fixed data: one snapshot for each rendering.

use std::collections::BTreeMap;
use std::time::Duration;

use greenlight_admin::dead_letters::{RedriveResult, Redriven, Seen};
use greenlight_admin::status::SystemStatus;
use greenlight_core::Timestamp;
use greenlight_core::audit::{
    Elsewhere, Grant, LastFailure, RequestHistory, RequestStatus, StoredDeadLetter,
};
use greenlight_core::breaker::{Breaker, BreakerState};
use greenlight_core::ledger::{Effect, EffectKey, EffectOutcome, Lease, State};
use greenlight_core::operator::QueueStatus;
use greenlight_core::retry::RetryState;

use crate::format::OutputFormat::{self, Json, Text};
use crate::{audit, dlq, status};

/// 2026-11-28T07:24:10Z.
const NOW: Timestamp = Timestamp::from_millis(1_795_850_650_000);

fn ago(seconds: u64) -> Timestamp {
    NOW.minus(Duration::from_secs(seconds))
}

fn last_failure(class: &str, reason: &str) -> LastFailure {
    let target = Some("nac".to_owned());
    LastFailure { class: class.to_owned(), reason: reason.to_owned(), target, at: ago(30) }
}

/// A request for two devices, of which one was done.
fn history(instance: &str, state: State, last_failure: Option<LastFailure>) -> RequestHistory {
    let effect = Effect { outcome: EffectOutcome::Done, at: ago(40) };
    RequestHistory {
        key: format!("feishu#{instance}#approved"),
        definition_id: "7C468A54".into(),
        event_id: format!("event-of-{instance}"),
        received_at: Some(ago(60)),
        first_claimed_at: Some(ago(59)),
        flow: Some("device-whitelist".into()),
        applicant: Some("ou_1".into()),
        form_number: Some("202611280001".into()),
        state,
        attempt: 2,
        effects: BTreeMap::from([(EffectKey::from("nac/add/00:00:5e:00:53:01"), effect)]),
        last_failure,
        retry: None,
    }
}

fn succeeded() -> RequestHistory {
    history("I-1", State::Done { at: ago(39), by: "lease".into() }, None)
}

fn failed() -> RequestHistory {
    let reason = "field `mac`, device 2: letter O at position 16".to_owned();
    let failure = last_failure("invalid_form", &reason);
    let state = State::Failed { at: ago(30), by: "lease".into(), reason };
    history("I-2", state, Some(failure))
}

fn retrying() -> RequestHistory {
    let released = Lease { id: "lease".into(), until: Timestamp::default() };
    let failure = last_failure("target_timeout", "step `add` at `nac` was answered HTTP 503");
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
    let failure = last_failure("target_auth_failed", "the NAC did not take the token");
    vec![
        letter("11", Some(failure)),
        StoredDeadLetter { receive_count: None, ..letter("12", None) },
    ]
}

/// Both formats of a rendering.
fn both(render: impl Fn(OutputFormat) -> String) -> String {
    format!("{}\n{}", render(Text), render(Json))
}

#[test]
fn audit() {
    let histories = [succeeded(), failed(), retrying(), running()];
    insta::assert_snapshot!(both(|format| audit::render(&histories, NOW, format)));
}

#[test]
fn grants() {
    let grant = Grant {
        target: "nac".into(),
        device: "00:00:5e:00:53:01".into(),
        request: "feishu#I-1#approved".into(),
        applicant: "ou_1".into(),
        since: ago(40),
    };
    let grants = [grant.clone(), Grant { target: "无线控制器".into(), ..grant }];
    insta::assert_snapshot!(both(|format| audit::render_grants(&grants, None, format)));
    let none = audit::render_grants(&[], Some("ou_2"), Text);
    insta::assert_snapshot!("no_grants", none);
}

#[test]
fn status() {
    let breaker = |state, failures| Breaker { state, failures, ..Breaker::default() };
    let until = NOW.plus(Duration::from_secs(25));
    let full = SystemStatus {
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
    insta::assert_snapshot!(both(|format| status::render(&full, NOW, format)));
    let empty = both(|format| status::render(&SystemStatus::default(), NOW, format));
    insta::assert_snapshot!("status_of_an_empty_system", empty);
}

#[test]
fn waiting() {
    insta::assert_snapshot!(both(|format| status::render_waiting(&[retrying()], NOW, format)));
    insta::assert_snapshot!("nothing_waits", status::render_waiting(&[], NOW, Text));
}

#[test]
fn dead_letters() {
    let seen = Seen { letters: letters(), elsewhere: None };
    insta::assert_snapshot!("dlq_list", both(|format| dlq::render_list(&seen, format)));
    let elsewhere = Some(Elsewhere { count: 2, until: NOW });
    let hidden = Seen { letters: Vec::new(), elsewhere };
    assert_eq!(dlq::render_list(&hidden, Text), "", "a hidden list is not reported as empty");
    insta::assert_snapshot!("dlq_show", both(|format| dlq::render(&letters()[0], format)));
    let results = [RedriveResult::Back, RedriveResult::WouldGoBack, RedriveResult::TakenMeanwhile]
        .map(|result| {
            let redriven = Redriven { id: "11".into(), result, number: 1, of: 3 };
            both(|format| dlq::render_redriven(&redriven, format))
        });
    insta::assert_snapshot!("dlq_redrive", results.join("\n"));
    insta::assert_snapshot!("dlq_discard", both(|f| dlq::render_discarded("11", "taken back", f)));
}
