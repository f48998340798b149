//! A statement with named values: `:mac` is a placeholder; values are bound, never interpolated.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::Deserialize;

/// One statement of an operation.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Statement {
    /// The statement; `:name` is a placeholder.
    pub sql: String,
    /// The values, as templates. `subject`, and `mac` where it is one, are predefined. Default:
    /// none.
    #[serde(default)]
    pub values: BTreeMap<String, String>,
    /// Why the statement is idempotent, if the SQL does not show it.
    #[serde(default)]
    pub repeatable: String,
}

/// The placeholder style of a database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Marks {
    /// `$1`: one placeholder may occur several times.
    Numbered,
    /// `?`: one per occurrence.
    Question,
}

/// A statement in the database's syntax, and the names of its values in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Prepared {
    pub(super) sql: String,
    pub(super) names: Vec<String>,
}

/// SQL clauses that make a statement idempotent.
const HARMLESS: [&str; 6] = [
    "NOT EXISTS",
    "ON CONFLICT",
    "ON DUPLICATE KEY",
    "INSERT IGNORE",
    "INSERT OR IGNORE",
    "MERGE INTO",
];

impl Statement {
    /// Returns whether the statement is idempotent, by its SQL or by a stated reason.
    pub(super) fn is_repeatable(&self) -> bool {
        let sql = self.sql.to_ascii_uppercase();
        let words = sql.split_ascii_whitespace().collect::<Vec<_>>().join(" ");
        let is_harmless = HARMLESS.iter().any(|harmless| words.contains(harmless));
        let is_plain = ["UPDATE ", "DELETE "].iter().any(|word| words.starts_with(word));
        is_harmless || is_plain || self.is_query() || !self.repeatable.is_empty()
    }

    /// Returns the template of the value with this name.
    pub(super) fn template(&self, name: &str) -> Cow<'_, str> {
        let template = self.values.get(name).map(|template| Cow::Borrowed(template.as_str()));
        template.unwrap_or_else(|| Cow::Owned(format!("{{{{ {name} }}}}")))
    }

    /// Returns whether the statement is a `SELECT`.
    pub(super) fn is_query(&self) -> bool {
        self.begins_with("SELECT")
    }

    #[cfg(feature = "act")]
    pub(super) fn is_insert(&self) -> bool {
        self.begins_with("INSERT")
    }

    fn begins_with(&self, word: &str) -> bool {
        let first = self.sql.split_ascii_whitespace().next().unwrap_or_default();
        first.eq_ignore_ascii_case(word)
    }

    /// Replaces `:name` by the database's placeholders. Quoted text, comments and `::` are
    /// unchanged.
    pub(super) fn prepare(&self, marks: Marks) -> Prepared {
        let mut prepared = Prepared { sql: String::new(), names: Vec::new() };
        let mut rest = self.sql.as_str();
        while let Some(c) = rest.chars().next() {
            let taken = match c {
                '\'' | '"' | '`' => quoted(rest, c),
                '-' if rest.starts_with("--") => rest.find('\n').unwrap_or(rest.len()),
                ':' if rest.starts_with("::") => 2,
                ':' => match name(&rest[1..]) {
                    "" => 1,
                    name => {
                        prepared.mark(name, marks);
                        rest = &rest[1 + name.len()..];
                        continue;
                    }
                },
                c => c.len_utf8(),
            };
            prepared.sql.push_str(&rest[..taken]);
            rest = &rest[taken..];
        }
        prepared
    }
}

impl Prepared {
    fn mark(&mut self, name: &str, marks: Marks) {
        let known = self.names.iter().position(|known| known == name);
        let known = known.filter(|_| marks == Marks::Numbered);
        let place = known.unwrap_or_else(|| {
            self.names.push(name.to_owned());
            self.names.len() - 1
        });
        match marks {
            Marks::Question => self.sql.push('?'),
            Marks::Numbered => {
                self.sql.push('$');
                self.sql.push_str(&(place + 1).to_string());
            }
        }
    }
}

/// Returns the length of the quoted text at the start of `text`; a doubled quote counts as two
/// quoted texts.
fn quoted(text: &str, quote: char) -> usize {
    text[1..].find(quote).map_or(text.len(), |end| end + 2)
}

/// Returns the name at the start of `text`.
fn name(text: &str) -> &str {
    let end = text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(text.len());
    &text[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn statement(sql: &str) -> Statement {
        Statement { sql: sql.into(), values: BTreeMap::new(), repeatable: String::new() }
    }

    #[test]
    fn names_become_marks_outside_of_quotes() {
        let statement = statement(
            "SELECT ':no', \":no\", a::text -- :no\n FROM t WHERE m = :mac AND n = :mac OR g=:g",
        );
        let numbered = statement.prepare(Marks::Numbered);
        assert!(
            numbered.sql.ends_with("FROM t WHERE m = $1 AND n = $1 OR g=$2"),
            "{}",
            numbered.sql
        );
        assert!(numbered.sql.starts_with("SELECT ':no', \":no\", a::text -- :no\n"));
        assert_eq!(numbered.names, ["mac", "g"]);
        let question = statement.prepare(Marks::Question);
        assert!(question.sql.ends_with("m = ? AND n = ? OR g=?"), "{}", question.sql);
        assert_eq!(question.names, ["mac", "mac", "g"]);
    }

    #[test]
    fn an_insert_says_how_it_is_repeated() {
        assert!(!statement("INSERT INTO t VALUES (:mac)").is_repeatable());
        for harmless in [
            "insert into t select :mac where not  exists (select 1)",
            "INSERT INTO t VALUES (:mac) ON CONFLICT DO NOTHING",
            "INSERT IGNORE INTO t VALUES (:mac)",
            "UPDATE t SET a = 1",
            "DELETE FROM t WHERE m = :mac",
        ] {
            assert!(statement(harmless).is_repeatable(), "{harmless}");
        }
        let reason = "t has a unique index".to_owned();
        assert!(
            Statement { repeatable: reason, ..statement("INSERT INTO t VALUES (1)") }
                .is_repeatable()
        );
    }
}
