//! The prose of a file: comments and strings, or the whole file.

/// A piece of prose.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Prose<'a> {
    /// The line number, from 1.
    pub(super) line: usize,
    /// The prose without code in backticks.
    pub(super) text: String,
    /// The whole line.
    pub(super) whole: &'a str,
    /// Whether the line is prose only, so that it can be wrapped.
    pub(super) is_line: bool,
}

/// The prose of a file, by its file extension.
pub(super) fn prose_of<'a>(file: &str, text: &'a str) -> Vec<Prose<'a>> {
    match file.rsplit('.').next() {
        Some("rs") => of_rust(text),
        Some("md") => of_markdown(text),
        Some("toml" | "yaml" | "yml" | "py") => of_comments(text),
        _ => Vec::new(),
    }
}

fn of_markdown(text: &str) -> Vec<Prose<'_>> {
    let mut is_code = false;
    let mut found = Vec::new();
    for (line, whole) in (1..).zip(text.lines()) {
        if whole.trim_start().starts_with("```") {
            is_code = !is_code;
        } else if !is_code {
            found.push(Prose { line, text: without_code(whole), whole, is_line: true });
        }
    }
    found
}

/// Lines that begin with `#`.
fn of_comments(text: &str) -> Vec<Prose<'_>> {
    let lines = (1..).zip(text.lines());
    let comments = lines.filter(|(_, whole)| whole.trim_start().starts_with('#'));
    comments
        .map(|(line, whole)| Prose { line, text: without_code(whole), whole, is_line: true })
        .collect()
}

/// Comments without code blocks, and string literals of more than one word: the others are names.
fn of_rust(text: &str) -> Vec<Prose<'_>> {
    let mut found = Vec::new();
    let (mut rest, mut is_code) = (Rest::Code, false);
    for (line, whole) in (1..).zip(text.lines()) {
        let comment = whole.trim_start().trim_start_matches(['/', '!']).trim_start();
        let is_comment = matches!(rest, Rest::Code) && whole.trim_start().starts_with("//");
        if is_comment && comment.starts_with("```") {
            is_code = !is_code;
        }
        if is_comment && is_code {
            continue;
        }
        is_code &= is_comment;
        let mut left = whole;
        while !left.is_empty() {
            let (piece, next) = rest.take(&mut left);
            let is_prose = match piece {
                Piece::Code => false,
                Piece::Comment(_) => true,
                Piece::Text(text) => text.trim().contains(' '),
            };
            if let (Piece::Comment(piece) | Piece::Text(piece), true) = (piece, is_prose) {
                let text = without_code(piece);
                found.push(Prose { line, text, whole, is_line: is_comment });
            }
            rest = next;
        }
    }
    found
}

/// The syntactic context of a position in a Rust file.
#[derive(Clone, Copy, Debug)]
enum Rest {
    Code,
    /// A string, with the number of `#` of a raw one; `None`: with escapes.
    Text(Option<usize>),
}

/// The parts of a line read so far.
#[derive(Clone, Copy)]
enum Piece<'a> {
    Code,
    Comment(&'a str),
    Text(&'a str),
}

impl Rest {
    /// Takes a piece from `left` and returns the rest.
    fn take<'a>(self, left: &mut &'a str) -> (Piece<'a>, Self) {
        match self {
            Self::Text(hashes) => {
                let (end, length) = end_of_text(left, hashes);
                let piece = Piece::Text(&left[..end]);
                *left = &left[(end + length).min(left.len())..];
                (piece, if length == 0 { self } else { Self::Code })
            }
            Self::Code => {
                if let Some(comment) = left.strip_prefix("//") {
                    *left = "";
                    return (Piece::Comment(comment.trim_start_matches(['/', '!'])), Self::Code);
                }
                if let Some(hashes) = raw_text(left) {
                    *left = &left[hashes + 2..];
                    return (Piece::Code, Self::Text(Some(hashes)));
                }
                if let Some(after) = left.strip_prefix('"') {
                    *left = after;
                    return (Piece::Code, Self::Text(None));
                }
                let skipped = character_literal(left);
                let length = left.chars().next().map_or(0, char::len_utf8).max(skipped);
                *left = &left[length..];
                (Piece::Code, Self::Code)
            }
        }
    }
}

/// The end of a string in this line, and the length of its delimiter; 0 if it continues in the next
/// line.
fn end_of_text(text: &str, hashes: Option<usize>) -> (usize, usize) {
    if let Some(hashes) = hashes {
        let end = format!("\"{}", "#".repeat(hashes));
        return text.find(&end).map_or((text.len(), 0), |at| (at, end.len()));
    }
    let mut is_escaped = false;
    for (at, character) in text.char_indices() {
        match character {
            _ if is_escaped => is_escaped = false,
            '\\' => is_escaped = true,
            '"' => return (at, 1),
            _ => {}
        }
    }
    (text.len(), 0)
}

/// The number of `#` at the start of a raw string.
fn raw_text(text: &str) -> Option<usize> {
    let after = text.strip_prefix('r')?;
    let hashes = after.len() - after.trim_start_matches('#').len();
    after[hashes..].starts_with('"').then_some(hashes)
}

/// The length of a character literal; 0 if there is none, as at a lifetime.
fn character_literal(text: &str) -> usize {
    let Some(after) = text.strip_prefix('\'') else { return 0 };
    if after.starts_with('\\') {
        return after.get(2..).and_then(|rest| rest.find('\'')).map_or(0, |end| end + 4);
    }
    let length = after.chars().next().map_or(0, char::len_utf8);
    if after[length..].starts_with('\'') { length + 2 } else { 0 }
}

/// Removes code in backticks.
fn without_code(text: &str) -> String {
    text.split('`').step_by(2).collect::<Vec<_>>().join("``")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(file: &str, text: &str) -> Vec<String> {
        prose_of(file, text).into_iter().map(|prose| prose.text.trim().to_owned()).collect()
    }

    #[test]
    fn prose_of_rust_is_comments_and_sentences() {
        let code = "fn f<'a>(x: &'a str) { // one `two` three\n    g('\"', '\\'', \"name\", \"a b\", r#\"c \"d\" e\"#);\n}\n";
        assert_eq!(texts("a.rs", code), ["one `` three", "a b", "c \"d\" e"]);
        let over_lines = "let a = \"one two \\\n    three four\";\n";
        assert_eq!(texts("a.rs", over_lines), ["one two \\", "three four"]);
    }

    #[test]
    fn prose_of_a_page_is_all_but_code() {
        let page = "A `b` c\n```\nd e\n```\n| f |\n";
        assert_eq!(texts("a.md", page), ["A `` c", "| f |"]);
    }

    #[test]
    fn prose_of_other_files_is_their_comments() {
        assert_eq!(texts("a.toml", "# one two\nkey = \"# three\"\n"), ["# one two"]);
        assert_eq!(texts("a.json", "# one\n"), [""; 0]);
    }
}
