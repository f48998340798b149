//! The Chinese catalogue has a text for each code in the sources, with the same values.

use std::collections::{BTreeMap, BTreeSet};

/// The catalogue.
pub(super) const FILE: &str = "infra/render/src/zh.toml";

/// The names of the values in a text, by its code.
type Texts = BTreeMap<String, BTreeSet<String>>;

/// Differences between the texts of `sources`, which are of Rust files, and the catalogue.
pub(super) fn differences<'a>(
    sources: impl Iterator<Item = &'a str>,
    catalogue: &str,
) -> Vec<String> {
    let chinese: Texts = catalogue.lines().filter_map(entry).collect();
    let (mut english, mut found) = (Texts::new(), Vec::new());
    for (code, values) in sources.flat_map(texts_of) {
        match chinese.get(&code) {
            None => found.push(format!("{FILE}: no text for `{code}`")),
            Some(same) if *same == values => {}
            Some(other) => {
                found.push(format!("{FILE}: `{code}` has the values {other:?}, not {values:?}"));
            }
        }
        if english.insert(code.clone(), values).is_some() {
            found.push(format!("two errors have the code `{code}`"));
        }
    }
    let unused = chinese.keys().filter(|code| !english.contains_key(*code));
    found.extend(unused.map(|code| format!("{FILE}: no error has the code `{code}`")));
    found
}

/// `"code" = "text"`.
fn entry(line: &str) -> Option<(String, BTreeSet<String>)> {
    let (code, text) = line.strip_prefix('"')?.split_once("\" = \"")?;
    Some((code.to_owned(), values(text)))
}

/// The texts of types with `#[explain("code")]`, and the codes of kinds of `io::Error`. A text of
/// one value alone has no code: it is that of the value.
fn texts_of(source: &str) -> Vec<(String, BTreeSet<String>)> {
    const MARK: &str = "\n#[explain(\"";
    let mut found = Vec::new();
    for (at, _) in source.match_indices(MARK) {
        let Some((code, after)) = source[at + MARK.len()..].split_once("\")]") else { continue };
        let item = |kind: &str| {
            let visibilities = ["", "pub ", "pub(super) ", "pub(crate) "];
            visibilities.iter().filter_map(|it| after.find(&format!("\n{it}{kind} "))).min()
        };
        match (item("enum"), item("struct")) {
            (Some(at), other) if other.is_none_or(|other| at < other) => {
                found.extend(variants(code, body(&after[at..])));
            }
            (_, Some(end)) => {
                // The text of a struct stands before or after its code.
                let start = source[..at].rfind("\n\n").unwrap_or_default();
                let attributes = [&source[start..at], &after[..end]];
                let texts = attributes.into_iter().flat_map(texts);
                found.extend(texts.map(|(text, _)| (code.to_owned(), values(text), text)));
            }
            _ => {}
        }
    }
    let is_text = |(_, _, text): &(_, _, &str)| !is_one_value(text);
    let mut found: Vec<_> =
        found.into_iter().filter(is_text).map(|(code, values, _)| (code, values)).collect();
    let kinds = source.lines().filter_map(|line| line.trim().split_once(" => \"io."));
    let kinds = kinds.filter_map(|(_, rest)| rest.strip_suffix("\","));
    found.extend(kinds.map(|kind| (format!("io.{kind}"), BTreeSet::new())));
    found
}

/// Whether the text is `{value}`.
fn is_one_value(text: &str) -> bool {
    let inside = text.strip_prefix('{').and_then(|text| text.strip_suffix('}'));
    inside.is_some_and(|inside| !inside.contains(['{', '}', ':']))
}

fn variants<'a>(code: &str, body: &'a str) -> Vec<(String, BTreeSet<String>, &'a str)> {
    let of_variant = |(text, after): (&'a str, &str)| {
        let mut lines = after.lines().skip(1).map(str::trim);
        let name = lines.find(|line| line.starts_with(|first: char| first.is_ascii_uppercase()))?;
        let name: String = name.chars().take_while(char::is_ascii_alphanumeric).collect();
        Some((format!("{code}.{}", snake_case(&name)), values(text), text))
    };
    texts(body).filter_map(of_variant).collect()
}

/// The texts of `#[error("…")]`, each with what follows it.
fn texts(source: &str) -> impl Iterator<Item = (&str, &str)> {
    source.match_indices("#[error(").filter_map(|(at, mark)| {
        let argument = source[at + mark.len()..].trim_start();
        let text = argument.strip_prefix('"')?;
        let mut is_escaped = false;
        let end = text.find(|character: char| {
            let is_end = character == '"' && !is_escaped;
            is_escaped = character == '\\' && !is_escaped;
            is_end
        })?;
        Some((&text[..end], &text[end..]))
    })
}

/// The rest of an item: rustfmt closes it at the start of a line.
fn body(source: &str) -> &str {
    source.find("\n}").map_or(source, |end| &source[..end])
}

/// The names in braces.
fn values(text: &str) -> BTreeSet<String> {
    let text = text.replace("{{", "").replace("}}", "");
    let names = text.split('{').skip(1).filter_map(|part| part.split(['}', ':']).next());
    names.map(str::to_owned).collect()
}

/// `NotNumber`: `not_number`.
fn snake_case(name: &str) -> String {
    let mut text = String::new();
    for character in name.chars() {
        if character.is_ascii_uppercase() && !text.is_empty() {
            text.push('_');
        }
        text.push(character.to_ascii_lowercase());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOURCE: &str = r#"
#[derive(Debug, Error, Explain)]
#[explain("form")]
pub enum Problem {
    /// Empty.
    #[error("field `{field}` has a `${{`, \"{0:?}\"")]
    NotNumber { field: String },
    #[error(transparent)]
    Other(#[from] Other),
    #[error("{0}")]
    Same(Other),
    #[error(
        "over \
         {count} lines"
    )]
    #[cfg(unix)]
    Long { count: usize },
}

#[derive(Debug, Error, Explain)]
#[explain("lost")]
#[error("the lease is lost: {cause}")]
struct Lost {
    cause: String,
}

fn code(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::NotFound => "io.not_found",
    }
}
"#;

    fn found(catalogue: &str) -> Vec<String> {
        differences([SOURCE].into_iter(), catalogue)
    }

    const CATALOGUE: &str = "\
\"form.not_number\" = \"字段 {field}、{0}\"
\"form.long\" = \"{count} 行\"
\"lost\" = \"丢失：{cause}\"
\"io.not_found\" = \"不存在\"
";

    #[test]
    fn differences_of_a_complete_catalogue_are_none() {
        assert_eq!(found(CATALOGUE), [""; 0]);
    }

    #[test]
    fn differences_are_codes_that_two_types_have() {
        let twice = differences(
            [SOURCE, &SOURCE[SOURCE.find("#[explain(\"lost").unwrap() - 40..]].into_iter(),
            CATALOGUE,
        );
        assert!(twice.contains(&"two errors have the code `lost`".to_owned()), "{twice:?}");
    }

    #[test]
    fn differences_are_missing_and_unused_texts_and_other_values() {
        let catalogue = CATALOGUE.replace("{count}", "{number}").replace("\"lost\"", "\"lots\"");
        let expected = [
            "`form.long` has the values {\"number\"}, not {\"count\"}",
            "no text for `lost`",
            "no error has the code `lots`",
        ];
        assert_eq!(found(&catalogue), expected.map(|text| format!("{FILE}: {text}")));
    }
}
