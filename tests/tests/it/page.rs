//! The operator's page of `greenlight serve --ui`, in a real browser.

use bytes::Bytes;
use greenlight_core::ports::Http;
use greenlight_tests::browser::Browser;
use greenlight_tests::local_aws::free_port;
use greenlight_tests::scene::{Scene, device};
use greenlight_tests::serving::Serving;
use greenlight_tests::stack::TIMEOUT;

const TAB: &str = "\u{e004}";
const ENTER: &str = "\u{e007}";

/// An operator sees a failure and its reason, redrives it by keyboard, and sees the success; light
/// and dark, in English and Chinese.
#[tokio::test(flavor = "multi_thread")]
async fn an_operator_sees_a_failure_reads_why_and_puts_it_right() {
    let (scene, folder) = (Scene::set().await, tempfile::tempdir().unwrap());
    let port = free_port();
    let ui = ["--ui", &port.to_string()];
    let serving = Serving::start_with(&scene, folder.path(), &ui).await;
    let token = std::fs::read_to_string(folder.path().join("data/ui-token")).unwrap();
    let page = format!("http://127.0.0.1:{port}");
    for (event, instance, devices) in [
        ("e-1", "I-1", vec![device(1), device(2)]),
        ("e-2", "I-2", vec![device(3), "00:00:5e:00:53:O4".to_owned()]),
    ] {
        let devices: Vec<_> = devices.iter().map(String::as_str).collect();
        scene.approve(instance, &devices);
        let sent = scene.event(event, instance, "APPROVED");
        assert_eq!(scene.send_to(serving.url(), None, &sent).await.status, 200);
    }

    let browser = Browser::start("en").await;
    browser.open(&page).await;
    assert!(browser.text().await.contains("for the user who started it"), "no token, no page");
    browser.open(&format!("{page}/?token={}", token.trim())).await;
    assert!(!browser.run("return location.href").await.to_string().contains("token"));
    let text = browser.open_until(&page, "letter O at position 16").await;
    for expected in ["invalid_form", "tell the applicant", "Redrive", "I-1", "done", &device(3)] {
        assert!(text.contains(expected), "{expected}: {text}");
    }
    browser.prefer("dark").await;
    browser.keep_picture("page-dark").await;
    browser.prefer("light").await;
    browser.keep_picture("page-light").await;
    let (search, history) = ("?q=0000.5e00.5303", "add 00:00:5e:00:53:03 at nac");
    browser.open(&format!("{page}/{search}")).await;
    browser.click("details summary").await;
    assert!(browser.text().await.contains(history));
    browser.keep_picture("page-history").await;

    // The applicant corrects the form. The button is pressed without a mouse.
    scene.approve("I-2", &[&device(3), &device(4)]);
    browser.open(&page).await;
    let focused = "return document.activeElement.name === 'id'";
    for _ in 0..20 {
        browser.press(&[TAB]).await;
        if browser.run(focused).await == true {
            break;
        }
    }
    assert_eq!(browser.run(focused).await, true, "the button can be reached by the keyboard");
    browser.press(&[ENTER]).await;
    let devices = [1, 2, 3, 4].map(device);
    let is_listed = tokio::time::timeout(TIMEOUT, scene.nac.wait_for_whitelist(&devices)).await;
    assert!(is_listed.is_ok(), "{}", browser.text().await);
    let text = browser.open_until(&format!("{page}/?lang=zh"), "死信队列为空").await;
    assert!(text.contains("已完成") && !text.contains("Recent requests"), "{text}");
    browser.open_until(&format!("{page}/?q=I-2"), "succeeded").await;
    browser.open(&format!("{page}/?lang=zh")).await;
    browser.keep_picture("page-zh").await;
    // The figures of an open page update by themselves.
    let live = "return document.querySelector('[data-count=last_hour]').value";
    assert_eq!(browser.run(live).await, "2");
    browser.close().await;
    serving.stop().await;
}

/// Other users of the machine, pages of other origins, and DNS names for loopback are rejected.
#[tokio::test(flavor = "multi_thread")]
async fn the_page_is_for_the_operator_alone() {
    let (scene, folder) = (Scene::set().await, tempfile::tempdir().unwrap());
    let port = free_port();
    let serving = Serving::start_with(&scene, folder.path(), &["--ui", &port.to_string()]).await;
    let token_file = folder.path().join("data/ui-token");
    let token = std::fs::read_to_string(&token_file).unwrap().trim().to_owned();
    let mode = std::os::unix::fs::PermissionsExt::mode(
        &std::fs::metadata(&token_file).unwrap().permissions(),
    );
    assert_eq!(mode & 0o777, 0o600);
    let ask = async |method: &str, path: &str, headers: &[(&str, &str)], body: &'static str| {
        let mut request =
            http::Request::builder().method(method).uri(format!("http://127.0.0.1:{port}{path}"));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        scene.client.send(request.body(Bytes::from_static(body.as_bytes())).unwrap()).await.unwrap()
    };
    for path in ["/", "/counts", "/?token=wrong"] {
        assert_eq!(ask("GET", path, &[], "").await.status(), 401, "{path}");
    }
    assert_eq!(ask("POST", "/redrive", &[], "id=1&form_token=&lang=en").await.status(), 401);
    let login = ask("GET", &format!("/?token={token}"), &[], "").await;
    let cookie = login.headers()["set-cookie"].to_str().unwrap().to_owned();
    assert!(cookie.contains("HttpOnly") && cookie.contains("SameSite=Strict"), "{cookie}");
    let cookie = cookie.split(';').next().unwrap().to_owned();
    let ours = ("cookie", cookie.as_str());
    let page = ask("GET", "/", &[ours], "").await;
    assert_eq!(page.status(), 200);
    let policy = page.headers()["content-security-policy"].to_str().unwrap();
    assert!(policy.contains("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
    // With the cookie, but from another origin.
    let foreign = [ours, ("origin", "https://evil.example")];
    assert_eq!(ask("GET", "/counts", &foreign, "").await.status(), 403);
    let rebound = [ours, ("host", "evil.example")];
    assert_eq!(ask("GET", "/", &rebound, "").await.status(), 421);
    let form = ("content-type", "application/x-www-form-urlencoded");
    let guessed = ask("POST", "/redrive", &[ours, form], "id=1&form_token=guess&lang=en").await;
    assert_eq!(guessed.status(), 403);
    let log = serving.stop().await;
    assert!(!log.contains(&token), "the log has no token");
}
