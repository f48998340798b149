//! A real RADIUS server: an approval passes the whole pipeline, and FreeRADIUS then accepts a
//! device that it rejected before, over its SQL tables and over an HTTP service that it queries.

use greenlight_demo::run_radius;
use greenlight_render::language::Language;

/// The demonstration prints its results, and fails if one is not the expected one.
#[tokio::test(flavor = "multi_thread")]
async fn freeradius_lets_in_who_was_approved_and_nobody_else() {
    run_radius(Language::English).await.unwrap();
}
