//! Small XML documents: elements with texts, bounded, without document types and entities of their
//! own.

use quick_xml::Reader;
use quick_xml::XmlVersion;
use quick_xml::events::{BytesStart, Event};
use thiserror::Error;

/// The deepest nesting of elements.
const MAX_DEPTH: usize = 16;

/// The most attributes of an element.
const MAX_ATTRIBUTES: usize = 32;

/// The most elements of a document.
const MAX_ELEMENTS: usize = 10_000;

/// An element: its attributes, its children, and its text without those of its children.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Element {
    name: String,
    #[cfg_attr(
        not(feature = "client"),
        allow(dead_code, reason = "of forms, which are read by it")
    )]
    attributes: Vec<(String, String)>,
    children: Vec<Element>,
    text: String,
}

/// A document that is not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub(crate) enum XmlError {
    #[error("it is no XML")]
    Malformed,
    #[error("it has a document type or an entity")]
    DocType,
    #[error("it has more or deeper elements than are read")]
    TooLarge,
}

impl Element {
    /// The root of a document.
    pub(crate) fn parse(document: &str) -> Result<Self, XmlError> {
        let mut reader = Reader::from_str(document);
        let mut open = vec![Self::default()];
        let mut count = 0;
        loop {
            match reader.read_event().map_err(|_| XmlError::Malformed)? {
                Event::Start(start) => {
                    count += 1;
                    if open.len() > MAX_DEPTH || count > MAX_ELEMENTS {
                        return Err(XmlError::TooLarge);
                    }
                    open.push(Self::of_tag(&start)?);
                }
                Event::Empty(empty) => {
                    count += 1;
                    if count > MAX_ELEMENTS {
                        return Err(XmlError::TooLarge);
                    }
                    current(&mut open)?.children.push(Self::of_tag(&empty)?);
                }
                // The reader checks that it is the end of the last one.
                Event::End(_) => {
                    let closed = open.pop().ok_or(XmlError::Malformed)?;
                    current(&mut open)?.children.push(closed);
                }
                Event::Text(text) => {
                    let text = text.decode().map_err(|_| XmlError::Malformed)?;
                    current(&mut open)?.text.push_str(&text);
                }
                Event::CData(text) => {
                    let text = text.decode().map_err(|_| XmlError::Malformed)?;
                    current(&mut open)?.text.push_str(&text);
                }
                Event::GeneralRef(reference) => {
                    let char = match reference.resolve_char_ref() {
                        Ok(Some(char)) => char,
                        Ok(None) => predefined(&reference).ok_or(XmlError::DocType)?,
                        Err(_) => return Err(XmlError::Malformed),
                    };
                    current(&mut open)?.text.push(char);
                }
                Event::DocType(_) => return Err(XmlError::DocType),
                Event::Decl(_) | Event::PI(_) | Event::Comment(_) => {}
                Event::Eof => break,
            }
        }
        let document = open.pop().filter(|_| open.is_empty()).ok_or(XmlError::Malformed)?;
        let [root] = <[Self; 1]>::try_from(document.children).map_err(|_| XmlError::Malformed)?;
        Ok(root)
    }

    fn of_tag(tag: &BytesStart<'_>) -> Result<Self, XmlError> {
        let name = text(tag.local_name().as_ref())?;
        let mut attributes = Vec::new();
        for attribute in tag.attributes() {
            let attribute = attribute.map_err(|_| XmlError::Malformed)?;
            if attributes.len() >= MAX_ATTRIBUTES {
                return Err(XmlError::TooLarge);
            }
            // References to entities of a document type are refused.
            let value = attribute.normalized_value(XmlVersion::Implicit1_0);
            let value = value.map_err(|_| XmlError::DocType)?;
            attributes.push((text(attribute.key.local_name().as_ref())?, value.into_owned()));
        }
        Ok(Self { name, attributes, ..Self::default() })
    }

    /// Whether it has this name.
    #[cfg(feature = "client")]
    pub(crate) fn is_named(&self, name: &str) -> bool {
        self.name == name
    }

    /// The value of an attribute.
    #[cfg(feature = "client")]
    pub(crate) fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// The children of this name.
    #[cfg(feature = "client")]
    pub(crate) fn all(&self, name: &str) -> impl Iterator<Item = &Self> {
        self.children.iter().filter(move |child| child.name == name)
    }

    /// The first child of this name.
    pub(crate) fn child(&self, name: &str) -> Option<&Self> {
        self.children.iter().find(|child| child.name == name)
    }

    /// The text of the first child of this name; empty if there is none.
    pub(crate) fn text_of(&self, name: &str) -> &str {
        self.child(name).map_or("", |child| child.text.trim())
    }
}

fn text(bytes: &[u8]) -> Result<String, XmlError> {
    std::str::from_utf8(bytes).map(str::to_owned).map_err(|_| XmlError::Malformed)
}

fn current(open: &mut [Element]) -> Result<&mut Element, XmlError> {
    open.last_mut().ok_or(XmlError::Malformed)
}

/// The character of a reference that needs no document type.
fn predefined(name: &[u8]) -> Option<char> {
    Some(match name {
        b"lt" => '<',
        b"gt" => '>',
        b"amp" => '&',
        b"quot" => '"',
        b"apos" => '\'',
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_read_as_they_are_written() {
        let document = "<?xml version=\"1.0\"?><xml><a><![CDATA[<b>]]></a>\n<c> 1 &amp; &#50; </c>\
                        <d/><e><a>inner</a></e></xml>";
        let root = Element::parse(document).unwrap();
        assert_eq!(
            ["a", "c", "d", "none"].map(|name| root.text_of(name)),
            ["<b>", "1 & 2", "", ""]
        );
        assert_eq!(root.child("e").unwrap().text_of("a"), "inner");
    }

    #[test]
    fn what_is_hostile_or_no_document_is_refused() {
        let deep = format!("{}{}", "<a>".repeat(100), "</a>".repeat(100));
        let wide = format!("<a>{}</a>", "<b/>".repeat(20_000));
        for (document, error) in [
            ("<!DOCTYPE x><xml/>", XmlError::DocType),
            ("<!DOCTYPE x [<!ENTITY a \"b\">]><xml>&a;</xml>", XmlError::DocType),
            ("<xml>&a;</xml>", XmlError::DocType),
            ("<xml><!ENTITY a SYSTEM \"file:///etc/passwd\"></xml>", XmlError::Malformed),
            (deep.as_str(), XmlError::TooLarge),
            (wide.as_str(), XmlError::TooLarge),
            ("", XmlError::Malformed),
            ("text", XmlError::Malformed),
            ("<a>", XmlError::Malformed),
            ("<a></b>", XmlError::Malformed),
            ("</a>", XmlError::Malformed),
            ("<a/><b/>", XmlError::Malformed),
        ] {
            let shown: String = document.chars().take(40).collect();
            assert_eq!(Element::parse(document), Err(error), "{shown}");
        }
    }
}
