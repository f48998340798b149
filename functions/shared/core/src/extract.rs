//! From a filled-in form, through a flow's fields, to devices and values.

use std::collections::{BTreeMap, HashSet};

use serde_json::{Map, Value};
use thiserror::Error;

use crate::failure::{Class, Reason};
use crate::flow::{FieldRule, Flow, Kind, Place, Randomized};
use crate::form::{Content, Field, Form, find};
use crate::mac::{Eui48, MacError, parse_list};
use crate::time::is_moment;

/// More devices than any form for people names; what is larger is a mistake or an attack.
pub const MAX_DEVICES: usize = 1_000;

/// What a flow's fields found in a form.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Extracted {
    /// The good devices, by field.
    pub devices: BTreeMap<String, Vec<Eui48>>,
    /// The values of the other fields.
    pub values: Map<String, Value>,
    /// What is wrong with the form, while the good devices are still good.
    pub problems: Vec<Problem>,
    /// Devices that were taken although their address is random.
    pub randomized: usize,
}

/// Something is wrong with a form. Says where, and never quotes it.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Problem {
    /// None of the places is in the form.
    #[error("field `{field}`: the form has none of {places} (表单中没有该控件)")]
    Absent {
        /// The field of the flow.
        field: String,
        /// Where it was looked for.
        places: String,
    },
    /// The places are there, and nothing is filled in.
    #[error("field `{field}` is empty (未填写)")]
    Empty {
        /// The field of the flow.
        field: String,
    },
    /// A place holds something that is no text.
    #[error("field `{field}`: the widget `{place}` holds no text (控件内容不是文本)")]
    NotText {
        /// The field of the flow.
        field: String,
        /// Where.
        place: String,
    },
    /// A number is none.
    #[error("field `{field}` holds no number (不是数字)")]
    NotNumber {
        /// The field of the flow.
        field: String,
    },
    /// A date is none.
    #[error("field `{field}` holds no date (不是日期)")]
    NotDate {
        /// The field of the flow.
        field: String,
    },
    /// More than one value where one is meant.
    #[error("field `{field}` holds several values, and takes one (只能有一个值)")]
    Several {
        /// The field of the flow.
        field: String,
    },
    /// A device's address is none.
    #[error("field `{field}`, device {number}: {error}")]
    Device {
        /// The field of the flow.
        field: String,
        /// Counted from 1 over the whole field.
        number: usize,
        /// What is wrong.
        error: MacError,
    },
    /// A device's address is random, and the flow refuses those.
    #[error(
        "field `{field}`, device {number}: a random (private) address, which the device will change: \
         switch it off for this network and use the hardware address \
         (随机 MAC 地址会变化：请在设备的 Wi-Fi 设置中关闭“随机/专用 Wi-Fi 地址”，再填写硬件地址)"
    )]
    Randomized {
        /// The field of the flow.
        field: String,
        /// Counted from 1 over the whole field.
        number: usize,
    },
    /// More devices than [`MAX_DEVICES`].
    #[error("field `{field}` names more than {MAX_DEVICES} devices (设备数量过多)")]
    TooMany {
        /// The field of the flow.
        field: String,
    },
}

impl From<Problem> for Reason {
    fn from(problem: Problem) -> Self {
        Self::new(Class::BadForm, problem)
    }
}

/// Reads the fields of `flow` out of `form`.
#[must_use]
pub fn extract(flow: &Flow, form: &Form) -> Extracted {
    let mut extracted = Extracted::default();
    for (name, rule) in &flow.fields {
        let taken = match found(form, name, rule) {
            Ok(found) if rule.kind == Kind::Mac => {
                extracted.take_devices(name, rule.randomized, &found)
            }
            Ok(found) => value(name, rule, found).map(|value| {
                extracted.values.insert(name.clone(), value);
            }),
            Err(Problem::Absent { .. } | Problem::Empty { .. }) if rule.may_be_left_out() => {
                let default = rule.default.as_ref();
                let default = default.and_then(|default| serde_json::to_value(default).ok());
                if rule.kind != Kind::Mac {
                    extracted.values.insert(name.clone(), default.unwrap_or_default());
                }
                Ok(())
            }
            Err(problem) => Err(problem),
        };
        extracted.problems.extend(taken.err());
    }
    extracted
}

