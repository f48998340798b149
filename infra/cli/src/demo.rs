//! See it work: serve, with a stub of Feishu and of a NAC beside it, and a story told in a few lines.

use std::io;
use std::time::{Duration, Instant};

use bytes::Bytes;
use greenlight_core::ports::{Clock, Http, HttpError, QueueError};
use greenlight_http::{Client, ClientError};
use greenlight_stores::SystemClock;
use http::StatusCode;
use tempfile::TempDir;
use thiserror::Error;

use crate::serve::{Options, ServeError, Server, StopSignals};
use crate::simulator::{FeishuApp, Sent};
use crate::stub::{StubFeishu, StubNac, form_of};

const APPROVAL_CODE: &str = "7C468A54-8745-2245-9675-08B7C63E7A85";
const NAC_TOKEN: &str = "demo-nac-token";

/// However slow the machine: the story takes less than a second on most.
const PATIENCE: Duration = Duration::from_secs(30);

/// The demonstration could not be given, or the story went wrong.
#[derive(Debug, Error)]
pub enum DemoError {
    /// Loopback or the temporary folder cannot be used.
    #[error("the stubs cannot be started: {0}")]
    Stub(#[from] io::Error),
    /// Serving failed.
    #[error(transparent)]
    Serve(#[from] ServeError),
    /// The HTTP client cannot be built.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// An answer did not come.
    #[error(transparent)]
    Http(#[from] HttpError),
    /// A request could not be built.
    #[error(transparent)]
    Request(#[from] http::Error),
    /// The queue cannot be asked.
    #[error(transparent)]
    Queue(#[from] QueueError),
    /// Requests are left in the queue.
    #[error("the queue was not empty after {} s", PATIENCE.as_secs())]
    NotDrained,
    /// What was seen is not what should be.
    #[error("the story went wrong: {0} of its lines are not as they should be")]
    Wrong(usize),
}

/// Tells the story; `keep` leaves everything running until it is interrupted.
///
/// # Errors
/// [`DemoError::Wrong`] when the story went wrong, the others when it could not be told.
pub async fn run(keep: bool) -> Result<(), DemoError> {
    let mut stage = Stage::set().await?;
    println!("greenlight demo: Feishu and the NAC are stubs on loopback, everything else is real");
    println!("                 飞书与 NAC 为本机桩服务，其余均为真实流程\n");
    stage.play().await?;
    stage.figures().await?;
    if keep {
        stage.invite();
        StopSignals::listen().received().await;
    }
    let wrong = stage.wrong;
    stage.server.stop().await;
    if wrong > 0 { Err(DemoError::Wrong(wrong)) } else { Ok(()) }
}

struct Stage {
    app: FeishuApp,
    feishu: StubFeishu,
    nac: StubNac,
    server: Server,
    client: Client,
    events: usize,
    answers: Vec<Duration>,
    wrong: usize,
    _folder: TempDir,
}

impl Stage {
    async fn set() -> Result<Self, DemoError> {
        let app = FeishuApp::default();
        let feishu = StubFeishu::start(app.clone()).await?;
        let nac = StubNac::start(NAC_TOKEN).await?;
        let folder = tempfile::tempdir()?;
        let secrets = folder.path().join("secrets.json");
        std::fs::write(&secrets, app.secret_document(NAC_TOKEN).to_string())?;
        let options = Options {
            listen: ([127, 0, 0, 1], 0).into(),
            data: folder.path().join("data"),
            secrets,
            flows: None,
            feishu_base_url: feishu.url(),
        };
        let nac_url = nac.url();
        let environment = move |name: &str| match name {
            "NAC_URL" => Some(nac_url.clone()),
            "APPROVAL_CODE" => Some(APPROVAL_CODE.to_owned()),
            _ => None,
        };
        Ok(Self {
            server: Server::start_with(options, &environment).await?,
            client: Client::new(None)?,
            app,
            feishu,
            nac,
            events: 0,
            answers: Vec::new(),
            wrong: 0,
            _folder: folder,
        })
    }

    async fn play(&mut self) -> Result<(), DemoError> {
        let check = self.app.url_check("are-you-there");
        let (status, body) = self.send(&check).await?;
        let is_right = status == 200 && body == r#"{"challenge":"are-you-there"}"#;
        self.tell("URL check 请求网址校验", is_right, "the challenge came back");

        let table = [
            "00-00-5E-00-53-02",
            "ＭＡＣ：００００－５ｅ００－５３０３",
            "00005E005304, 0000.5e00.5304",
        ];
        let form = form_of("00:00:5e:00:53:01", &table);
        self.feishu.put_instance("INSTANCE-1", APPROVAL_CODE, "APPROVED", &form);
        self.nac.fail_next([StatusCode::SERVICE_UNAVAILABLE]);
        let approved = self.approval("event-1", "INSTANCE-1", "APPROVED");
        let (status, _) = self.send(&approved).await?;
        self.tell(
            "approval with 4 devices 审批通过，含 4 台设备",
            status == 200,
            "in the queue, then 200",
        );
        self.drained().await?;
        let expected =
            ["00:00:5e:00:53:01", "00:00:5e:00:53:02", "00:00:5e:00:53:03", "00:00:5e:00:53:04"];
        let calls = self.nac.calls();
        self.tell(
            "the whitelist 白名单",
            self.nac.whitelist() == expected,
            &format!("4 devices of 4 spellings in {calls} calls, one of them answered 503"),
        );

        self.send(&approved).await?;
        let other_id = self.approval("event-2", "INSTANCE-1", "APPROVED");
        self.send(&other_id).await?;
        self.drained().await?;
        self.tell(
            "the same again, twice 重复事件",
            self.nac.calls() == calls,
            "same event id and another one: no further call",
        );

        let pending = self.approval("event-3", "INSTANCE-1", "PENDING");
        let (status, _) = self.send(&pending).await?;
        self.tell("a PENDING event 无关事件", status == 200, "200 and ignored");

        let (status, _) =
            self.send(&self.approval("event-4", "INSTANCE-1", "APPROVED").forged()).await?;
        self.tell("a forged signature 伪造签名", status == 401, "401, nothing enqueued");

        let form = form_of("00:00:5e:00:53:0O", &["00:00:5e:00:53:05"]);
        self.feishu.put_instance("INSTANCE-2", APPROVAL_CODE, "APPROVED", &form);
        self.feishu.expire_tokens();
        self.send(&self.approval("event-5", "INSTANCE-2", "APPROVED")).await?;
        self.drained().await?;
        let letters = self.server.database().dead_letters().await?;
        let reason = letters.first().map(|letter| letter.reason.clone()).unwrap_or_default();
        let is_right = letters.len() == 1
            && reason.contains("letter O at position 17")
            && self.nac.whitelist().last().is_some_and(|mac| mac == "00:00:5e:00:53:05");
        self.tell(
            "one good device, one mistyped 一对一错",
            is_right,
            "the good one is on the whitelist",
        );
        println!("     dead-letter queue 死信: {reason}");
        Ok(())
    }

    fn approval(&self, event_id: &str, instance_code: &str, status: &str) -> Sent {
        let now = SystemClock.now().as_millis();
        self.app.approval_instance(event_id, APPROVAL_CODE, instance_code, status, now)
    }

    async fn send(&mut self, sent: &Sent) -> Result<(u16, String), DemoError> {
        let request = sent.to_request(&self.url())?;
        let start = Instant::now();
        let response: http::Response<Bytes> = self.client.send(request).await?;
        self.answers.push(start.elapsed());
        self.events += 1;
        let body = String::from_utf8_lossy(response.body()).into_owned();
        Ok((response.status().as_u16(), body))
    }

    fn url(&self) -> String {
        format!("http://{}/api/event", self.server.address())
    }

    async fn drained(&self) -> Result<(), DemoError> {
        match tokio::time::timeout(PATIENCE, self.server.drained()).await {
            Ok(result) => Ok(result?),
            Err(_) => Err(DemoError::NotDrained),
        }
    }

    fn tell(&mut self, what: &str, is_right: bool, said: &str) {
        let mark = if is_right { "ok " } else { "BAD" };
        self.wrong += usize::from(!is_right);
        println!("{mark}  {what}: {said}");
    }

    async fn figures(&mut self) -> Result<(), DemoError> {
        self.answers.sort();
        let median = self.answers[self.answers.len() / 2].as_secs_f64() * 1_000.0;
        let dead = self.server.database().dead_letters().await?.len();
        println!(
            "\nevents {}, answered in {median:.1} ms (median), whitelisted {}, NAC calls {}, \
             instance reads {}, dead letters {dead}, wrong {}",
            self.events,
            self.nac.whitelist().len(),
            self.nac.calls(),
            self.feishu.reads(),
            self.wrong
        );
        Ok(())
    }

    fn invite(&self) {
        println!("\nIt goes on running; Ctrl-C ends it. To try 可以试试:\n");
        println!("# the whitelist");
        println!("curl -s -H 'Authorization: Bearer {NAC_TOKEN}' {}/api/macs\n", self.nac.url());
        println!("# Feishu's URL check, encrypted as Feishu does");
        println!("{}\n", curl(&self.app.url_check("hello"), &self.url()));
        println!("# the approval once more: answered 200, and nothing happens twice");
        println!("{}\n", curl(&self.approval("event-6", "INSTANCE-1", "APPROVED"), &self.url()));
        println!("# nobody's event: answered 401");
        println!("curl -s -i {} -d '{{\"type\":\"event_callback\"}}'", self.url());
    }
}

fn curl(sent: &Sent, url: &str) -> String {
    let headers = sent.headers.iter().map(|(name, value)| format!(" -H '{name}: {value}'"));
    format!("curl -s{} {url} -d '{}'", headers.collect::<String>(), sent.body)
}
