//! `greenlight serve` on a disk that is full, and in a folder that may not be written.

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use greenlight_tests::scene::{Scene, device};
use greenlight_tests::serving::{Serving, serve_command};

/// No file may grow beyond 256 KiB, and whoever tries is told so, as on a full disk.
const FULL_DISK: [&str; 4] = ["sh", "-c", "trap '' XFSZ; ulimit -f 512; exec \"$@\"", "sh"];

/// Statement 1: on a full disk nothing is answered 200 that is not kept, and nothing that was is lost.
#[tokio::test(flavor = "multi_thread")]
async fn statement_01_a_full_disk_is_answered_503_and_loses_nothing() {
    let scene = Scene::set().await;
    let folder = tempfile::tempdir().unwrap();
    let serving = Serving::start_by(&scene, folder.path(), &FULL_DISK).await;
    let mut taken = 0;
    loop {
        let instance = format!("I-{taken}");
        scene.approve(&instance, &[&device(taken)]);
        let event = scene.event(&format!("e-{taken}"), &instance, "APPROVED");
        let answer = scene.send_to(serving.url(), None, &event).await;
        if answer.status != 200 {
            assert_eq!((answer.status, answer.body.contains("try again later")), (503, true));
            break;
        }
        taken += 1;
    }
    assert!(taken > 0);
    let check = scene.send_to(serving.url(), None, &scene.app.url_check("x")).await;
    assert_eq!(check.status, 200, "what needs no disk is answered all the same");
    let log = serving.kill().await;
    assert!(log.contains("approval not enqueued") && log.contains("disk"), "{log}");

    // There is room again; Feishu sends the refused one again.
    let serving = Serving::start(&scene, folder.path()).await;
    let refused = scene.event(&format!("e-{taken}"), &format!("I-{taken}"), "APPROVED");
    assert_eq!(scene.send_to(serving.url(), None, &refused).await.status, 200);
    scene.nac.wait_for_whitelist(&(0..=taken).map(device).collect::<Vec<_>>()).await;
    println!("full disk: {taken} events were taken before the first 503, all are on the whitelist");
    serving.stop().await;
}

/// Root may write everywhere; then it is somebody else who serves.
fn as_nobody(folder: &Path) -> Vec<&'static str> {
    let is_root = std::fs::metadata("/proc/self").unwrap().uid() == 0;
    if !is_root {
        return Vec::new();
    }
    std::fs::set_permissions(folder, PermissionsExt::from_mode(0o755)).unwrap();
    vec!["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--"]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_that_may_not_be_written_is_named_at_the_start() {
    let scene = Scene::set().await;
    let folder = tempfile::tempdir().unwrap();
    let nobody = as_nobody(folder.path());
    let data = folder.path().join("data");
    std::fs::create_dir(&data).unwrap();
    std::fs::set_permissions(&data, PermissionsExt::from_mode(0o555)).unwrap();
    let (mut command, _) = serve_command(&scene, folder.path(), &nobody);
    let output = command.output().await.unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success());
    let line = format!("the data folder {} cannot be used: Permission denied", data.display());
    assert!(said.contains(&line), "{said}");

    // The same with a database of before in it.
    std::fs::set_permissions(&data, PermissionsExt::from_mode(0o755)).unwrap();
    Serving::start(&scene, folder.path()).await.stop().await;
    for entry in std::fs::read_dir(&data).unwrap() {
        let path = entry.unwrap().path();
        std::fs::set_permissions(path, PermissionsExt::from_mode(0o444)).unwrap();
    }
    std::fs::set_permissions(&data, PermissionsExt::from_mode(0o555)).unwrap();
    let (mut command, _) = serve_command(&scene, folder.path(), &nobody);
    let output = command.output().await.unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        !output.status.success() && said.contains("cannot be used: Permission denied"),
        "{said}"
    );
}
