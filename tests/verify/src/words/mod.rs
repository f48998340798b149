//! Plain words: comments, strings and pages use the field's terms, in lines of 100 columns, and the
//! catalogue has all texts in Chinese.

mod catalogue;
mod prose;

use std::fs;

use crate::run::{Output, Problem, Tally, command, workspace};
use prose::{Prose, prose_of};

/// The maximum columns of a line of prose. Tables, URLs and Chinese may be wider.
const MAX_COLUMNS: usize = 100;

/// Words that are not terms of this field, or mean something else: see docs/glossary.md.
const REFUSED: &[&str] = &[
    "bury",
    "buried",
    "letter",
    "letters",
    "story",
    "stories",
    "patience",
    "mend",
    "mends",
    "mended",
    "setback",
    "setbacks",
    "findings",
    "bears",
    "rests",
    "lean",
    "breath",
    "left in peace",
    "comes back",
    "is away",
    "told",
    "nobody",
    "whoever",
    "somebody",
];

/// Contexts that allow a refused word: the end of the text before it, or the start of the text
/// after it.
const IN_PLACE: &[(&str, &str)] = &[
    // "Dead letter" is the field's term.
    ("dead ", ""),
    ("dead-", ""),
    // Characters.
    ("", " O"),
    ("", "s or digits"),
    ("", "s, digits"),
];

/// Paths with texts that need a refused word, and the word; empty: any word. At most ten.
const ALLOWED: &[(&str, &str)] = &[
    ("tests/verify/src/words/", ""),
    // Letters of the alphabet.
    ("functions/shared/core/src/mac/", "letter"),
    ("functions/shared/core/src/mac/", "letters"),
    ("functions/shared/core/src/characters.rs", "letter"),
    ("functions/shared/core/src/characters.rs", "letters"),
];

/// Checks all prose of the repository for refused words and wide lines.
pub(crate) fn words(output: Output) -> Result<Tally, Problem> {
    let files = files()?;
    let mut found = Vec::new();
    for file in &files {
        let Ok(text) = fs::read_to_string(workspace().join(file)) else { continue };
        for prose in prose_of(file, &text) {
            let place = format!("{file}:{}", prose.line);
            if let Some(word) = refused_word(&prose).filter(|word| !is_allowed(file, word)) {
                found.push(format!("{place}: `{word}`"));
            }
            if is_too_wide(&prose) {
                found.push(format!("{place}: {} columns", prose.whole.chars().count()));
            }
        }
    }
    found.extend(untranslated(&files));
    output.line(&format!("{} files, {} lines to correct", files.len(), found.len()));
    if found.is_empty() {
        return Ok(Tally::CHECK);
    }
    for line in &found {
        output.line(line);
    }
    Err(Problem::new(format!("{} lines are not in plain words, or too wide", found.len())))
}

/// The differences between the sources in production and the catalogue.
fn untranslated(files: &[String]) -> Vec<String> {
    let read = |file: &String| fs::read_to_string(workspace().join(file)).ok();
    let is_source =
        |file: &&String| file.rsplit('.').next() == Some("rs") && !file.starts_with("tests/");
    let sources: Vec<String> = files.iter().filter(is_source).filter_map(read).collect();
    // Unit tests have errors of their own.
    let sources = sources.iter().map(|text| text.split("#[cfg(test)]").next().unwrap_or_default());
    let catalogue = fs::read_to_string(workspace().join(catalogue::FILE)).unwrap_or_default();
    catalogue::differences(sources, &catalogue)
}

/// The files that git tracks, and new files that it does not ignore.
fn files() -> Result<Vec<String>, Problem> {
    let mut git = command("git");
    git.args(["ls-files", "--cached", "--others", "--exclude-standard"]);
    let listed = git.output().map_err(|error| Problem::new(format!("git: {error}")))?;
    let listed = String::from_utf8_lossy(&listed.stdout);
    Ok(listed.lines().map(str::to_owned).collect())
}

fn is_allowed(file: &str, word: &str) -> bool {
    ALLOWED.iter().any(|(place, of)| file.starts_with(place) && (of.is_empty() || *of == word))
}

/// The first refused word of a line that its context does not allow.
fn refused_word(prose: &Prose<'_>) -> Option<&'static str> {
    let text = prose.text.to_lowercase();
    REFUSED.iter().copied().find(|word| {
        text.match_indices(word).any(|(start, _)| {
            let (before, after) = (&text[..start], &text[start + word.len()..]);
            let is_whole = !before.ends_with(is_of_a_word) && !after.starts_with(is_of_a_word);
            is_whole && !is_in_place(before, &prose.text[start..], word)
        })
    })
}

fn is_of_a_word(character: char) -> bool {
    character.is_alphanumeric() || character == '_'
}

fn is_in_place(before: &str, from_word: &str, word: &str) -> bool {
    IN_PLACE.iter().any(|(ends, begins)| {
        let is_before = !ends.is_empty() && before.ends_with(ends);
        let after = from_word.get("letter".len()..).unwrap_or_default();
        let is_after =
            !begins.is_empty() && word.starts_with("letter") && after.starts_with(begins);
        is_before || is_after
    })
}

fn is_too_wide(prose: &Prose<'_>) -> bool {
    prose.is_line
        && prose.whole.chars().count() > MAX_COLUMNS
        && !prose.whole.contains("://")
        && !prose.text.trim_start().starts_with(['|', '!'])
        && prose.text.trim().contains(' ')
        && !prose.whole.chars().any(|character| character >= '\u{2e80}')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> Option<&'static str> {
        let comment = format!("// {text}\n");
        prose_of("a.rs", &comment).iter().find_map(refused_word)
    }

    #[test]
    fn refused_word_finds_whole_words_only() {
        assert_eq!(refused("The story of a request."), Some("story"));
        assert_eq!(refused("The message comes back."), Some("comes back"));
        assert_eq!(refused("Nobody holds it."), Some("nobody"));
        for right in ["history", "recommend", "a dead letter", "dead-letter queues", "`told`"] {
            assert_eq!(refused(right), None, "{right}");
        }
        assert_eq!(refused("letter O at position 16"), None);
        assert_eq!(refused("the letter goes to the queue"), Some("letter"));
    }

    #[test]
    fn is_too_wide_is_for_prose_and_neither_tables_nor_addresses() {
        let wide = "word ".repeat(25);
        let is_wide = |text: &str| prose_of("a.rs", text).iter().any(is_too_wide);
        assert!(is_wide(&format!("/// {wide}\n")));
        assert!(!is_wide(&format!("/// | {wide} |\n")));
        assert!(!is_wide(&format!("/// <https://example.com> {wide}\n")));
        assert!(!is_wide(&format!("/// {wide}中文\n")));
        assert!(!is_wide(&format!("let text = \"{wide}\";\n")), "strings are not wrapped");
    }

    #[test]
    fn allowed_texts_are_ten_at_most() {
        assert!(ALLOWED.len() <= 10);
    }
}
