//! Crashes at every await of a sweep, from the tick to the effect.

use greenlight_core::lease::LeaseId;
use greenlight_core::tick::{Scheduler, tick};
use greenlight_stores::SystemClock;

use super::*;

const HOUR: Duration = Duration::from_hours(1);

impl Case {
    /// A tick, and the delivery of everything that is visible, unless the worker is killed.
    async fn tick_and_deliver(&self, fate: &Fate) {
        tokio::select! {
            biased;
            () = self.tick_then_deliver(fate) => {}
            () = fate.killed() => {}
        }
    }

    async fn tick_then_deliver(&self, fate: &Fate) {
        let Processor { ledger, source, queue, clock, flows, metrics, .. } = self.processor(fate);
        let scheduler = Scheduler {
            ledger: &ledger,
            source: &source,
            queue: &queue,
            clock: &clock,
            flows: &flows,
            metrics: &metrics,
        };
        let lease_id = LeaseId::random().unwrap();
        tick(&scheduler, &lease_id).await.unwrap();
        loop {
            let now = self.clock.now();
            let received = self.database.receive(1, now, now.plus(HELD_FOR)).await.unwrap();
            let Some(received) = received.first() else { return };
            let lease_id = LeaseId::random().unwrap();
            let delivered = self.deliver_received(&received.body, lease_id.as_str(), fate).await;
            match delivered {
                Disposition::RetryAfter { after, .. } => {
                    self.database.retry_after(received, now, after).await.unwrap();
                }
                _ => self.database.delete(received).await.unwrap(),
            }
        }
    }
}

/// Wherever a worker dies, the approval without an event is carried out, and once.
#[tokio::test(flavor = "multi_thread")]
async fn g21_a_lost_event_is_made_up_for_after_a_crash_at_every_await() {
    let scene = Scene::set().await;
    let (mut points, mut repeated) = (0, 0);
    for point in 1.. {
        let case = Case::new(&scene, 1, false).await;
        let alive = Fate::fatal(0);
        // The first sweep is before the end of the approval, the second after it.
        case.clock.advance(SystemClock.now().minus(HOUR / 2).since(START));
        case.tick_and_deliver(&alive).await;
        case.clock.advance(HOUR);
        let fate = Fate::fatal(point);
        case.tick_and_deliver(&fate).await;
        // What was enqueued and then lost is looked for after a day.
        for hours in [1, 1, 24, 1] {
            case.clock.advance(HOUR * hours);
            case.tick_and_deliver(&alive).await;
        }
        assert_eq!(case.scene.nac.whitelist(), case.good, "crash at point {point}");
        assert_eq!(case.database.dead_letters().await.unwrap(), []);
        let calls = case.scene.nac.calls();
        assert!(calls <= case.good.len() + 1, "{calls} calls, crash at point {point}");
        repeated += calls - case.good.len();
        if fate.reached() < point {
            points = fate.reached();
            break;
        }
    }
    assert!(points > 40, "{points}");
    println!("{points} points, {repeated} calls repeated after a crash before the record");
}
