//! The demonstration with FreeRADIUS: it rejects a device, and accepts it after the approval.

use std::sync::Arc;
use std::time::Duration;

use crate::{APPROVAL_CODE, DemoError, Stage, TIMEOUT};
use greenlight_admin::grants::{self, NewGrant};
use greenlight_admin::operator::Operator;
use greenlight_admin::stores::Stores;
use greenlight_core::grant::{GrantKey, Phase};
use greenlight_core::ports::{Clock, KeepGrants, LedgerError};
use greenlight_core::subject::{MAC, Subject};
use greenlight_render::language::Language;
use greenlight_render::{outln, text};
use greenlight_stores::SystemClock;
use greenlight_testkit::stub::{Access, Radius, Whitelist, form_of};

/// The same device, as different switches spell it.
const SPELLINGS: [&str; 5] = [
    "00:00:5e:00:53:01",
    "00:00:5E:00:53:01",
    "0000.5e00.5301",
    "00-00-5E-00-53-01",
    "00005e005301",
];

/// How long the second approval lasts.
const LASTS: Duration = Duration::from_secs(8);

fn device() -> Result<Subject, DemoError> {
    Subject::parse(&MAC, SPELLINGS[0]).map_err(DemoError::Subject)
}

const OTHER: &str = "00:00:5e:00:53:02";

/// The scenario, once over FreeRADIUS's SQL tables, and once over an HTTP service that it asks.
///
/// # Errors
/// [`DemoError::Radius`] when FreeRADIUS is not installed, [`DemoError::Wrong`] when a step
/// failed.
pub async fn run_radius(language: Language) -> Result<(), DemoError> {
    let title = language.pick(
        "greenlight demo: FreeRADIUS is real, and so is everything else but Feishu",
        "greenlight 演示：FreeRADIUS 及其余流程均为真实运行，仅飞书为本机桩服务",
    );
    outln!("{title}");
    over_sql(language).await?;
    over_http(language).await
}

async fn over_sql(language: Language) -> Result<(), DemoError> {
    outln!("\n{}", language.pick("over its SQL tables", "通过其数据库表"));
    let (feishu, nac) = Stage::stubs().await?;
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("radius.db");
    let radius = Radius::start(&Whitelist::Sqlite(file.clone())).await?;
    let flows = flows("freeradius-sql", &format!("sqlite://{}", file.display()));
    Stage::set_with(feishu, nac, folder, &flows, language).await?.let_in(&radius).await
}

async fn over_http(language: Language) -> Result<(), DemoError> {
    let title = language.pick("over an HTTP service that it asks", "通过它查询的 HTTP 白名单服务");
    outln!("\n{title}");
    let (feishu, nac) = Stage::stubs().await?;
    let radius = Radius::start(&Whitelist::Http(nac.url())).await?;
    let flows = flows("freeradius-rest", &nac.url());
    Stage::set_with(feishu, nac, tempfile::tempdir()?, &flows, language)
        .await?
        .let_in(&radius)
        .await
}

fn flows(connector: &str, url: &str) -> String {
    format!(
        r#"
        [sources.feishu]
        kind = "feishu"
        [targets.nac]
        connector = "{connector}"
        url = "{url}"
        [[flows]]
        name = "device-whitelist"
        definition_id = "{APPROVAL_CODE}"
        fields.mac = {{ kind = "mac", from = [{{ field = "devices", column = "mac" }}] }}
        fields.valid_until = {{ kind = "date", from = [{{ field = "有效期" }}], optional = true }}
        grant = {{ until = "valid_until", at_most = "365days" }}
        actions = [{{ target = "nac", operation = "add", for_each = "mac" }}]
        "#
    )
}

impl Stage {
    async fn let_in(mut self, radius: &Radius) -> Result<(), DemoError> {
        let device = SPELLINGS[0];
        let is_kept_out = radius.ask(device, device).await? == Access::Reject;
        self.machine.report(
            ("before the approval", "审批前"),
            is_kept_out,
            &format!("Access-Reject {device}"),
        );

        let form = form_of("", &["0000-5E00-5301"]);
        self.feishu.put_instance("INSTANCE-1", APPROVAL_CODE, "APPROVED", &form);
        let (status, _) =
            self.machine.send(&self.approval("event-1", "INSTANCE-1", "APPROVED")).await?;
        self.machine.drained().await?;
        let is_done =
            status == 200 && self.machine.server.database().dead_letters().await?.is_empty();
        let done = self.machine.language.pick("in the queue, read, done", "入队、读取、执行完毕");
        self.machine.report(("the approval", "审批通过"), is_done, done);

        for spelling in SPELLINGS {
            let is_let_in = radius.ask(spelling, spelling).await? == Access::Accept;
            self.machine.report(
                ("after it", "审批后"),
                is_let_in,
                &format!("Access-Accept {spelling}"),
            );
        }
        let is_kept_out = radius.ask(OTHER, OTHER).await? == Access::Reject;
        let rejected = format!("Access-Reject {OTHER}");
        self.machine.report(("another device", "其他设备"), is_kept_out, &rejected);
        let is_kept_out = radius.ask(device, OTHER).await? == Access::Reject;
        let said = text!(
            self.machine.language,
            "Access-Reject {OTHER}, which says that it is {device}",
            "Access-Reject {OTHER}，它自称 {device}"
        );
        self.machine.report(("a pretender", "冒名设备"), is_kept_out, &said);
        self.ends(radius).await?;
        self.machine.end().await
    }

