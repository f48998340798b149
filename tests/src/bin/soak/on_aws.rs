//! The load through the template on a local AWS; the NAC fails and is unreachable once.

use std::time::Instant;

use greenlight_tests::stack::{Stack, TIMEOUT};

use crate::account::Account;
use crate::load::{NAC_ERRORS, approvals};

pub(crate) async fn run(count: u32) -> Account {
    eprintln!("soak: deploying the template");
    let stack = Stack::deploy().await;
    let scene = &stack.scene;
    scene.nac.set_fault_rate(NAC_ERRORS);
    let mut load = approvals(scene, count, 10);
    let total = load.len();
    for (n, approval) in load.iter_mut().enumerate() {
        if n == total / 3 || n == total / 2 {
            scene.nac.set_down(n == total / 3);
        }
        approval.sent_at = Some(Instant::now());
        for id in &approval.event_ids {
            let event = || scene.event(id, &approval.instance, "APPROVED");
            let sent = async { while stack.send(&event()).await.status != 200 {} };
            tokio::time::timeout(TIMEOUT, sent).await.expect("the event is accepted");
        }
    }
    eprintln!("soak: {total} of {total} approvals sent");
    for approval in load.iter().filter(|approval| !approval.is_bad) {
        for id in &approval.event_ids {
            stack.wait_for_event(id).await;
        }
    }
    let mut letters = Vec::new();
    for approval in load.iter().filter(|approval| approval.is_bad) {
        for _ in &approval.event_ids {
            let letter = stack.next_dead_letter().await;
            let attributes = letter.message_attributes.unwrap_or_default();
            let class = attributes.get("class").and_then(|value| value.string_value.clone());
            letters.push((class.unwrap_or_default(), letter.body.unwrap_or_default()));
        }
    }
    let account = Account::of("through the template", &load, &scene.nac.log(), &[], &letters, 0);
    account.print();
    account
}
