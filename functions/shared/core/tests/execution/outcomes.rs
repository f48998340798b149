//! How the failures of one attempt become one outcome, as a table.

use std::time::Duration;

use greenlight_core::explain::Explanation;
use greenlight_core::{Class, Disposition, Failure};

use greenlight_testkit::subject::number_of;

use crate::world::{Run, World, form};

const NAC: &str = r#"{ target = "nac", operation = "add", for_each = "mac" }"#;

/// What becomes of the call for a device.
#[derive(Clone, Copy, Debug)]
enum Call {
    Done,
    Retry(Class),
    GiveUp(Class),
}

/// How the message ends.
#[derive(Debug, PartialEq, Eq)]
enum End {
    Done,
    Retry(Class),
    DeadLetter(Class),
}

async fn end_of(calls: &'static [Call]) -> End {
    let devices = 1..=u8::try_from(calls.len()).unwrap();
    let world = World::new(form(devices)).behaves(|call, _| {
        let device = usize::from(number_of(call.subject));
        match calls[device - 1] {
            Call::Done => Ok(()),
            Call::Retry(class) => Err(Failure::retry(class, Explanation::quoted("for the test"))),
            Call::GiveUp(class) => {
                Err(Failure::give_up(class, Explanation::quoted("for the test")))
            }
        }
    });
    match Run::new(world, NAC).attempt().await {
        Disposition::Done => End::Done,
        Disposition::RetryAfter { reason, .. } => End::Retry(reason.class),
        Disposition::DeadLettered(reason) => End::DeadLetter(reason.class),
        other => panic!("the flow is there, and the source says approved: {other:?}"),
    }
}

#[tokio::test]
async fn failures_of_one_attempt_have_one_outcome() {
    use Call::{Done, GiveUp, Retry};
    use Class::{CircuitOpen, InternalError, LeaseHeld, TargetFailed, TargetRejected};
    let table: [(&[Call], End); 9] = [
        (&[Done, Done], End::Done),
        // What cannot succeed goes to the dead-letter queue when nothing is left to retry.
        (&[Done, GiveUp(TargetRejected)], End::DeadLetter(TargetRejected)),
        (&[GiveUp(TargetRejected), GiveUp(TargetRejected)], End::DeadLetter(TargetRejected)),
        // A retry goes before giving up: what cannot succeed is reported at the end.
        (&[GiveUp(TargetRejected), Retry(TargetFailed)], End::Retry(TargetFailed)),
        (&[Retry(TargetFailed), GiveUp(TargetRejected)], End::Retry(TargetFailed)),
        (&[Done, Retry(InternalError)], End::Retry(InternalError)),
        // A failure goes before a wait, and an open circuit before another worker's lease.
        (&[Retry(TargetFailed), Retry(CircuitOpen)], End::Retry(TargetFailed)),
        (&[Retry(TargetFailed), Retry(LeaseHeld)], End::Retry(TargetFailed)),
        (&[Done, Retry(CircuitOpen)], End::Retry(CircuitOpen)),
    ];
    for (calls, expected) in table {
        assert_eq!(end_of(calls).await, expected, "{calls:?}");
    }
}

/// No call begins after the time for new calls; what is left is for the next attempt, at once where
/// there was progress.
#[tokio::test]
async fn no_call_begins_after_the_time_for_new_calls() {
    for (time, calls, wait) in [
        (Duration::ZERO, 0, None),
        (Duration::from_secs(3), 3, Some(Duration::ZERO)),
        (Duration::from_mins(1), 5, None),
    ] {
        let world = World { call_takes: Duration::from_secs(1), ..World::new(form(1..=5)) };
        let mut run = Run::new(world, NAC);
        run.time = time;
        let end = run.attempt().await;
        let seen = run.world.seen.lock().unwrap().len();
        assert!(seen >= calls && seen <= 5, "{time:?}: {seen} calls");
        match end {
            Disposition::Done => assert_eq!(seen, 5),
            Disposition::RetryAfter { after, reason } => {
                assert_eq!(reason.class, Class::DeadlineExceeded);
                assert!(wait.is_none_or(|wait| wait == after), "{time:?}: {after:?}");
                assert!(seen < 5);
            }
            other => panic!("{other:?}"),
        }
    }
}
