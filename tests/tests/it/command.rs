//! The command as a process, over SQLite: exit statuses, prompts and JSON output.

use std::path::Path;
use std::process::Stdio;

use greenlight_core::explain::Explain;
use greenlight_core::extract::Problem;
use greenlight_core::ports::{DeadLetter, Enqueue, HttpError, SendDeadLetter};
use greenlight_core::{Class, Reason, Timestamp};
use greenlight_stores::sqlite::Database;
use greenlight_testkit::prose::english_runs;
use greenlight_testkit::request::request;
use serde_json::{Value, json};

/// The output and exit status of a run.
#[derive(Debug)]
struct Ran {
    status: i32,
    stdout: String,
    stderr: String,
}

impl Ran {
    /// Parses each line of standard output as JSON.
    fn json(&self) -> Vec<Value> {
        let line = |line: &str| serde_json::from_str(line).unwrap_or_else(|_| panic!("{self:?}"));
        self.stdout.lines().map(line).collect()
    }
}

/// Runs the command without a terminal; `folder` is its data folder.
async fn run(folder: &Path, arguments: &[&str]) -> Ran {
    run_in("en", folder, arguments).await
}

/// As [`run`], in the locale `language`.
async fn run_in(language: &str, folder: &Path, arguments: &[&str]) -> Ran {
    let output = tokio::process::Command::new(greenlight_tests::built("greenlight"))
        .env("LC_ALL", language)
        .env_remove("GREENLIGHT_LANG")
        .args(arguments)
        .arg("--data-dir")
        .arg(folder)
        .stdin(Stdio::null())
        .output()
        .await
        .unwrap();
    Ran {
        status: output.status.code().unwrap(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

/// A data folder with one message in the queue and two dead letters.
async fn folder() -> (tempfile::TempDir, std::path::PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let database = Database::open(&data).await.unwrap();
    database.enqueue(&request("I-0")).await.unwrap();
    let problem = Problem::NoneFound { field: "mac".into(), kind: "mac" };
    let timeout = HttpError::Timeout { host: "nac.example.com".into() };
    for (instance, class, cause) in [
        ("I-1", Class::InvalidForm, problem.explain()),
        ("I-2", Class::TargetUnavailable, timeout.explain()),
    ] {
        let (body, reason) = (request(instance).to_json(), Reason::new(class, cause));
        let letter = DeadLetter {
            body: &body,
            reason: &reason,
            receive_count: 1,
            first_received: Timestamp::from_millis(0),
            failed_at: Timestamp::from_millis(1_000),
        };
        database.send_dead_letter(&letter).await.unwrap();
    }
    database.close().await;
    (folder, data)
}

#[tokio::test]
async fn exit_statuses_say_what_kind_of_failure_it_was() {
    let (_folder, data) = folder().await;
    let absent = data.join("absent");
    for (folder, arguments, status) in [
        (&data, ["status"].as_slice(), 0),
        (&data, &["status", "--waiting"], 0),
        (&data, &["grants"], 0),
        (&data, &["dlq", "list"], 0),
        (&data, &["dlq", "show", "1"], 0),
        // The data folder does not exist.
        (&absent, &["status"], 1),
        // The requested item does not exist.
        (&data, &["dlq", "show", "99"], 3),
        (&data, &["dlq", "redrive", "99", "--yes"], 3),
        (&data, &["dlq", "redrive", "--class", "no_such_class", "--yes"], 3),
        (&data, &["dlq", "discard", "99", "--reason", "none", "--yes"], 3),
        (&data, &["audit", "I-99"], 3),
        (&data, &["replay", "I-99"], 3),
        // The command line is invalid.
        (&data, &["dlq", "redrive"], 2),
        (&data, &["dlq", "discard", "1", "--yes"], 2),
        (&data, &["status", "--no-such-flag"], 2),
    ] {
        let ran = run(folder, arguments).await;
        assert_eq!(ran.status, status, "{arguments:?}: {ran:?}");
        assert_eq!(ran.stderr.is_empty(), status == 0, "{arguments:?}: {ran:?}");
    }
}

/// Without a terminal the command cannot prompt, so it changes nothing without `--yes`.
#[tokio::test]
async fn prompts_are_refused_where_there_is_no_terminal() {
    let (_folder, data) = folder().await;
    for arguments in [
        ["dlq", "redrive", "1"].as_slice(),
        &["dlq", "redrive", "--class", "invalid_form"],
        &["dlq", "discard", "1", "--reason", "none"],
        &["replay", "I-1", "--definition-id", "A", "--force"],
    ] {
        let ran = run(&data, arguments).await;
        assert_eq!((ran.status, ran.stdout.as_str()), (1, ""), "{arguments:?}: {ran:?}");
        assert!(ran.stderr.contains("--yes"), "{ran:?}");
    }
    let left = run(&data, &["dlq", "list", "--json"]).await.json();
    assert_eq!(left.len(), 2, "{left:?}");
    // A dry run changes nothing and does not prompt.
    let dry = run(&data, &["dlq", "redrive", "1", "--dry-run", "--json"]).await;
    assert_eq!(dry.json(), [json!({"id": "1", "is_back": false, "number": 1, "of": 1})]);
    let status = run(&data, &["status", "--json"]).await.json();
    assert_eq!(status[0]["waiting"], 1, "{status:?}");
}

#[tokio::test]
async fn json_is_one_object_per_line() {
    let (_folder, data) = folder().await;
    let letters = run(&data, &["dlq", "list", "--json"]).await.json();
    let classes: Vec<_> = letters.iter().map(|letter| &letter["class"]).collect();
    assert_eq!(classes, ["invalid_form", "target_unavailable"]);
    let letter = run(&data, &["dlq", "show", "2", "--json"]).await.json();
    assert_eq!(letter, letters[1..]);
    let redriven = run(&data, &["dlq", "redrive", "2", "--yes", "--json"]).await.json();
    assert_eq!(redriven, [json!({"id": "2", "is_back": true, "number": 1, "of": 1})]);
    let discarded =
        run(&data, &["dlq", "discard", "1", "--reason", "taken back", "--yes", "--json"]).await;
    assert_eq!(discarded.json(), [json!({"id": "1", "discarded": true, "reason": "taken back"})]);
    let status = run(&data, &["status", "--json"]).await.json().remove(0);
    assert_eq!((&status["waiting"], &status["dead_letters"]), (&2.into(), &0.into()), "{status}");
    let replayed = ["replay", "I-9", "--definition-id", "A", "--json"];
    let replayed = run(&data, &replayed).await.json();
    assert_eq!(replayed, [json!({"instance": "I-9", "enqueued": true})]);
    for (arguments, lines) in [(["grants", "--json"], 0), (["status", "--json"], 1)] {
        assert_eq!(run(&data, &arguments).await.json().len(), lines, "{arguments:?}");
    }
}

/// The locale and `--lang` decide, for results, for reasons that another process recorded, and for
/// errors; JSON is the same in every language.
#[tokio::test]
async fn texts_are_in_the_language_of_the_reader() {
    let (_folder, data) = folder().await;
    let english = run_in("zh_CN.UTF-8", &data, &["dlq", "list", "--lang", "en"]).await.stdout;
    assert!(english.contains("nothing of the kind `mac` was found"), "{english}");
    for (locale, flag) in [("zh_CN.UTF-8", &[][..]), ("C", &["--lang", "zh"])] {
        let said = async |arguments: &[&str], status| {
            let ran = run_in(locale, &data, &[arguments, flag].concat()).await;
            assert_eq!(ran.status, status, "{arguments:?}: {ran:?}");
            let said = ran.stdout + &ran.stderr;
            // The usage names commands.
            let texts: Vec<_> = said.lines().filter(|line| !line.contains("用法")).collect();
            assert_eq!(english_runs(&texts.join("\n")), [""; 0], "{arguments:?}: {said}");
            said
        };
        let listed = said(&["dlq", "list"], 0).await;
        assert!(listed.contains("字段 `mac`：填写内容中没有 `mac` 类型的值"), "{listed}");
        assert!(listed.contains("nac.example.com 未在时限内应答"), "{listed}");
        for (arguments, status, expected) in [
            (["dlq", "show", "1"].as_slice(), 0, "告知申请人"),
            (&["status"], 0, "等待中"),
            (&["status", "--waiting"], 0, "没有等待重试的请求"),
            (&["grants"], 0, "没有授权记录"),
            (&["audit", "I-99"], 3, "账本中没有"),
            (&["replay", "I-99"], 3, "--definition-id"),
            (&["dlq", "redrive", "1"], 1, "请加 --yes"),
            (&["connectors", "list", "--no-such-flag"], 2, "没有参数"),
        ] {
            let arguments: Vec<_> = arguments.to_vec();
            let said = said(&arguments, status).await;
            assert!(said.contains(expected), "{arguments:?}: {said}");
        }
    }
    for arguments in [
        ["dlq", "list"].as_slice(),
        &["dlq", "show", "1"],
        &["dlq", "redrive", "1", "--dry-run"],
        &["status"],
        &["status", "--waiting"],
        &["grants"],
    ] {
        let arguments = [arguments, &["--json"]].concat();
        let json = async |language, arguments: &[&str]| {
            let mut lines = run_in(language, &data, arguments).await.json();
            for line in &mut lines {
                // It grows between two runs.
                line.as_object_mut().unwrap().remove("oldest_seconds");
            }
            lines
        };
        let english = json("C", &arguments).await;
        let chinese = json("zh_CN.UTF-8", &arguments).await;
        let flag = json("C", &[&arguments[..], &["--lang", "zh"]].concat()).await;
        assert_eq!(english, chinese, "{arguments:?}");
        assert_eq!(english, flag, "{arguments:?}");
    }
    let shown = run(&data, &["dlq", "show", "1", "--json"]).await.json();
    assert_eq!(shown[0]["cause"]["code"], "form.none_found", "{shown:?}");
}

/// Problems of an instance are in the output and in the exit status.
#[tokio::test]
async fn flows_plan_ends_with_status_1_when_the_instance_has_problems() {
    let folder = tempfile::tempdir().unwrap();
    let instance = |devices: &[&str]| {
        let form = greenlight_testkit::stub::form_of("", devices);
        let answer = json!({"code": 0, "data": {"approval_code": "A", "instance_code": "I-1",
            "status": "APPROVED", "open_id": "ou_1", "serial_number": "7",
        "end_time": "1764414000000", "form": form.to_string()}});
        let path = folder.path().join("instance.json");
        std::fs::write(&path, answer.to_string()).unwrap();
        path
    };
    let plan = async |devices: &[&str]| {
        let output = tokio::process::Command::new(greenlight_tests::built("greenlight"))
            .args(["flows", "plan", "device-whitelist", "--json", "--instance"])
            .arg(instance(devices))
            .env("APPROVAL_CODE", "A")
            .env("NAC_URL", "https://nac.example.com")
            .output()
            .await
            .unwrap();
        let run: Value = serde_json::from_slice(&output.stdout).unwrap();
        (output.status.code(), run)
    };
    let (status, run) = plan(&["00:00:5e:00:53:01"]).await;
    assert_eq!((status, &run["problems"]), (Some(0), &json!([])), "{run}");
    assert_eq!(run["effects"][0]["subject"], "00:00:5e:00:53:01");
    let (status, run) = plan(&["00:00:5e:00:53:01", "00:00:5e:00:53:0O"]).await;
    assert_eq!(status, Some(1));
    assert_eq!(run["problems"].as_array().map(Vec::len), Some(1), "{run}");
    assert_eq!(run["effects"].as_array().map(Vec::len), Some(1), "the good device is planned");
}
