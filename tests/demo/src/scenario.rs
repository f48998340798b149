//! The scenario: four devices, duplicates, a forged event, a mistyped address, rows of a table, and
//! a withdrawal.

use http::StatusCode;

use crate::{APPROVAL_CODE, DemoError, NAC_TOKEN, Stage};
use greenlight_core::explain::Explanation;
use greenlight_render::{outln, text};
use greenlight_sources::test_request::Sent;
use greenlight_testkit::stub::{forged, form_of};

impl Stage {
    pub(crate) async fn play(&mut self) -> Result<(), DemoError> {
        let check = self.app.url_check("are-you-there");
        let (status, body) = self.machine.send(&check).await?;
        let is_right = status == 200 && body == r#"{"challenge":"are-you-there"}"#;
        let returned = self.machine.language.pick("the challenge was returned", "已返回校验码");
        self.machine.report(("URL check", "请求网址校验"), is_right, returned);

        let table = [
            "00-00-5E-00-53-02",
            "ＭＡＣ：００００－５ｅ００－５３０３",
            "00005E005304, 0000.5e00.5304",
        ];
        let form = form_of("00:00:5e:00:53:01", &table);
        self.feishu.put_instance("INSTANCE-1", APPROVAL_CODE, "APPROVED", &form);
        self.nac.fail_next([StatusCode::SERVICE_UNAVAILABLE]);
        let approved = self.approval("event-1", "INSTANCE-1", "APPROVED");
        let (status, _) = self.machine.send(&approved).await?;
        self.machine.report(
            ("approval with 4 devices", "审批通过，含 4 台设备"),
            status == 200,
            self.machine.language.pick("in the queue, then 200", "先入队，再返回 200"),
        );
        self.machine.drained().await?;
        let expected =
            ["00:00:5e:00:53:01", "00:00:5e:00:53:02", "00:00:5e:00:53:03", "00:00:5e:00:53:04"];
        let calls = self.nac.calls();
        self.machine.report(
            ("the whitelist", "白名单"),
            self.nac.whitelist() == expected,
            &text!(
                self.machine.language,
                "4 devices of 4 spellings in {calls} calls, one of them answered 503",
                "4 种写法的 4 台设备，共 {calls} 次调用，其中一次返回 503"
            ),
        );

        self.machine.send(&approved).await?;
        let other_id = self.approval("event-2", "INSTANCE-1", "APPROVED");
        self.machine.send(&other_id).await?;
        self.machine.drained().await?;
        self.machine.report(
            ("the same again, twice", "重复事件"),
            self.nac.calls() == calls,
            self.machine.language.pick(
                "same event id and another one: no further call",
                "相同与不同的事件 ID 各一次：没有新的调用",
            ),
        );

        let pending = self.approval("event-3", "INSTANCE-1", "PENDING");
        let (status, _) = self.machine.send(&pending).await?;
        let ignored = self.machine.language.pick("200 and ignored", "返回 200 并忽略");
        self.machine.report(("a PENDING event", "PENDING 事件"), status == 200, ignored);

        let (status, _) =
            self.machine.send(&forged(self.approval("event-4", "INSTANCE-1", "APPROVED"))).await?;
        let refused = self.machine.language.pick("401, nothing enqueued", "返回 401，不入队");
        self.machine.report(("a forged signature", "伪造签名"), status == 401, refused);

        let form = form_of("00:00:5e:00:53:0O", &["00:00:5e:00:53:05"]);
        self.feishu.put_instance("INSTANCE-2", APPROVAL_CODE, "APPROVED", &form);
        self.feishu.expire_tokens();
        self.machine.send(&self.approval("event-5", "INSTANCE-2", "APPROVED")).await?;
        self.machine.drained().await?;
        let letters = self.machine.server.database().dead_letters().await?;
        let reason = letters.first().and_then(|letter| letter.last_failure.as_ref());
        let cause = reason.map(|last_failure| last_failure.cause.clone());
        let cause = cause.unwrap_or_else(|| Explanation::quoted(""));
        let is_right = letters.len() == 1
            && cause.text.contains("letter O at position 17")
            && self.nac.whitelist().last().is_some_and(|mac| mac == "00:00:5e:00:53:05");
        self.machine.report(
            ("one good device, one mistyped", "一台正确，一台填错"),
            is_right,
            self.machine
                .language
                .pick("the good one is on the whitelist", "正确的一台已加入白名单"),
        );
        let cause = self.machine.language.explain(&cause);
        outln!(
            "     {}",
            text!(self.machine.language, "dead-letter queue: {cause}", "死信队列：{cause}")
        );
        self.rows().await?;
        self.withdraw(&expected).await
    }

