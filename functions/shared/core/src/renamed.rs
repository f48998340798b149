//! Renamed keys of configuration files: an old key is an error that names the new one.

use crate::explain::Explain;
use crate::key_path::KeyPath;
use thiserror::Error;
use toml::{Table, Value};

/// A renamed key. `at` is the path to its table, with `*` for any name; arrays are searched without
/// a step of the path.
#[derive(Clone, Copy, Debug)]
pub struct Rename {
    /// The path to the table.
    pub at: &'static [&'static str],
    /// The old name.
    pub old: &'static str,
    /// The new name.
    pub new: &'static str,
}

/// An old key in a file.
#[derive(Clone, Debug, PartialEq, Eq, Error, Explain)]
#[explain("renamed_key")]
#[error("`{path}` was renamed to `{new}`")]
pub struct RenamedKey {
    /// The place of the key.
    pub path: KeyPath,
    /// The new name.
    pub new: &'static str,
}

/// Finds the first renamed key in `text`; `None` also if the text is not TOML.
#[must_use]
pub fn find_renamed(text: &str, renames: &[Rename]) -> Option<RenamedKey> {
    let table: Table = text.parse().ok()?;
    renames.iter().find_map(|rename| {
        let mut path = Vec::new();
        let is_there = descend(&table, rename.at, rename.old, &mut path);
        is_there.then_some(RenamedKey { path: KeyPath(path), new: rename.new })
    })
}

/// Whether the table at the end of `at` has the key; `path` then leads to it.
fn descend(table: &Table, at: &[&str], key: &str, path: &mut Vec<String>) -> bool {
    let Some((first, rest)) = at.split_first() else {
        if table.contains_key(key) {
            path.push(key.to_owned());
        }
        return table.contains_key(key);
    };
    let next = table.iter().filter(|(name, _)| *first == "*" || name == first);
    next.into_iter().any(|(name, value)| {
        path.push(name.clone());
        let is_there = look_into(value, rest, key, path);
        if !is_there {
            path.pop();
        }
        is_there
    })
}

fn look_into(value: &Value, at: &[&str], key: &str, path: &mut Vec<String>) -> bool {
    match value {
        Value::Table(table) => descend(table, at, key, path),
        Value::Array(elements) => elements.iter().any(|element| {
            let name = element.get("name").and_then(Value::as_str);
            path.extend(name.map(str::to_owned));
            let is_there = look_into(element, at, key, path);
            if !is_there && name.is_some() {
                path.pop();
            }
            is_there
        }),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RENAMES: &[Rename] = &[
        Rename { at: &["flows"], old: "verdict", new: "on" },
        Rename { at: &["flows", "fields", "*"], old: "many", new: "multiple" },
    ];

    fn found(text: &str) -> Option<String> {
        find_renamed(text, RENAMES).map(|renamed| renamed.to_string())
    }

    #[test]
    fn find_renamed_old_key_gives_its_path_and_new_name() {
        let flows = "[[flows]]\nname = \"a\"\n[[flows]]\nname = \"b\"\n";
        assert_eq!(
            found(&format!("{flows}verdict = \"approved\"")).as_deref(),
            Some("`flows.b.verdict` was renamed to `on`")
        );
        assert_eq!(
            found(&format!("{flows}[flows.fields.verdict]\nmany = true")).as_deref(),
            Some("`flows.b.fields.verdict.many` was renamed to `multiple`")
        );
    }

    #[test]
    fn find_renamed_name_of_a_field_is_no_key() {
        let field = "[[flows]]\nname = \"a\"\n[flows.fields.verdict]\nkind = \"text\"";
        assert_eq!(found(field), None);
        assert_eq!(found("no TOML"), None);
    }
}
