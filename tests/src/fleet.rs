//! Both functions as processes, run as Lambda runs them, on a local AWS with injected faults.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use greenlight_sources::test_request::Sent;
use greenlight_testkit::stub::NacCall;
use tokio::sync::watch;

use crate::faults::FaultyAws;
use crate::lambda::{Function, Mapping, http_api_event};
use crate::local_aws::LocalAws;
use crate::resources::Resources;
use crate::scene::Scene;
use crate::stack::TIMEOUT;

/// How long Feishu waits for an answer.
const SENDER_WAITS: Duration = Duration::from_secs(3);

/// The interval between attempts of the suite's sender; Feishu waits 15 s and more.
const SEND_AGAIN: Duration = Duration::from_millis(100);

/// The timeout of a batch, and the visibility timeout of its messages. Calls start only in its
/// first five seconds.
pub const BATCH: Duration = Duration::from_secs(25);

/// A call in flight when its caller was killed reaches the NAC within this time.
const STILL_UNDER_WAY: Duration = Duration::from_secs(1);

/// Both functions, a local AWS behind a proxy, and the scene around them.
pub struct Fleet {
    /// Feishu and the NAC.
    pub scene: Scene,
    /// The local AWS; kept, because it is stopped on drop.
    pub aws: LocalAws,
    /// The proxy that the functions use as AWS.
    pub faulty: FaultyAws,
    /// Queue, table and secret of the functions.
    pub resources: Resources,
}

impl Fleet {
    /// Starts everything except the functions.
    ///
    /// # Panics
    /// When something does not start.
    pub async fn set() -> Self {
        let (scene, aws) = tokio::join!(Scene::set(), LocalAws::start());
        let faulty = FaultyAws::start(&aws.url(), &scene.client).await;
        let resources = Resources::create(&aws, &scene).await;
        Self { scene, aws, faulty, resources }
    }

    #[must_use]
    pub fn receiver(&self) -> Function {
        self.resources.function("receiver", &self.faulty.url(), &self.scene)
    }

    /// A worker; `flows` replaces the flows that are built in.
    #[must_use]
    pub fn worker(&self, flows: Option<&Path>) -> Function {
        let worker = self.resources.function("worker", &self.faulty.url(), &self.scene);
        match flows {
            Some(flows) => {
                worker.with("FLOWS", &std::fs::read_to_string(flows).expect("a file of flows"))
            }
            None => worker,
        }
    }

    /// The event source mapping between the queue and a worker.
    #[must_use]
    pub fn mapping(&self) -> Mapping {
        Mapping::new(&self.aws.config(), &self.resources.queue_url, BATCH)
    }

    /// Feeds `worker` until the queue is empty and `is_sent` is true.
    ///
    /// # Panics
    /// When that does not come to be.
    pub async fn consume(&self, mut worker: Function, is_sent: watch::Receiver<bool>) {
        let mapping = self.mapping();
        let consumed = async {
            while mapping.feed(&mut worker).await.is_some()
                || !*is_sent.borrow()
                || self.resources.waiting().await > 0
            {}
        };
        let is_consumed = tokio::time::timeout(TIMEOUT, consumed).await.is_ok();
        assert!(is_consumed, "the whitelist is {:?}", self.scene.nac.whitelist());
    }

    /// Feeds `worker` until one message is deleted, and returns the number of batches.
    ///
    /// # Panics
    /// When that does not come to be.
    pub async fn consume_one(&self, worker: &mut Function) -> usize {
        let mapping = self.mapping();
        let mut batches = 0;
        let consumed = async {
            loop {
                match mapping.feed(worker).await {
                    None => {}
                    Some(0) => batches += 1,
                    Some(_) => return,
                }
            }
        };
        tokio::time::timeout(TIMEOUT, consumed).await.expect("a message is deleted");
        batches + 1
    }
}

/// The result of sending one event.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sending {
    /// The number of attempts.
    pub times: usize,
    /// The number of attempts without an answer before Feishu's timeout, although the function was
    /// not killed.
    pub unanswered: usize,
    /// The longest time until an answer.
    pub longest: Duration,
}

/// Sends an event as Feishu does: again until the answer is 200.
///
/// # Panics
/// When that does not come to be.
pub async fn deliver(receiver: &mut Function, event: impl Fn() -> Sent) -> Sending {
    let delivered = tokio::time::timeout(TIMEOUT, send_until_taken(receiver, event)).await;
    delivered.expect("the event is accepted")
}

async fn send_until_taken(receiver: &mut Function, event: impl Fn() -> Sent) -> Sending {
    let mut sending = Sending::default();
    let mut pause = tokio::time::interval(SEND_AGAIN);
    loop {
        pause.tick().await;
        let sent = event();
        let kills = receiver.kill().count();
        let start = Instant::now();
        sending.times += 1;
        let answer = receiver.invoke(http_api_event(&sent.headers, &sent.body), SENDER_WAITS).await;
        match answer {
            Some(answer) => {
                sending.longest = sending.longest.max(start.elapsed());
                if answer["statusCode"] == 200 {
                    return sending;
                }
            }
            None if receiver.kill().count() == kills && start.elapsed() >= SENDER_WAITS => {
                sending.unanswered += 1;
            }
            None => {}
        }
    }
}

/// Counts calls for devices that were on the whitelist already: `(explained, doubled)`. A moment
/// of `losses` (a kill, a lost answer) between the accepted call and its repetition explains it.
#[must_use]
pub fn repetitions(log: &[NacCall], losses: &[Instant]) -> (usize, usize) {
    let mut accepted: BTreeMap<&str, Instant> = BTreeMap::new();
    let (mut explained, mut doubled) = (0, 0);
    for call in log {
        if let Some(before) = accepted.get(call.mac.as_str()) {
            let lies_between =
                |loss: &&Instant| *before < **loss + STILL_UNDER_WAY && **loss < call.at;
            if losses.iter().any(|loss| lies_between(&loss)) {
                explained += 1;
            } else {
                doubled += 1;
            }
        }
        if call.is_accepted() {
            accepted.insert(&call.mac, call.at);
        }
    }
    (explained, doubled)
}
