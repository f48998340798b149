//! Lists of values, as people type them.

use super::{Found, SubjectKind};
use crate::characters::plain;

/// Whether the character ends an entry of a list, in any width.
pub(super) const fn is_separator(char: char) -> bool {
    matches!(char, '\n' | '\r' | ',' | '，' | ';' | '；' | '、')
}

/// A piece of a text, and the position of its first character, counted from 1.
pub(super) struct Piece<'a> {
    pub(super) position: usize,
    pub(super) text: &'a str,
}

impl Piece<'_> {
    /// The piece in plain characters: full-width forms are folded, zero-width characters dropped.
    pub(super) fn plain(&self) -> String {
        self.text.chars().filter_map(plain).collect()
    }
}

/// The pieces of `text` between separators, without the blanks around them; empty ones are left
/// out.
pub(super) fn pieces(
    text: &str,
    is_separator: impl Fn(char) -> bool,
) -> impl Iterator<Item = Piece<'_>> {
    let mut before = 0;
    text.split(is_separator).filter_map(move |piece| {
        let start = before;
        before += piece.chars().count() + 1;
        let trimmed = piece.trim();
        let blanks = piece.chars().take_while(|char| char.is_whitespace()).count();
        (!trimmed.is_empty()).then_some(Piece { position: start + blanks + 1, text: trimmed })
    })
}

/// Reads a list in which every entry is one value.
pub(super) fn read(
    kind: &dyn SubjectKind,
    text: &str,
    is_separator: impl Fn(char) -> bool,
    most: usize,
) -> Vec<Found> {
    let found =
        |piece: Piece<'_>| Found { position: piece.position, value: kind.parse(piece.text) };
    pieces(text, is_separator).take(most).map(found).collect()
}
