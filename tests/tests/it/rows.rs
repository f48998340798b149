//! Rows of tables and of attached sheets: each device with its own group, owner and end.

use encoding_rs::GBK;
use greenlight_core::operator::GrantStore;
use greenlight_server::server::Server;
use greenlight_testkit::stub::{GROUPS_CONNECTOR, at_feishu, secret_document};
use greenlight_tests::scene::{APPROVAL_CODE, NAC_TOKEN, Scene, device};
use greenlight_tests::serving::{approve_at, serve_in};
use rust_xlsxwriter::Workbook;
use serde_json::{Value, json};
use tempfile::TempDir;

/// `table` is the field of the form with the rows.
fn flows(nac: &str, table: &str) -> String {
    let column = |kind: &str, column: &str, rest: &str| {
        format!(
            "{{ kind = \"{kind}\", from = [{{ field = \"{table}\", column = \"{column}\" }}]{rest} }}"
        )
    };
    let add = |target: &str, when: &str| {
        format!(
            "{{ target = \"{target}\", operation = \"add\", for_each = \"mac\", when = \"type == '{when}'\" }}"
        )
    };
    format!(
        r#"
        [sources.feishu]
        kind = "feishu"
        [targets.phones]
        connector = "groups"
        url = "{nac}"
        params = {{ group = "phones" }}
        [targets.laptops]
        connector = "groups"
        url = "{nac}"
        params = {{ group = "laptops" }}
        [[flows]]
        name = "devices"
        definition_id = "{APPROVAL_CODE}"
        owner = "owner"
        actions = [{}, {}]
        [flows.fields]
        mac = {}
        type = {}
        owner = {}
        valid_until = {}
        "#,
        add("phones", "手机"),
        add("laptops", "电脑"),
        column("mac", "MAC", ""),
        column("choice", "类型", ""),
        column("person", "使用人", ", optional = true"),
        column("date", "有效期", ", optional = true, utc_offset = \"+08:00\""),
    )
}

struct Machine {
    scene: Scene,
    server: Server,
    _folder: TempDir,
}

impl Machine {
    async fn open(table: &str) -> Self {
        let scene = Scene::set().await;
        let folder = tempfile::tempdir().unwrap();
        let connectors = folder.path().join("connectors");
        std::fs::create_dir(&connectors).unwrap();
        std::fs::write(connectors.join("groups.toml"), GROUPS_CONNECTOR).unwrap();
        let flows = at_feishu(&flows(&scene.nac.url(), table), &scene.feishu.url());
        let mut secret = secret_document(&scene.app, NAC_TOKEN);
        let nac = secret["targets"]["nac"].take();
        secret["targets"] = json!({"phones": nac, "laptops": nac});
        let server = serve_in(folder.path(), &flows, &secret).await;
        Self { scene, server, _folder: folder }
    }

    /// An approval with this form, until there is nothing left to do.
    async fn approve(&self, instance: &str, form: &Value) {
        approve_at(&self.server, &self.scene, instance, form).await;
    }

    /// Device, group and end of each call, by device.
    fn calls(&self) -> Vec<(String, String, Value)> {
        let call = |call: greenlight_testkit::stub::NacCall| {
            let group = call.json["group"].as_str().unwrap().to_owned();
            (call.mac, group, call.json["until"].clone())
        };
        let mut calls: Vec<_> = self.scene.nac.log().into_iter().map(call).collect();
        calls.sort_by(|a, b| a.0.cmp(&b.0));
        calls
    }

    /// Device and owner of each grant, by device.
    async fn owners(&self) -> Vec<(String, String)> {
        let grants = self.server.database().grants(99).await.unwrap();
        let owner = |grant: greenlight_core::audit::Grant| {
            let (_, hold) = grant.holders()[0];
            (grant.kind_and_value().1.to_owned(), hold.terms.owner.clone())
        };
        let mut owners: Vec<_> = grants.into_iter().map(owner).collect();
        owners.sort();
        owners
    }

    async fn reasons(&self) -> Vec<String> {
        let letters = self.server.database().dead_letters().await.unwrap();
        letters.into_iter().map(|letter| letter.last_failure.unwrap().cause.text).collect()
    }
}

/// A table in the shape of Feishu's.
fn table(rows: &[[&str; 4]]) -> Value {
    let row = |cells: &[&str; 4]| {
        let names = ["MAC", "类型", "使用人", "有效期"];
        let types = ["input", "radioV2", "contact", "date"];
        let cell = |(n, value): (usize, &&str)| {
            let value = if n == 2 && !value.is_empty() { json!([value]) } else { json!(value) };
            json!({"id": format!("w{n}"), "name": names[n], "type": types[n], "value": value})
        };
        cells.iter().enumerate().map(cell).collect::<Vec<_>>()
    };
    let rows: Vec<_> = rows.iter().map(row).collect();
    json!([{"id": "t", "custom_id": "devices", "name": "设备", "type": "fieldList", "value": rows}])
}

