//! The scenario: four devices, duplicates, a forged event, a mistyped address.

use http::StatusCode;

use crate::{APPROVAL_CODE, DemoError, NAC_TOKEN, Stage};
use greenlight_render::outln;
use greenlight_sources::feishu::Sent;
use greenlight_testkit::stub::form_of;

impl Stage {
    pub(crate) async fn play(&mut self) -> Result<(), DemoError> {
        let check = self.app.url_check("are-you-there");
        let (status, body) = self.send(&check).await?;
        let is_right = status == 200 && body == r#"{"challenge":"are-you-there"}"#;
        self.report("URL check 请求网址校验", is_right, "the challenge was returned");

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
        self.report(
            "approval with 4 devices 审批通过，含 4 台设备",
            status == 200,
            "in the queue, then 200",
        );
        self.drained().await?;
        let expected =
            ["00:00:5e:00:53:01", "00:00:5e:00:53:02", "00:00:5e:00:53:03", "00:00:5e:00:53:04"];
        let calls = self.nac.calls();
        self.report(
            "the whitelist 白名单",
            self.nac.whitelist() == expected,
            &format!("4 devices of 4 spellings in {calls} calls, one of them answered 503"),
        );

        self.send(&approved).await?;
        let other_id = self.approval("event-2", "INSTANCE-1", "APPROVED");
        self.send(&other_id).await?;
        self.drained().await?;
        self.report(
            "the same again, twice 重复事件",
            self.nac.calls() == calls,
            "same event id and another one: no further call",
        );

        let pending = self.approval("event-3", "INSTANCE-1", "PENDING");
        let (status, _) = self.send(&pending).await?;
        self.report("a PENDING event 无关事件", status == 200, "200 and ignored");

        let (status, _) =
            self.send(&self.approval("event-4", "INSTANCE-1", "APPROVED").forged()).await?;
        self.report("a forged signature 伪造签名", status == 401, "401, nothing enqueued");

        let form = form_of("00:00:5e:00:53:0O", &["00:00:5e:00:53:05"]);
        self.feishu.put_instance("INSTANCE-2", APPROVAL_CODE, "APPROVED", &form);
        self.feishu.expire_tokens();
        self.send(&self.approval("event-5", "INSTANCE-2", "APPROVED")).await?;
        self.drained().await?;
        let letters = self.server.database().dead_letters().await?;
        let reason = letters.first().and_then(|letter| letter.last_failure.as_ref());
        let reason = reason.map(|last_failure| last_failure.reason.clone()).unwrap_or_default();
        let is_right = letters.len() == 1
            && reason.contains("letter O at position 17")
            && self.nac.whitelist().last().is_some_and(|mac| mac == "00:00:5e:00:53:05");
        self.report(
            "one good device, one mistyped 一对一错",
            is_right,
            "the good one is on the whitelist",
        );
        outln!("     dead-letter queue 死信: {reason}");
        Ok(())
    }

    pub(crate) async fn figures(&mut self) -> Result<(), DemoError> {
        self.answers.sort();
        let median = self.answers[self.answers.len() / 2].as_secs_f64() * 1_000.0;
        let dead = self.server.database().dead_letters().await?.len();
        outln!(
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

    pub(crate) fn invite(&self) {
        outln!("\nIt goes on running; Ctrl-C ends it. To try 可以试试:\n");
        outln!("# the whitelist");
        outln!("curl -s -H 'Authorization: Bearer {NAC_TOKEN}' {}/api/macs\n", self.nac.url());
        outln!("# Feishu's URL check, encrypted as Feishu does");
        outln!("{}\n", curl(&self.app.url_check("hello"), &self.url()));
        outln!("# the approval once more: answered 200, and nothing happens twice");
        outln!("{}\n", curl(&self.approval("event-6", "INSTANCE-1", "APPROVED"), &self.url()));
        outln!("# a forged event: answered 401");
        outln!("curl -s -i {} -d '{{\"type\":\"event_callback\"}}'", self.url());
    }
}

fn curl(sent: &Sent, url: &str) -> String {
    let headers = sent.headers.iter().map(|(name, value)| format!(" -H '{name}: {value}'"));
    format!("curl -s{} {url} -d '{}'", headers.collect::<String>(), sent.body)
}
