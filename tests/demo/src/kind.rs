//! The demonstration with the stub of one kind of office system.

use greenlight_core::ports::Clock;
use greenlight_render::language::Language;
use greenlight_render::{outln, text};
use greenlight_sources::test_request::Sent;
use greenlight_stores::SystemClock;
use greenlight_testkit::stub::{
    Change, OFFICE_SYSTEMS, OfficeSystem, Outcome, StubNac, altered, flows_for_devices,
};

use crate::machine::Machine;
use crate::{DemoError, NAC_TOKEN};

const DEVICES: [&str; 3] = ["00:00:5e:00:53:01", "00:00:5e:00:53:02", "00:00:5e:00:53:03"];

/// The words that [`run_kind`] takes: the kinds, and `all`.
pub fn kinds() -> impl Iterator<Item = &'static str> {
    OFFICE_SYSTEMS.iter().map(|(kind, _)| *kind).chain(["all"])
}

/// Runs the scenario of one kind, or of all.
///
/// # Errors
/// [`DemoError::Wrong`] when a step failed, the others when it could not run.
pub async fn run_kind(name: &str, language: Language) -> Result<(), DemoError> {
    let chosen = OFFICE_SYSTEMS.iter().filter(|(kind, _)| name == "all" || name == *kind);
    for (kind, start) in chosen {
        let title = text!(
            language,
            "greenlight demo: the office system ({kind}) and the NAC are stubs on loopback, \
             everything else is real",
            "greenlight 演示：办公系统（{kind}）与 NAC 为本机桩服务，其余均为真实流程"
        );
        outln!("\n{title}\n");
        let mut scene = Scene::set(start().await?, language).await?;
        scene.play().await?;
        scene.machine.end().await?;
    }
    Ok(())
}

struct Scene {
    system: Box<dyn OfficeSystem>,
    nac: StubNac,
    machine: Machine,
}

impl Scene {
    async fn set(system: Box<dyn OfficeSystem>, language: Language) -> Result<Self, DemoError> {
        let nac = StubNac::start(NAC_TOKEN).await?;
        let (flows, secret) = flows_for_devices(system.as_ref(), &nac.url(), NAC_TOKEN);
        let folder = tempfile::tempdir()?;
        let machine = Machine::start(folder, &flows, &secret, &|_| None, language).await?;
        Ok(Self { system, nac, machine })
    }

    fn event(&self, event_id: &str, number: u32, outcome: Outcome) -> Sent {
        let definition_id = self.system.definition_id();
        let change = Change { event_id, definition_id, number, outcome };
        self.system.event(change, SystemClock.now())
    }

    async fn play(&mut self) -> Result<(), DemoError> {
        let language = self.machine.language;
        self.system.put(1, Outcome::Approved, &DEVICES[..2]);
        let approved = self.event("event-1", 1, Outcome::Approved);
        let (status, _) = self.machine.send(&approved).await?;
        self.machine.drained().await?;
        let is_right = status == 200 && self.nac.whitelist() == DEVICES[..2];
        let said = language.pick("its 2 devices are on the whitelist", "2 台设备已加入白名单");
        self.machine.report(("an approval", "审批通过"), is_right, said);

        let again = self.event("event-2", 1, Outcome::Approved);
        for sent in [&approved, &again] {
            self.machine.send(sent).await?;
        }
        self.machine.drained().await?;
        let said = language.pick("no further call", "没有新的调用");
        self.machine.report(("the same, twice", "重复事件两次"), self.nac.calls() == 2, said);

        let (status, _) = self.machine.send(&altered(approved)).await?;
        let said = language.pick("401, nothing enqueued", "返回 401，不入队");
        self.machine.report(("an altered event", "被篡改的事件"), status == 401, said);

        // What the office system says counts, and not the event.
        self.system.put(2, Outcome::Refused, &DEVICES[2..]);
        self.machine.send(&self.event("event-3", 2, Outcome::Approved)).await?;
        self.machine.drained().await?;
        let letters = self.machine.server.database().dead_letters().await?;
        let is_right = letters.len() == 1 && self.nac.whitelist() == DEVICES[..2];
        let step =
            ("an event of a refused approval says \"approved\"", "事件称已通过，但审批实际被拒绝");
        let said = language.pick("not carried out, one dead letter", "未执行，死信 1 条");
        self.machine.report(step, is_right, said);

        if self.system.expire_tokens() {
            self.system.put(3, Outcome::Approved, &DEVICES[2..]);
            self.machine.send(&self.event("event-4", 3, Outcome::Approved)).await?;
            self.machine.drained().await?;
            let said = language.pick("replaced, and the approval is done", "已更换，审批已执行");
            let is_right = self.nac.whitelist() == DEVICES;
            self.machine.report(("a token that has expired", "令牌过期"), is_right, said);
        }
        if self.system.has(Outcome::Revoked) {
            self.system.put(1, Outcome::Revoked, &DEVICES[..2]);
            self.machine.send(&self.event("event-5", 1, Outcome::Revoked)).await?;
            self.machine.drained().await?;
            let left = self.nac.whitelist();
            let is_right = !left.iter().any(|mac| DEVICES[..2].contains(&mac.as_str()));
            let said = language.pick("its 2 devices are removed", "2 台设备已移除");
            self.machine.report(("the approval is revoked", "撤销审批"), is_right, said);
        }
        Ok(())
    }
}
