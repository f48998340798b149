//! The account of all devices.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use greenlight_testkit::stub::NacCall;
use greenlight_tests::fleet::repetitions;
use serde_json::Value;

use crate::load::Approval;

/// The instance id of a message.
fn instance_of(body: &str) -> String {
    let body: Value = serde_json::from_str(body).unwrap_or_default();
    body["instance_id"].as_str().unwrap_or_default().to_owned()
}

/// Expected and actual results.
#[derive(Debug)]
pub(crate) struct Account {
    title: &'static str,
    approvals: usize,
    events: usize,
    events_lost: usize,
    found: u64,
    kills: usize,
    expected: usize,
    on_whitelist: usize,
    unexpected: usize,
    calls: usize,
    explained: usize,
    doubled: usize,
    /// Dead letters by class.
    dead_letters: BTreeMap<String, usize>,
    bad_forms: usize,
    /// The times from the first event to the whitelist, ascending.
    times: Vec<Duration>,
}

impl Account {
    /// Builds the account from the load, the NAC's log, the moments of the kills, and class and
    /// body of the dead letters, and the number of approvals that sweeps found.
    pub(crate) fn of(
        title: &'static str,
        approvals: &[Approval],
        log: &[NacCall],
        kills: &[Instant],
        dead_letters: &[(String, String)],
        found: u64,
    ) -> Self {
        let mut accepted: BTreeMap<&str, Instant> = BTreeMap::new();
        for call in log.iter().filter(|call| call.is_accepted()) {
            accepted.entry(&call.mac).or_insert(call.at);
        }
        let (mut times, mut expected) = (Vec::new(), BTreeSet::new());
        for approval in approvals {
            for device in &approval.devices {
                expected.insert(device.as_str());
                if let (Some(sent), Some(at)) = (approval.sent_at, accepted.get(device.as_str())) {
                    times.push(at.duration_since(sent));
                }
            }
        }
        times.sort();
        let (explained, doubled) = repetitions(log, kills);
        // Each event of a bad form ends as a dead letter: an instance counts once per class.
        let letters: BTreeSet<(&str, String)> =
            dead_letters.iter().map(|(class, body)| (class.as_str(), instance_of(body))).collect();
        let mut by_class = BTreeMap::new();
        for (class, _) in letters {
            *by_class.entry(class.to_owned()).or_default() += 1;
        }
        Self {
            title,
            approvals: approvals.len(),
            events: approvals.iter().map(|approval| approval.event_ids.len()).sum(),
            events_lost: approvals.iter().filter(|it| it.event_ids.is_empty()).count(),
            found,
            kills: kills.len(),
            expected: expected.len(),
            on_whitelist: accepted.keys().filter(|mac| expected.contains(**mac)).count(),
            unexpected: accepted.keys().filter(|mac| !expected.contains(**mac)).count(),
            calls: log.len(),
            explained,
            doubled,
            dead_letters: by_class,
            bad_forms: approvals.iter().filter(|approval| approval.is_bad).count(),
            times,
        }
    }

    fn lost(&self) -> usize {
        self.expected - self.on_whitelist
    }

    fn time(&self, share: f64) -> Duration {
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_precision_loss,
            clippy::cast_sign_loss,
            reason = "an index into a list that is far shorter than 2^52"
        )]
        let index = ((self.times.len() as f64 * share) as usize).min(self.times.len() - 1);
        self.times[index]
    }

    /// Whether every expected effect happened once, and no other.
    pub(crate) fn is_even(&self) -> bool {
        let letters = BTreeMap::from([("invalid_form".to_owned(), self.bad_forms)]);
        self.lost() == 0
            && self.doubled == 0
            && self.unexpected == 0
            && self.found == self.events_lost as u64
            && self.dead_letters == letters
    }

    pub(crate) fn print(&self) {
        #[allow(clippy::cast_precision_loss, reason = "a few thousand")]
        let per_device = self.calls as f64 / self.expected as f64;
        let letters: Vec<String> =
            self.dead_letters.iter().map(|(class, count)| format!("{count} {class}")).collect();
        let rows = [
            ("approvals", self.approvals.to_string()),
            ("events sent", self.events.to_string()),
            ("events lost", format!("{} (a sweep found {})", self.events_lost, self.found)),
            ("kills", self.kills.to_string()),
            ("devices expected", self.expected.to_string()),
            ("on the whitelist", self.on_whitelist.to_string()),
            ("calls of the NAC", format!("{} ({per_device:.3} per device)", self.calls)),
            ("repeated after a kill", self.explained.to_string()),
            ("lost", self.lost().to_string()),
            ("doubled", self.doubled.to_string()),
            ("not asked for", self.unexpected.to_string()),
            ("dead letters", format!("{} ({} forms are bad)", letters.join(", "), self.bad_forms)),
            (
                "event to whitelist",
                format!("median {:.1?}, p99 {:.1?}", self.time(0.5), self.time(0.99)),
            ),
        ];
        println!("{}", self.title);
        for (what, value) in rows {
            println!("  {what:22} {value}");
        }
    }
}
