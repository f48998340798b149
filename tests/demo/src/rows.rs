//! An approval with rows: phones to one group, laptops to another, each with its owner and end.

use greenlight_core::audit::Grant;
use greenlight_core::operator::GrantStore;
use greenlight_render::format::table;
use greenlight_render::language::Language;
use greenlight_render::{outln, text};
use serde_json::{Value, json};

use crate::{DemoError, Stage};

/// The definition of the approval with rows.
pub(crate) const DEFINITION_ID: &str = "DEVICES-FOR-A-TEAM";

/// The flow with rows and its targets, in addition to the built-in flows.
pub(crate) const FLOW: &str = r#"
[targets.phones]
connector = "groups"
url = "${NAC_URL}"
params = { group = "phones" }

[targets.laptops]
connector = "groups"
url = "${NAC_URL}"
params = { group = "laptops" }

[[flows]]
name = "devices-for-a-team"
definition_id = "DEVICES-FOR-A-TEAM"
owner = "owner"

[flows.fields]
mac = { kind = "mac", from = [{ field = "devices", column = "mac" }] }
type = { kind = "choice", from = [{ field = "devices", column = "type" }] }
owner = { kind = "person", from = [{ field = "devices", column = "owner" }] }
valid_until = { kind = "date", from = [{ field = "devices", column = "until" }] }

[[flows.actions]]
target = "phones"
operation = "add"
for_each = "mac"
when = "type == '手机'"

[[flows.actions]]
target = "laptops"
operation = "add"
for_each = "mac"
when = "type == '电脑'"
"#;

/// Device, type, owner and end of each row; the last row has no valid end.
const ROWS: [[&str; 4]; 4] = [
    ["00-00-5E-00-53-11", "手机", "ou_li", "2027-06-30T00:00:00+08:00"],
    ["0000.5e00.5312", "电脑", "ou_li", "2027-12-31T00:00:00+08:00"],
    ["00005E005313", "电脑", "ou_han", "2027-12-31T00:00:00+08:00"],
    ["00:00:5e:00:53:14", "手机", "ou_han", "2027-02-30T00:00:00+08:00"],
];

fn form() -> Value {
    let row = |row: &[&str; 4]| {
        let cell = |(id, value): (&&str, &&str)| json!({"id": id, "custom_id": id, "name": id, "type": "input", "value": value});
        ["mac", "type", "owner", "until"].iter().zip(row).map(cell).collect::<Vec<_>>()
    };
    let rows: Vec<_> = ROWS.iter().map(row).collect();
    json!([{"id": "t", "custom_id": "devices", "name": "设备", "type": "fieldList", "value": rows}])
}

impl Stage {
    /// Sends the approval and shows what was granted.
    pub(crate) async fn rows(&mut self) -> Result<(), DemoError> {
        self.feishu.put_instance("INSTANCE-3", DEFINITION_ID, "APPROVED", &form());
        let calls = self.nac.calls();
        let dead_letters = self.machine.server.database().dead_letters().await?.len();
        let event = self.approval_of(DEFINITION_ID, "event-7", "INSTANCE-3", "APPROVED");
        self.machine.send(&event).await?;
        self.machine.drained().await?;

        let granted = self.machine.server.database().grants(99).await?;
        let owner = |mac: &str| {
            let grant = granted.iter().find(|grant| grant.kind_and_value().1 == mac);
            let holders = grant.map(Grant::holders).unwrap_or_default();
            holders.first().map(|(_, hold)| hold.terms.owner.clone()).unwrap_or_default()
        };
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let log = self.nac.log().split_off(calls);
        let mut shown: Vec<_> = log
            .iter()
            .map(|call| {
                let (group, until) = (text(&call.json["group"]), text(&call.json["until"]));
                [call.mac.clone(), group, owner(&call.mac), until]
            })
            .collect();
        shown.sort();
        let expected = [("phones", "ou_li"), ("laptops", "ou_li"), ("laptops", "ou_han")];
        let is_right = shown.len() == expected.len()
            && shown
                .iter()
                .zip(expected)
                .zip(ROWS)
                .all(|((shown, (group, owner)), row)| shown[1..] == [group, owner, row[3]]);
        let letters = self.machine.server.database().dead_letters().await?;
        let said = self.machine.language.pick(
            "each row with its group, owner and end",
            "每行设备按各自的分组、使用人和有效期授权",
        );
        let is_right = is_right && letters.len() == dead_letters + 1;
        self.machine.report(("an approval with rows", "含明细表的审批"), is_right, said);
        let heads = match self.machine.language {
            Language::English => ["DEVICE", "GROUP", "OWNER", "UNTIL"],
            Language::Chinese => ["设备", "分组", "使用人", "有效期"],
        };
        for line in table(heads, &shown).lines() {
            outln!("     {line}");
        }
        let last = letters.last().and_then(|letter| letter.last_failure.as_ref());
        let cause =
            last.map(|failure| self.machine.language.explain(&failure.cause)).unwrap_or_default();
        outln!(
            "     {}",
            text!(self.machine.language, "dead-letter queue: {cause}", "死信队列：{cause}")
        );
        Ok(())
    }
}