/// What stands in the places of a field, as a value of its kind.
fn value(name: &str, rule: &FieldRule, found: Vec<String>) -> Result<Value, Problem> {
    let field = || name.to_owned();
    let one = |text: String| match rule.kind {
        Kind::Number => match text.trim().parse::<serde_json::Number>() {
            Ok(number) => Ok(Value::Number(number)),
            Err(_) => Err(Problem::NotNumber { field: field() }),
        },
        Kind::Date if !is_moment(text.trim()) => Err(Problem::NotDate { field: field() }),
        Kind::Date => Ok(Value::String(text.trim().to_owned())),
        _ => Ok(Value::String(text)),
    };
    if rule.many {
        return found.into_iter().map(one).collect::<Result<_, _>>().map(Value::Array);
    }
    if rule.kind == Kind::Text {
        return Ok(Value::String(found.join("\n")));
    }
    let mut found = found.into_iter();
    match (found.next(), found.next()) {
        (Some(only), None) => one(only),
        _ => Err(Problem::Several { field: field() }),
    }
}

impl FieldRule {
    const fn may_be_left_out(&self) -> bool {
        self.optional || self.default.is_some()
    }
}

impl Extracted {
    fn take_devices(
        &mut self,
        field: &str,
        randomized: Randomized,
        texts: &[String],
    ) -> Result<(), Problem> {
        let field = || field.to_owned();
        let found = texts.iter().flat_map(|text| parse_list(text));
        let found: Vec<_> = found.take(MAX_DEVICES + 1).collect();
        if found.is_empty() {
            return Err(Problem::Empty { field: field() });
        }
        if found.len() > MAX_DEVICES {
            return Err(Problem::TooMany { field: field() });
        }
        let devices = self.devices.entry(field()).or_default();
        for (number, device) in (1..).zip(found) {
            match device {
                Err(error) => self.problems.push(Problem::Device { field: field(), number, error }),
                Ok(device)
                    if device.is_locally_administered() && randomized == Randomized::Refuse =>
                {
                    self.problems.push(Problem::Randomized { field: field(), number });
                }
                Ok(device) if devices.contains(&device) => {}
                Ok(device) => {
                    let warn = randomized == Randomized::Warn && device.is_locally_administered();
                    self.randomized += usize::from(warn);
                    devices.push(device);
                }
            }
        }
        Ok(())
    }
}

/// The texts that stand in the places of `rule`, without empty ones.
fn found(form: &Form, name: &str, rule: &FieldRule) -> Result<Vec<String>, Problem> {
    let mut seen = HashSet::new();
    let mut found = Vec::new();
    for place in &rule.from {
        for field in fields_at(form, place) {
            // Two places can mean the same field: one its id, the other its name.
            if !seen.insert((std::ptr::from_ref(field), &place.member)) {
                continue;
            }
            let texts = texts_of(field, place.member.as_deref()).ok_or_else(|| {
                Problem::NotText { field: name.to_owned(), place: place.to_string() }
            })?;
            found.extend(texts.into_iter().filter(|text| !text.trim().is_empty()));
        }
    }
    if seen.is_empty() {
        let places: Vec<_> = rule.from.iter().map(|place| format!("`{place}`")).collect();
        return Err(Problem::Absent { field: name.to_owned(), places: places.join(", ") });
    }
    if found.is_empty() {
        return Err(Problem::Empty { field: name.to_owned() });
    }
    Ok(found)
}

fn fields_at<'a>(form: &'a Form, place: &Place) -> Vec<&'a Field> {
    let found = form.find(&place.field);
    let Some(column) = &place.column else {
        return found;
    };
    let rows = found.into_iter().flat_map(|field| match &field.content {
        Content::Rows(rows) => rows.as_slice(),
        Content::Value(_) => &[],
    });
    rows.flat_map(|row| find(row, column)).collect()
}

/// What a person typed or chose: one text, or several where several can be chosen. `None` for what is
/// neither.
fn texts_of(field: &Field, member: Option<&str>) -> Option<Vec<String>> {
    let Content::Value(value) = &field.content else { return None };
    let value = match member {
        None => value,
        Some(_) if value.is_null() => value,
        Some(member) => value.get(member)?,
    };
    match value {
        Value::Array(items) => items.iter().map(text_of).collect(),
        value => text_of(value).map(|text| vec![text]),
    }
}

