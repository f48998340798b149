//! XML as a tree: requests are written from a tree, answers are parsed into one.
//!
//! Elements only: none of the supported APIs keeps its data in attributes.

use quick_xml::Writer;
use quick_xml::events::{BytesEnd, BytesStart, BytesText, Event};
use quick_xml::reader::Reader;
use serde_json::{Map, Value};

/// The deepest nesting that is parsed.
const DEEPEST: usize = 64;

/// Key of the text of an element that also contains elements.
const TEXT: &str = "#text";

/// Writes the single element of `tree`. `None` when a value contains a control character, which XML
/// 1.0 does not allow, or `tree` is not a single element.
/// character), or `tree` is not one element.
pub(super) fn write(tree: &Value) -> Option<Vec<u8>> {
    let root = tree.as_object().filter(|root| root.len() == 1)?;
    let mut writer = Writer::new(br#"<?xml version="1.0" encoding="UTF-8"?>"#.to_vec());
    for (name, value) in root {
        element(&mut writer, name, value)?;
    }
    Some(writer.into_inner())
}

fn element(writer: &mut Writer<Vec<u8>>, name: &str, value: &Value) -> Option<()> {
    if let Value::Array(items) = value {
        return items.iter().try_for_each(|item| element(writer, name, item));
    }
    writer.write_event(Event::Start(BytesStart::new(name))).ok()?;
    match value {
        Value::Object(members) => {
            members.iter().try_for_each(|(name, value)| element(writer, name, value))?;
        }
        Value::Null => {}
        value => {
            let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            if !text.chars().all(may_stand) {
                return None;
            }
            writer.write_event(Event::Text(BytesText::new(&text))).ok()?;
        }
    }
    writer.write_event(Event::End(BytesEnd::new(name))).ok()
}

/// XML 1.0, section 2.2. A carriage return is allowed there, but parsers normalise it to a line
/// feed.
fn may_stand(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\u{20}'..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..)
}

/// Parses XML: an element becomes its text, or a map of its elements by name; repeated ones become
/// a list. `None` when the text is not XML.
pub(super) fn read(text: &str) -> Option<Value> {
    let mut reader = Reader::from_str(text);
    // The bottom of the stack is the document itself.
    let mut open = vec![(String::new(), Map::new(), String::new())];
    loop {
        match reader.read_event().ok()? {
            Event::Start(start) if open.len() < DEEPEST => {
                let name = String::from_utf8(start.local_name().as_ref().to_vec()).ok()?;
                open.push((name, Map::new(), String::new()));
            }
            Event::Start(_) | Event::DocType(_) => return None,
            Event::Empty(empty) => {
                let name = String::from_utf8(empty.local_name().as_ref().to_vec()).ok()?;
                add(&mut open.last_mut()?.1, name, Value::String(String::new()));
            }
            Event::Text(part) => open.last_mut()?.2.push_str(&part.decode().ok()?),
            Event::CData(part) => open.last_mut()?.2.push_str(&part.decode().ok()?),
            Event::GeneralRef(reference) => {
                let text = if let Some(c) = reference.resolve_char_ref().ok()? {
                    c.to_string()
                } else {
                    let name = reference.decode().ok()?;
                    quick_xml::escape::resolve_predefined_entity(&name)?.to_owned()
                };
                open.last_mut()?.2.push_str(&text);
            }
            Event::End(_) => {
                let (name, mut members, text) = open.pop()?;
                let text = text.trim().to_owned();
                let value = if members.is_empty() {
                    Value::String(text)
                } else {
                    if !text.is_empty() {
                        members.insert(TEXT.to_owned(), Value::String(text));
                    }
                    Value::Object(members)
                };
                add(&mut open.last_mut()?.1, name, value);
            }
            Event::Eof => break,
            Event::Comment(_) | Event::Decl(_) | Event::PI(_) => {}
        }
    }
    let (_, root, _) = open.pop()?;
    (open.is_empty() && root.len() == 1).then_some(Value::Object(root))
}

fn add(members: &mut Map<String, Value>, name: String, value: Value) {
    match members.get_mut(&name) {
        None => {
            members.insert(name, value);
        }
        Some(Value::Array(items)) => items.push(value),
        Some(first) => {
            let first = first.take();
            members.insert(name, Value::Array(vec![first, value]));
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_written_is_read_back() {
        let tree =
            json!({"acmUser": {"mac": "a<b>&\"']]>", "group": {"id": "7"}, "tag": ["x", "y"]}});
        let written = String::from_utf8(write(&tree).unwrap()).unwrap();
        assert_eq!(read(&written), Some(tree), "{written}");
    }

    #[test]
    fn what_cannot_stand_in_xml_is_refused() {
        for text in ["\0", "\u{b}", "\r", "\u{ffff}"] {
            assert_eq!(write(&json!({"a": text})), None, "{text:?}");
        }
        assert_eq!(write(&json!({"a": "1", "b": "2"})), None, "two roots");
    }

    #[test]
    fn entities_cannot_grow_and_depth_ends() {
        assert_eq!(read("<!DOCTYPE a [<!ENTITY x 'y'>]><a>&x;</a>"), None);
        let deep = format!("{}{}", "<a>".repeat(1_000), "</a>".repeat(1_000));
        assert_eq!(read(&deep), None);
        assert_eq!(read("<a>"), None);
        assert_eq!(read("no XML"), None);
    }
}
