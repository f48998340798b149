//! A real RADIUS server says yes: an approval goes through the whole pipeline, and FreeRADIUS lets the device
//! in that it kept out before; over its SQL tables, and over an HTTP service that it asks.

use std::path::Path;

use greenlight::serve::{Options, Server};
use greenlight::stub::{Access, Radius, Whitelist};
use greenlight_tests::scene::{APPROVAL_CODE, Scene, device};
use greenlight_tests::serving::secrets;

/// The same device, as different switches spell it.
const SPELLINGS: [&str; 5] = [
    "00:00:5e:00:53:01",
    "00:00:5E:00:53:01",
    "0000.5e00.5301",
    "00-00-5E-00-53-01",
    "00005e005301",
];

async fn start(scene: &Scene, folder: &Path, target: &str) -> Server {
    let flows = format!(
        r#"
        [targets.nac]
        {target}
        [[flows]]
        name = "device-whitelist"
        approval_code = "{APPROVAL_CODE}"
        fields.mac = {{ kind = "mac", from = [{{ field = "devices", column = "mac" }}] }}
        fields.valid_until = {{ kind = "date", from = [{{ field = "有效期" }}], optional = true }}
        actions = [{{ target = "nac", operation = "add", for_each = "mac" }}]
        "#
    );
    std::fs::write(folder.join("flows.toml"), flows).unwrap();
    let options = Options {
        listen: ([127, 0, 0, 1], 0).into(),
        data: folder.join("data"),
        secrets: secrets(scene, folder),
        flows: Some(folder.join("flows.toml")),
        connectors: None,
        feishu_base_url: scene.feishu.url(),
    };
    Server::start_with(options, &|_| None).await.unwrap()
}

/// Reject, an approval, Accept in any spelling; still Reject for others.
async fn an_approval_lets_a_device_in(scene: &Scene, folder: &Path, radius: &Radius, target: &str) {
    let known = &device(1);
    assert_eq!(radius.ask(known, known).await.unwrap(), Access::Reject, "nobody approved it");
    let server = start(scene, folder, target).await;
    scene.approve("I-1", &["0000-5E00-5301"]);
    let event = scene.event("e-1", "I-1", "APPROVED");
    let url = format!("http://{}/api/event", server.address());
    assert_eq!(scene.send_to(&url, None, &event).await.status, 200);
    server.drained().await.unwrap();
    assert!(server.database().dead_letters().await.unwrap().is_empty());
    for spelling in SPELLINGS {
        assert_eq!(radius.ask(spelling, spelling).await.unwrap(), Access::Accept, "{spelling}");
    }
    let other = &device(2);
    assert_eq!(
        radius.ask(other, other).await.unwrap(),
        Access::Reject,
        "nobody approved the other one"
    );
    assert_eq!(
        radius.ask(known, other).await.unwrap(),
        Access::Reject,
        "it only says that it is the device"
    );
    println!("Access-Reject, an approval, Access-Accept in {} spellings", SPELLINGS.len());
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn over_the_sql_tables_of_freeradius() {
    let scene = Scene::set().await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("radius.db");
    let radius = Radius::start(&Whitelist::Sqlite(file.clone())).await.unwrap();
    let target = format!("connector = \"freeradius-sql\"\nurl = \"sqlite://{}\"", file.display());
    an_approval_lets_a_device_in(&scene, folder.path(), &radius, &target).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn over_an_http_service_that_freeradius_asks() {
    let scene = Scene::set().await;
    let folder = tempfile::tempdir().unwrap();
    let radius = Radius::start(&Whitelist::Http(scene.nac.url())).await.unwrap();
    let target = format!("connector = \"freeradius-rest\"\nurl = \"{}\"", scene.nac.url());
    an_approval_lets_a_device_in(&scene, folder.path(), &radius, &target).await;
}