fn text_of(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Null => Some(String::new()),
        _ => None,
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.field)?;
        for part in [&self.column, &self.member].into_iter().flatten() {
            write!(f, " / {part}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::flow::Flows;

    fn field(custom_id: &str, content: Content) -> Field {
        Field {
            custom_id: Some(custom_id.into()),
            id: format!("widget-{custom_id}"),
            name: custom_id.into(),
            content,
        }
    }

    fn text(custom_id: &str, text: &str) -> Field {
        field(custom_id, Content::Value(text.into()))
    }

    fn flow(fields: &str) -> Flow {
        let text = format!(
            r#"
            [targets.nac]
            connector = "generic"
            url = "http://nac"
            [[flows]]
            name = "devices"
            approval_code = "code"
            actions = [{{ target = "nac", operation = "add", for_each = "mac" }}]
            [flows.fields]
            {fields}
            "#
        );
        Flows::parse(&text, &|_| None).unwrap().flows.remove(0)
    }

    const MAC: &str = r#"mac = { kind = "mac", from = [{ field = "device_mac" }, { field = "devices", column = "mac" }] }"#;

    fn macs(extracted: &Extracted) -> Vec<String> {
        extracted.devices.values().flatten().map(ToString::to_string).collect()
    }

    #[test]
    fn devices_come_from_fields_and_table_columns_once_each() {
        let form = Form {
            fields: vec![
                text("device_mac", "00-00-5E-00-53-01"),
                field(
                    "devices",
                    Content::Rows(vec![
                        vec![text("kind", "phone"), text("mac", "00005e005302")],
                        vec![text("kind", "laptop"), text("mac", "0000.5E00.5301")],
                    ]),
                ),
            ],
        };
        let extracted = extract(&flow(MAC), &form);
        assert_eq!(macs(&extracted), ["00:00:5e:00:53:01", "00:00:5e:00:53:02"]);
        assert_eq!(extracted.problems, []);
    }

    #[test]
    fn the_good_devices_of_a_bad_form_are_still_good() {
        let form = Form {
            fields: vec![text(
                "device_mac",
                "00:00:5e:00:53:0O\n00:00:5e:00:53:01\n02:00:5e:00:53:01",
            )],
        };
        let extracted = extract(&flow(MAC), &form);
        assert_eq!(macs(&extracted), ["00:00:5e:00:53:01"]);
        let said: Vec<_> = extracted.problems.iter().map(ToString::to_string).collect();
        assert_eq!(said.len(), 2);
        assert!(said[0].contains("device 1: letter O at position 17"), "{}", said[0]);
        assert!(said[1].contains("device 3: a random"), "{}", said[1]);
    }

    /// A thousand times more than a form has place for; comparing each with each would take minutes.
    #[test]
    fn statement_15_an_endless_form_is_read_only_so_far() {
        let addresses: Vec<_> = (0..320_000).map(|n| format!("0000{n:08x}")).collect();
        let column = |mac: &String| vec![text("mac", mac)];
        let form = Form {
            fields: vec![
                text("device_mac", &addresses.join(",")),
                field(
                    "devices",
                    Content::Rows(addresses.iter().take(50_000).map(column).collect()),
                ),
            ],
        };
        let extracted = extract(&flow(MAC), &form);
        assert!(matches!(&extracted.problems[..], [Problem::TooMany { .. }]));
        assert!(extracted.devices.is_empty());
        println!("a form of 370,000 addresses is one problem");
    }

    #[test]
    fn a_field_that_two_places_mean_is_read_once() {
        let rule = MAC.replace(
            "[{ field = \"device_mac\" }",
            "[{ field = \"device_mac\" }, { field = \"widget-device_mac\" }",
        );
        let form = Form { fields: vec![text("device_mac", "00:00:5e:00:53:0O")] };
        assert_eq!(extract(&flow(&rule), &form).problems.len(), 1);
    }

    #[test]
    fn random_addresses_go_by_the_policy() {
        let form = Form { fields: vec![text("device_mac", "02:00:5e:00:53:01")] };
        for (policy, devices, warned, problems) in
            [("refuse", 0, 0, 1), ("warn", 1, 1, 0), ("allow", 1, 0, 0)]
        {
            let rule = MAC.replace("] }", &format!("], randomized = \"{policy}\" }}"));
            let extracted = extract(&flow(&rule), &form);
            assert_eq!(
                (macs(&extracted).len(), extracted.randomized, extracted.problems.len()),
                (devices, warned, problems),
                "{policy}"
            );
        }
    }

    #[test]
    fn each_kind_takes_what_a_form_gives_for_it() {
        let rules = r#"
            mac = { kind = "mac", from = [{ field = "device_mac" }] }
            reason = { kind = "text", from = [{ field = "reason" }] }
            until = { kind = "date", from = [{ field = "period", member = "end" }] }
            count = { kind = "number", from = [{ field = "count" }] }
            os = { kind = "choice", from = [{ field = "os" }] }
            tags = { kind = "choice", from = [{ field = "tags" }], many = true }
            owner = { kind = "person", from = [{ field = "owner" }] }
            vlan = { kind = "number", from = [{ field = "vlan" }], default = 20 }
            note = { kind = "text", from = [{ field = "note" }], optional = true }
        "#;
        let value = |name: &str, value: Value| field(name, Content::Value(value));
        let period = json!({"start": "2026-01-01T00:00:00+08:00", "end": "2027-12-31T00:00:00+08:00", "interval": 2.0});
        let fields = vec![
            text("device_mac", "00:00:5e:00:53:01"),
            text("reason", "new laptop"),
            value("period", period),
            value("count", json!(2)),
            text("os", "macOS"),
            value("tags", json!(["a", "b"])),
            value("owner", json!(["f3ta757q"])),
            text("note", ""),
        ];
        let extracted = extract(&flow(rules), &Form { fields: fields.clone() });
        assert_eq!(extracted.problems, []);
        let expected = json!({"reason": "new laptop", "until": "2027-12-31T00:00:00+08:00", "count": 2,
            "os": "macOS", "tags": ["a", "b"], "owner": "f3ta757q", "vlan": 20, "note": null});
        assert_eq!(json!(extracted.values), expected);

        for (name, bad, said) in [
            ("count", json!("two"), "`count` holds no number"),
            ("period", json!({"end": "31.12.2027"}), "`until` holds no date"),
            ("period", json!({"end": "2027-12-31T00:00:00"}), "`until` holds no date"),
            ("os", json!(["macOS", "Linux"]), "`os` holds several values"),
            ("owner", json!({"id": 1}), "`owner`: the widget `owner` holds no text"),
        ] {
            let mut fields = fields.clone();
            fields.retain(|field| field.name != name);
            fields.push(value(name, bad));
            let problems = extract(&flow(rules), &Form { fields }).problems;
            assert!(problems.len() == 1 && problems[0].to_string().contains(said), "{problems:?}");
        }
    }

    #[test]
    fn what_is_missing_is_named() {
        let problem = |fields: Vec<Field>| extract(&flow(MAC), &Form { fields }).problems;
        let absent = problem(vec![text("other", "x")]);
        assert!(
            matches!(&absent[..], [Problem::Absent { places, .. }] if places == "`device_mac`, `devices / mac`")
        );
        assert!(matches!(&problem(vec![text("device_mac", "  ")])[..], [Problem::Empty { .. }]));
        let object = field("device_mac", Content::Value(json!({"mac": "00:00:5e:00:53:01"})));
        assert!(matches!(&problem(vec![object])[..], [Problem::NotText { .. }]));
        let many =
            (0..=MAX_DEVICES).map(|n| format!("00005e00{n:04x}")).collect::<Vec<_>>().join(",");
        assert!(matches!(&problem(vec![text("device_mac", &many)])[..], [Problem::TooMany { .. }]));
    }

    #[test]
    fn texts_become_values_and_may_be_optional() {
        let rules = format!(
            "{MAC}\nowner = {{ kind = \"text\", from = [{{ field = \"owner\" }}], optional = true }}"
        );
        let device = || text("device_mac", "00:00:5e:00:53:01");
        let with =
            extract(&flow(&rules), &Form { fields: vec![device(), text("owner", "Li Lei")] });
        assert_eq!(with.values["owner"], "Li Lei");
        let without = extract(&flow(&rules), &Form { fields: vec![device()] });
        assert!(without.values.values().all(Value::is_null) && without.problems.is_empty());
    }
}
