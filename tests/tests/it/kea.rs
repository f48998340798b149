//! An approval reserves addresses: a real Kea gives the client of a row the IP address of that row.

use greenlight_core::Request;
use greenlight_testkit::stub::{at_feishu, secret_document};
use greenlight_tests::databases::{Postgres, USER};
use greenlight_tests::kea::{Kea, Network};
use greenlight_tests::scene::{NAC_TOKEN, Scene};
use greenlight_tests::serving::{approve_at, serve_in};
use serde_json::{Value, json};

/// A table with a device and an address per row.
fn form(rows: &[[&str; 2]]) -> Value {
    let cell = |(name, value): (&str, &&str)| json!({"id": name, "custom_id": name, "name": name, "type": "input", "value": value});
    let row = |row: &[&str; 2]| ["mac", "ip"].into_iter().zip(row).map(cell).collect::<Vec<_>>();
    let rows: Vec<_> = rows.iter().map(row).collect();
    json!([{"id": "t", "custom_id": "devices", "name": "设备", "type": "fieldList", "value": rows}])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_gets_the_address_of_its_row() {
    let network = Network::make("00:00:5e:00:53:01").await;
    let (scene, postgres) = (Scene::set().await, Postgres::start().await);
    Kea::create_schema(&postgres).await;
    let folder = tempfile::tempdir().unwrap();
    let flows =
        crate::examples::flow_of_page("fixed-addresses", "KEA_DATABASE_URL", &postgres.url());
    let flows = at_feishu(&flows.unwrap(), &scene.feishu.url());
    let mut document = secret_document(&scene.app, NAC_TOKEN);
    document["targets"]["dhcp"] = json!({"username": USER.0, "password": USER.1});
    let server = serve_in(folder.path(), &flows, &document).await;
    let kea = Kea::start(&network, &postgres).await;
    let approve = async |instance: &str, rows: &[[&str; 2]]| {
        approve_at(&server, &scene, instance, &form(rows)).await;
    };
    // The second device wants the address of the first, and the third a network.
    approve(
        "I-1",
        &[
            ["00-00-5E-00-53-01", "192.0.2.77"],
            ["00-00-5E-00-53-02", "192.0.2.77"],
            ["00-00-5E-00-53-03", "192.0.2.64/28"],
            ["00-00-5E-00-53-04", "192.0.2.79"],
        ],
    )
    .await;
    let reserved = async || {
        postgres.query("SELECT encode(dhcp_identifier, 'hex'), host('0.0.0.0'::inet + ipv4_address) FROM hosts ORDER BY 1").await
    };
    assert_eq!(reserved().await, ["00005e005301|192.0.2.77", "00005e005304|192.0.2.79"]);
    let letters = server.database().dead_letters().await.unwrap();
    let instances: Vec<_> =
        letters.iter().map(|it| Request::parse(&it.body).unwrap().instance_id).collect();
    assert_eq!(instances, ["I-1"], "one request with two rows that could not be done");
    assert_eq!(network.address().await, "192.0.2.77");
    println!("a client in a namespace of its own gets 192.0.2.77 from Kea, as its row says");

    // A later approval moves the device to another address.
    approve("I-2", &[["0000.5e00.5301", "192.0.2.78"]]).await;
    assert_eq!(reserved().await, ["00005e005301|192.0.2.78", "00005e005304|192.0.2.79"]);
    assert_eq!(network.address().await, "192.0.2.78");
    drop(kea);
    server.stop().await;
}
