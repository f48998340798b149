//! The load: approvals and their events.

use std::time::Instant;

use fastrand::Rng;
use greenlight_tests::scene::{Scene, device};

/// One in this many forms has an unreadable device besides good ones.
const BAD_FORM: u32 = 100;

/// The share of events that are sent twice, under the same id or another one.
const DUPLICATES: f64 = 0.3;

/// The share of approvals without any event: the office system's push was lost.
const LOST: f64 = 0.05;

/// The share of calls that the NAC answers with 500.
pub(crate) const NAC_ERRORS: f64 = 0.05;

#[derive(Clone, Debug)]
pub(crate) struct Approval {
    pub(crate) instance: String,
    pub(crate) devices: Vec<String>,
    pub(crate) is_bad: bool,
    /// Empty if its event was lost.
    pub(crate) event_ids: Vec<String>,
    /// When the first event was sent.
    pub(crate) sent_at: Option<Instant>,
}

/// Takes the events of some approvals out.
pub(crate) fn lose_events(approvals: &mut [Approval]) {
    let mut random = Rng::with_seed(approvals.len() as u64);
    for approval in approvals {
        if random.f64() < LOST {
            approval.event_ids.clear();
        }
    }
}

/// Stores approvals with up to `most` devices each at Feishu; the same ones in each run.
pub(crate) fn approvals(scene: &Scene, count: u32, most: u32) -> Vec<Approval> {
    let mut random = Rng::with_seed(u64::from(count));
    let mut next = 0;
    let approval = |n: u32| {
        let devices: Vec<String> = (0..random.u32(1..=most)).map(|k| device(next + k)).collect();
        next += most;
        let is_bad = n % BAD_FORM == 1;
        let mut typed: Vec<&str> = devices.iter().map(String::as_str).collect();
        if is_bad {
            typed.push("00:00:5e:00:53:0O");
        }
        let instance = format!("I-{n}");
        scene.approve(&instance, &typed);
        let mut event_ids = vec![format!("e-{n}")];
        if random.f64() < DUPLICATES {
            let id = if random.bool() { format!("e-{n}") } else { format!("e-{n}-again") };
            event_ids.push(id);
        }
        Approval { instance, devices, is_bad, event_ids, sent_at: None }
    };
    (0..count).map(approval).collect()
}
