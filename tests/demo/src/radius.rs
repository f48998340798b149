//! The demonstration with FreeRADIUS: it rejects a device, and accepts it after the approval.

use crate::{APPROVAL_CODE, DemoError, Stage};
use greenlight_render::language::Language;
use greenlight_render::{outln, text};
use greenlight_testkit::stub::{Access, Radius, Whitelist, form_of};

/// The same device, as different switches spell it.
const SPELLINGS: [&str; 5] = [
    "00:00:5e:00:53:01",
    "00:00:5E:00:53:01",
    "0000.5e00.5301",
    "00-00-5E-00-53-01",
    "00005e005301",
];

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
        actions = [{{ target = "nac", operation = "add", for_each = "mac" }}]
        "#
    )
}

impl Stage {
    async fn let_in(mut self, radius: &Radius) -> Result<(), DemoError> {
        let device = SPELLINGS[0];
        let is_kept_out = radius.ask(device, device).await? == Access::Reject;
        self.report(
            ("before the approval", "审批前"),
            is_kept_out,
            &format!("Access-Reject {device}"),
        );

        let form = form_of("", &["0000-5E00-5301"]);
        self.feishu.put_instance("INSTANCE-1", APPROVAL_CODE, "APPROVED", &form);
        let (status, _) = self.send(&self.approval("event-1", "INSTANCE-1", "APPROVED")).await?;
        self.drained().await?;
        let is_done = status == 200 && self.server.database().dead_letters().await?.is_empty();
        let done = self.language.pick("in the queue, read, done", "入队、读取、执行完毕");
        self.report(("the approval", "审批通过"), is_done, done);

        for spelling in SPELLINGS {
            let is_let_in = radius.ask(spelling, spelling).await? == Access::Accept;
            self.report(("after it", "审批后"), is_let_in, &format!("Access-Accept {spelling}"));
        }
        let is_kept_out = radius.ask(OTHER, OTHER).await? == Access::Reject;
        let rejected = format!("Access-Reject {OTHER}");
        self.report(("another device", "其他设备"), is_kept_out, &rejected);
        let is_kept_out = radius.ask(device, OTHER).await? == Access::Reject;
        let said = text!(
            self.language,
            "Access-Reject {OTHER}, which says that it is {device}",
            "Access-Reject {OTHER}，它自称 {device}"
        );
        self.report(("a pretender", "冒名设备"), is_kept_out, &said);
        self.end().await
    }
}