    /// Asks for the device, which must get this answer.
    async fn expect(
        &mut self,
        radius: &Radius,
        step: (&'static str, &'static str),
        expected: Access,
    ) -> Result<(), DemoError> {
        let device = SPELLINGS[0];
        let is_right = radius.ask(device, device).await? == expected;
        self.machine.report(step, is_right, &format!("Access-{expected:?} {device}"));
        Ok(())
    }

    /// The life of the access: a second approval, the end of both, and what an operator does.
    async fn ends(&mut self, radius: &Radius) -> Result<(), DemoError> {
        let until = SystemClock.now().plus(LASTS).as_millis();
        let until = jiff::Timestamp::from_millisecond(until).map(|at| at.to_string()).ok();
        let mut form = form_of("", &["0000-5E00-5301"]);
        for field in form.as_array_mut().into_iter().flatten() {
            if field["name"] == "有效期" {
                field["value"] = until.as_deref().unwrap_or_default().into();
            }
        }
        self.feishu.put_instance("INSTANCE-2", APPROVAL_CODE, "APPROVED", &form);
        self.machine.send(&self.approval("event-2", "INSTANCE-2", "APPROVED")).await?;
        self.machine.drained().await?;
        self.expect(radius, ("a second approval", "第二个审批"), Access::Accept).await?;

        self.feishu.revert("INSTANCE-1");
        self.machine.send(&self.approval("event-3", "INSTANCE-1", "REVERTED")).await?;
        self.machine.drained().await?;
        let step = ("the first is withdrawn, the second holds it", "撤销第一个，第二个仍持有");
        self.expect(radius, step, Access::Accept).await?;

        let (key, server) =
            (GrantKey::new("nac", &device()?), self.machine.server.database().clone());
        let ended = async {
            loop {
                let (record, ()) = server.change_grant(&key, |it| (it, ())).await?;
                if record.phase() == Phase::Ended {
                    return Ok::<_, LedgerError>(());
                }
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        };
        let is_ended = matches!(tokio::time::timeout(TIMEOUT, ended).await, Ok(Ok(())));
        self.machine.wrong += usize::from(!is_ended);
        self.expect(radius, ("the second ends by time", "第二个到期"), Access::Reject).await?;

        let stores = Stores::of(self.machine.server.database().clone());
        let acts = Arc::clone(&stores.acts);
        let operator = Operator { who: "demo".to_owned(), acts };
        let new = NewGrant {
            target: "nac".to_owned(),
            subject: device()?,
            operation: "add".to_owned(),
            revoked_by: Some("remove".to_owned()),
            owner: "ou_guest".to_owned(),
            until: SystemClock.now().plus(Duration::from_hours(4)),
        };
        let now = SystemClock.now();
        let granted = grants::grant(&stores, &operator, &new, "a visitor", now).await;
        self.machine.wrong += usize::from(granted.is_err());
        self.machine.drained().await?;
        let step = ("an operator grants it", "运维人员直接授权");
        self.expect(radius, step, Access::Accept).await?;

        let targets = ["nac".to_owned()];
        let of = (&new.subject, targets.as_slice());
        let now = SystemClock.now();
        let blocked = grants::block(&stores, &operator, of, None, "stolen", now).await;
        self.machine.wrong += usize::from(blocked.is_err());
        self.machine.drained().await?;
        let step = ("an operator blocks it", "运维人员封禁");
        self.expect(radius, step, Access::Reject).await?;
        let form = form_of("", &["0000-5E00-5301"]);
        self.feishu.put_instance("INSTANCE-3", APPROVAL_CODE, "APPROVED", &form);
        self.machine.send(&self.approval("event-4", "INSTANCE-3", "APPROVED")).await?;
        self.machine.drained().await?;
        let step = ("an approval does not give it back", "新的审批也不再授权");
        self.expect(radius, step, Access::Reject).await
    }
}
