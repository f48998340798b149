//! `greenlight serve` on a disk that is full, and in a folder that may not be written.

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::time::Duration;

use greenlight_tests::built;
use greenlight_tests::scene::{Scene, device};
use greenlight_tests::serving::{Serving, serve_command};
use tokio::process::Command;

/// No file may grow beyond 256 KiB, and a write beyond it fails: a disk that takes no more.
const FULL_DISK: [&str; 4] = ["sh", "-c", "trap '' XFSZ; ulimit -S -f 512; exec \"$@\"", "sh"];

/// Longer than a message is held by an attempt that could not be recorded.
const TIMEOUT: Duration = Duration::from_mins(3);

/// Sends approvals, each with a device of its own from `first` on, until one is not taken; gives
/// how many were.
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
    unreachable!("the disk takes no more")
}

/// Guarantee 1: on a full disk nothing is answered 200 that is not kept, and nothing that was is
/// lost, whether there is room again while it runs or it is started anew.
#[tokio::test(flavor = "multi_thread")]
async fn g01_a_full_disk_is_answered_503_and_loses_nothing() {
    let scene = Scene::set().await;
    let folder = tempfile::tempdir().unwrap();
    let serving = Serving::start_by(&scene, folder.path(), &FULL_DISK).await;
    let taken = send_until_refused(&scene, &serving, 0).await;
    assert!(taken > 0);
    let check = scene.send_to(serving.url(), None, &scene.app.url_check("x")).await;
    assert_eq!(check.status, 200, "what needs no disk is answered all the same");

    // There is room again, without a restart. Feishu sends the refused one again.
    serving.set_limit("--fsize=unlimited").await;
    let refused = scene.event(&format!("e-{taken}"), &format!("I-{taken}"), "APPROVED");
    assert_eq!(scene.send_to(serving.url(), None, &refused).await.status, 200);
    let expected: Vec<String> = (0..=taken).map(device).collect();
    let reached = scene.nac.wait_for_whitelist(&expected);
    let is_reached = tokio::time::timeout(TIMEOUT, reached).await.is_ok();
    assert!(is_reached, "{:?}", scene.nac.whitelist());
    // Ended well, its file is small: there is room for a start on a small disk.
    let log = serving.stop().await;
    assert!(log.contains("approval not enqueued") && log.contains("disk"), "{log}");

    // Full again, and killed.
    let serving = Serving::start_by(&scene, folder.path(), &FULL_DISK).await;
    let more = send_until_refused(&scene, &serving, taken + 1).await;
    serving.kill().await;
    let serving = Serving::start(&scene, folder.path()).await;
    let expected: Vec<String> = (0..=taken + more).map(device).collect();
    let reached = scene.nac.wait_for_whitelist(&expected);
    let is_reached = tokio::time::timeout(TIMEOUT, reached).await.is_ok();
    assert!(is_reached, "{:?}", scene.nac.whitelist());
    println!("{taken} events were taken before the disk was full, all are on the whitelist");
    serving.stop().await;
}

/// Root may write everywhere; then another user serves.
fn as_nobody(folder: &Path) -> Vec<&'static str> {
    let is_root = std::fs::metadata("/proc/self").unwrap().uid() == 0;
    if !is_root {
        return Vec::new();
    }
    std::fs::set_permissions(folder, PermissionsExt::from_mode(0o755)).unwrap();
    vec!["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--"]
}

/// Has everything below `folder` belong to the user of [`as_nobody`].
fn give_to_nobody(folder: &Path) {
    if std::fs::metadata("/proc/self").unwrap().uid() != 0 {
        return;
    }
    let status =
        std::process::Command::new("chown").args(["-R", "65534:65534"]).arg(folder).status();
    assert!(status.unwrap().success());
}

/// One that this user may not even look into is no folder without a database.
#[tokio::test(flavor = "multi_thread")]
async fn a_folder_that_may_not_be_read_is_named_as_such() {
    let scene = Scene::set().await;
    let folder = tempfile::tempdir().unwrap();
    Serving::start(&scene, folder.path()).await.stop().await;
    let data = folder.path().join("data");
    let nobody = as_nobody(folder.path());
    if nobody.is_empty() {
        std::fs::set_permissions(&data, PermissionsExt::from_mode(0o000)).unwrap();
    }
    let program = folder.path().join("greenlight");
    let copied = Command::new("cp").arg(built("greenlight")).arg(&program).status().await.unwrap();
    assert!(copied.success());
    for (arguments, status) in [(["status"].as_slice(), 1), (&["doctor"], 1), (&["dlq", "list"], 1)]
    {
        let words = nobody.iter().map(AsRef::as_ref).chain([program.as_os_str()]);
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
    let nobody = as_nobody(folder.path());
    // Where other users may not read the build's folder, a copy can still be run.
    let program = folder.path().join("greenlight");
    // Not by ourselves: a file that is open for writing while another thread starts a process is
    // "busy".
    let copied = Command::new("cp").arg(built("greenlight")).arg(&program).status().await.unwrap();
    assert!(copied.success());
    let data = folder.path().join("data");
    std::fs::create_dir(&data).unwrap();
    std::fs::set_permissions(&data, PermissionsExt::from_mode(0o500)).unwrap();
    let (mut command, _) = serve_command(&scene, folder.path(), &nobody, &program);
    give_to_nobody(folder.path());
    let output = command.output().await.unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success());
    let line = format!("the data folder {} cannot be used: Permission denied", data.display());
    assert!(said.contains(&line), "{said}");

    // The same with a database of before in it.
    std::fs::set_permissions(&data, PermissionsExt::from_mode(0o700)).unwrap();
    Serving::start(&scene, folder.path()).await.stop().await;
    for entry in std::fs::read_dir(&data).unwrap() {
        let path = entry.unwrap().path();
        std::fs::set_permissions(path, PermissionsExt::from_mode(0o400)).unwrap();
    }
    std::fs::set_permissions(&data, PermissionsExt::from_mode(0o500)).unwrap();
    let (mut command, _) = serve_command(&scene, folder.path(), &nobody, &program);
    give_to_nobody(folder.path());
    let output = command.output().await.unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        !output.status.success() && said.contains("cannot be used: Permission denied"),
        "{said}"
    );
}