    /// Withdraws the first approval: its devices lose their access.
    async fn withdraw(&mut self, devices: &[&str]) -> Result<(), DemoError> {
        self.feishu.revert("INSTANCE-1");
        self.machine.send(&self.approval("event-8", "INSTANCE-1", "REVERTED")).await?;
        self.machine.drained().await?;
        let whitelist = self.nac.whitelist();
        let is_right = !whitelist.iter().any(|mac| devices.contains(&mac.as_str()));
        let left = whitelist.len();
        let said = text!(
            self.machine.language,
            "its 4 devices are removed, the {left} of other approvals stay",
            "其 4 台设备已移除，其他审批的 {left} 台不受影响"
        );
        self.machine.report(("the approval is withdrawn", "撤销审批"), is_right, &said);
        Ok(())
    }

    pub(crate) async fn figures(&mut self) -> Result<(), DemoError> {
        self.machine.answers.sort();
        let median = self.machine.answers[self.machine.answers.len() / 2].as_secs_f64() * 1_000.0;
        let dead = self.machine.server.database().dead_letters().await?.len();
        let (events, wrong, calls) = (self.machine.events, self.machine.wrong, self.nac.calls());
        let (whitelisted, reads) = (self.nac.whitelist().len(), self.feishu.reads());
        let figures = text!(
            self.machine.language,
            "events {events}, answered in {median:.1} ms (median), whitelisted {whitelisted}, NAC \
             calls {calls}, instance reads {reads}, dead letters {dead}, wrong {wrong}",
            "事件 {events}，应答 {median:.1} 毫秒（中位数），白名单 {whitelisted} 台，NAC 调用 \
             {calls} 次，读取实例 {reads} 次，死信 {dead} 条，不符合预期 {wrong}"
        );
        outln!("\n{figures}");
        Ok(())
    }

    pub(crate) fn invite(&self) {
        let title = self.machine.language.pick(
            "It goes on running; Ctrl-C ends it. To try:",
            "服务继续运行，按 Ctrl-C 结束。可以试试：",
        );
        outln!("\n{title}\n");
        let comment =
            |english, chinese| outln!("# {}", self.machine.language.pick(english, chinese));
        comment("the whitelist", "白名单");
        outln!("curl -s -H 'Authorization: Bearer {NAC_TOKEN}' {}/api/macs\n", self.nac.url());
        comment("Feishu's URL check, encrypted as Feishu does", "飞书的网址校验，与飞书一样加密");
        outln!("{}\n", curl(&self.app.url_check("hello"), &self.machine.url()));
        comment(
            "the approval once more: answered 200, and nothing happens twice",
            "再次发送同一审批：返回 200，不会重复执行",
        );
        outln!(
            "{}\n",
            curl(&self.approval("event-6", "INSTANCE-1", "APPROVED"), &self.machine.url())
        );
        comment("a forged event: answered 401", "伪造的事件：返回 401");
        outln!("curl -s -i {} -d '{{\"type\":\"event_callback\"}}'", self.machine.url());
    }
}

fn curl(sent: &Sent, url: &str) -> String {
    let headers = sent.headers.iter().map(|(name, value)| format!(" -H '{name}: {value}'"));
    format!("curl -s{} {url} -d '{}'", headers.collect::<String>(), sent.body)
}