const END: &str = "2027-12-31T00:00:00+08:00";

#[tokio::test]
async fn phones_go_to_one_group_and_laptops_to_another_each_with_its_owner_and_end() {
    let machine = Machine::open("devices").await;
    let rows = [
        [&device(1)[..], "手机", "ou_2", END],
        [&device(2), "电脑", "", ""],
        [&device(3), "电脑", "ou_3", "2027-13-01"],
        [&device(4), "其他", "ou_3", END],
    ];
    machine.approve("I-1", &table(&rows)).await;
    let expected = [
        (device(1), "phones".to_owned(), json!(END)),
        (device(2), "laptops".to_owned(), Value::Null),
    ];
    assert_eq!(machine.calls(), expected);
    let owners = [(device(1), "ou_2".to_owned()), (device(2), "ou_stub".to_owned())];
    assert_eq!(machine.owners().await, owners);
    assert_eq!(machine.reasons().await, ["row 3: field `valid_until` is not a date"]);
}

fn attached(urls: &[(&str, String)]) -> Value {
    let names: Vec<_> = urls.iter().map(|(name, _)| *name).collect();
    let urls: Vec<_> = urls.iter().map(|(_, url)| url).collect();
    json!([{"id": "a", "name": "名单", "type": "attachmentV2", "ext": names.join(","), "value": urls}])
}

#[tokio::test]
async fn an_attached_sheet_is_a_table() {
    let machine = Machine::open("名单").await;
    let csv = format!(
        "MAC,类型,使用人,有效期\n{},手机,ou_2,2027/12/31\n{},电脑,,\n00:00:5e:00:53:0O,电脑,,\n",
        device(1),
        device(2)
    );
    let (gbk, _, _) = GBK.encode(&csv);
    let url = machine.scene.feishu.put_file("1", gbk.into_owned());
    machine.approve("I-1", &attached(&[("名单.csv", url)])).await;
    let mut workbook = Workbook::new();
    let sheet = workbook.add_worksheet();
    for (row, cells) in
        [["MAC", "类型", "使用人", "有效期"], [&device(3), "手机", "", ""]].iter().enumerate()
    {
        for (column, text) in (0..).zip(cells) {
            sheet.write(u32::try_from(row).unwrap(), column, *text).unwrap();
        }
    }
    let url = machine.scene.feishu.put_file("2", workbook.save_to_buffer().unwrap());
    machine.approve("I-2", &attached(&[("名单, 第二版.xlsx", url)])).await;
    let expected = [
        (device(1), "phones".to_owned(), json!(END)),
        (device(2), "laptops".to_owned(), Value::Null),
        (device(3), "phones".to_owned(), Value::Null),
    ];
    assert_eq!(machine.calls(), expected);
    let reasons = machine.reasons().await;
    assert_eq!(reasons.len(), 1, "{reasons:?}");
    assert!(reasons[0].starts_with("row 4: field `mac`, entry 1"), "{reasons:?}");
}

#[tokio::test]
async fn an_attachment_that_is_no_sheet_of_the_office_system_is_a_dead_letter() {
    let machine = Machine::open("名单").await;
    let file = |name: &str| machine.scene.feishu.put_file(name, b"MAC\n00:00:5e:00:53:01".to_vec());
    let renamed = "MAC,类型,使用人,有效期至\n00:00:5e:00:53:01,手机,ou_1,2027-12-31";
    let renamed = machine.scene.feishu.put_file("e", renamed.into());
    let elsewhere = machine.scene.nac.url() + "/api/macs";
    for (number, (files, reason)) in [
        (vec![("list.csv", elsewhere)], "the file is not on Feishu's own servers: 127.0.0.1"),
        (vec![("list.pdf", file("a"))], "the attached file is neither .xlsx nor .csv"),
        (vec![("list.xlsx", file("b"))], "the attached sheet cannot be read: is it damaged"),
        (vec![("1.csv", file("c")), ("2.csv", file("d"))], "there are 2 attached files"),
        // A heading that was renamed must not mean access without its end.
        (vec![("list.csv", renamed)], "the sheet has no column `有效期`"),
    ]
    .into_iter()
    .enumerate()
    {
        machine.approve(&format!("I-{number}"), &attached(&files)).await;
        let reasons = machine.reasons().await;
        assert_eq!(reasons.len(), number + 1, "{reasons:?}");
        assert!(reasons[number].contains(reason), "{reasons:?}");
    }
    assert_eq!(machine.calls(), []);
}
