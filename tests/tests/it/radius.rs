//! A real RADIUS server says yes: an approval goes through the whole pipeline, and FreeRADIUS lets
//! the device in that it kept out before; over its SQL tables, and over an HTTP service that it
//! asks.

use greenlight::demo;

/// The demonstration prints what was seen, and fails when a line is not as it should be.
#[tokio::test(flavor = "multi_thread")]
async fn freeradius_lets_in_who_was_approved_and_nobody_else() {
    demo::run_radius().await.unwrap();
}
