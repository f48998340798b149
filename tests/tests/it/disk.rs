//! `greenlight serve` on a full disk, and in a folder without write permission.

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::time::Duration;

use greenlight_tests::built;
use greenlight_tests::scene::{Scene, device};
use greenlight_tests::serving::{Serving, serve_command};
use tokio::process::Command;

/// Simulates a full disk: a write beyond 256 KiB of a file fails.
const FULL_DISK: [&str; 4] = ["sh", "-c", "trap '' XFSZ; ulimit -S -f 512; exec \"$@\"", "sh"];

/// Longer than the visibility timeout of a message whose attempt could not be recorded.
const TIMEOUT: Duration = Duration::from_mins(3);

/// Sends approvals, one device each from number `first` on, until one is rejected; returns the
/// number of accepted ones.
async fn send_until_refused(scene: &Scene, serving: &Serving, first: u32) -> u32 {
    for number in first.. {
        let instance = format!("I-{number}");
        scene.approve(&instance, &[&device(number)]);
        let event = scene.event(&format!("e-{number}"), &instance, "APPROVED");
        let answer = scene.send_to(serving.url(), None, &event).await;
        if answer.status != 200 {
            assert_eq!((answer.status, answer.body.contains("try again later")), (503, true));
            return number - first;
        }
    }
    unreachable!("the disk is full before")
}

/// Guarantee 1: on a full disk only stored events are answered 200, and none of them is lost,
/// whether space returns while `serve` runs or it is restarted.
#[tokio::test(flavor = "multi_thread")]
async fn g01_a_full_disk_is_answered_503_and_loses_nothing() {
    let scene = Scene::set().await;
    let folder = tempfile::tempdir().unwrap();
    let serving = Serving::start_by(&scene, folder.path(), &FULL_DISK).await;
    let taken = send_until_refused(&scene, &serving, 0).await;
    assert!(taken > 0);
    let check = scene.send_to(serving.url(), None, &scene.app.url_check("x")).await;
    assert_eq!(check.status, 200, "requests that need no disk are answered");

    // Space returns without a restart. Feishu sends the rejected event again.
    serving.set_limit("--fsize=unlimited").await;
    let refused = scene.event(&format!("e-{taken}"), &format!("I-{taken}"), "APPROVED");
    assert_eq!(scene.send_to(serving.url(), None, &refused).await.status, 200);
    let expected: Vec<String> = (0..=taken).map(device).collect();
    let reached = scene.nac.wait_for_whitelist(&expected);
    let is_reached = tokio::time::timeout(TIMEOUT, reached).await.is_ok();
    assert!(is_reached, "{:?}", scene.nac.whitelist());
    // After a clean stop the database file is small enough to start on a small disk.
    let log = serving.stop().await;
    assert!(log.contains("event not enqueued") && log.contains("disk"), "{log}");

    // The disk is full again, and the process is killed.
    let serving = Serving::start_by(&scene, folder.path(), &FULL_DISK).await;
    let more = send_until_refused(&scene, &serving, taken + 1).await;
    serving.kill().await;
    let serving = Serving::start(&scene, folder.path()).await;
    let expected: Vec<String> = (0..=taken + more).map(device).collect();
    let reached = scene.nac.wait_for_whitelist(&expected);
    let is_reached = tokio::time::timeout(TIMEOUT, reached).await.is_ok();
    assert!(is_reached, "{:?}", scene.nac.whitelist());
    println!("{taken} events were accepted before the disk was full, all are on the whitelist");
    serving.stop().await;
}

/// Arguments to run as another user: root may write everywhere.
fn as_other_user(folder: &Path) -> Vec<&'static str> {
    let is_root = std::fs::metadata("/proc/self").unwrap().uid() == 0;
    if !is_root {
        return Vec::new();
    }
    std::fs::set_permissions(folder, PermissionsExt::from_mode(0o755)).unwrap();
    vec!["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--"]
}

/// Changes the owner of everything below `folder` to the user of [`as_other_user`].
fn give_to_other_user(folder: &Path) {
    if std::fs::metadata("/proc/self").unwrap().uid() != 0 {
        return;
    }
    let status =
        std::process::Command::new("chown").args(["-R", "65534:65534"]).arg(folder).status();
    assert!(status.unwrap().success());
}

/// A folder without read permission is not reported as one without a database.
#[tokio::test(flavor = "multi_thread")]
async fn a_folder_that_may_not_be_read_is_named_as_such() {
    let scene = Scene::set().await;
    let folder = tempfile::tempdir().unwrap();
    Serving::start(&scene, folder.path()).await.stop().await;
    let data = folder.path().join("data");
    let prefix = as_other_user(folder.path());
    if prefix.is_empty() {
        std::fs::set_permissions(&data, PermissionsExt::from_mode(0o000)).unwrap();
    }
    let program = folder.path().join("greenlight");
    let copied = Command::new("cp").arg(built("greenlight")).arg(&program).status().await.unwrap();
    assert!(copied.success());
    for (arguments, status) in [(["status"].as_slice(), 1), (&["doctor"], 1), (&["dlq", "list"], 1)]
    {
        let words = prefix.iter().map(AsRef::as_ref).chain([program.as_os_str()]);
        let words: Vec<&std::ffi::OsStr> = words.collect();
        let (first, rest) = words.split_first().unwrap();
        let mut command = Command::new(first);
        command.args(rest).args(arguments).arg("--data-dir").arg(&data);
        let output = command.output().await.unwrap();
        let shown = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        let line = format!("the data folder {} cannot be used: Permission denied", data.display());
        assert!(shown.contains(&line), "{arguments:?}: {shown}");
        assert_eq!(output.status.code(), Some(status), "{arguments:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_that_may_not_be_written_is_named_at_the_start() {
    let scene = Scene::set().await;
    let folder = tempfile::tempdir().unwrap();
    let prefix = as_other_user(folder.path());
    // Other users may have no access to the build folder, so a copy of the program is run.
    let program = folder.path().join("greenlight");
    // `cp` copies it: a program that this process has open for writing could be "busy" when another
    // thread starts a process.
    let copied = Command::new("cp").arg(built("greenlight")).arg(&program).status().await.unwrap();
    assert!(copied.success());
    let data = folder.path().join("data");
    std::fs::create_dir(&data).unwrap();
    std::fs::set_permissions(&data, PermissionsExt::from_mode(0o500)).unwrap();
    let mut command = serve_command(&scene, folder.path(), &prefix, &program);
    give_to_other_user(folder.path());
    let output = command.output().await.unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success());
    let line = format!("the data folder {} cannot be used: Permission denied", data.display());
    assert!(said.contains(&line), "{said}");

    // The same with an existing database.
    std::fs::set_permissions(&data, PermissionsExt::from_mode(0o700)).unwrap();
    Serving::start(&scene, folder.path()).await.stop().await;
    for entry in std::fs::read_dir(&data).unwrap() {
        let path = entry.unwrap().path();
        std::fs::set_permissions(path, PermissionsExt::from_mode(0o400)).unwrap();
    }
    std::fs::set_permissions(&data, PermissionsExt::from_mode(0o500)).unwrap();
    let mut command = serve_command(&scene, folder.path(), &prefix, &program);
    give_to_other_user(folder.path());
    let output = command.output().await.unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        !output.status.success() && said.contains("cannot be used: Permission denied"),
        "{said}"
    );
}
