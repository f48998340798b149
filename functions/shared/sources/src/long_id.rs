//! Ids of 64 bits, which are longer than the whole numbers of JavaScript.

use serde::Deserialize;

/// An id: a text, or a whole number of 64 bits with all its digits. A longer number is refused: it
/// would be rounded, and two ids would be one.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(crate) enum LongId {
    Text(String),
    Number(i64),
    Large(u64),
}

impl LongId {
    #[cfg(feature = "client")]
    pub(crate) fn is(&self, text: &str) -> bool {
        match self {
            Self::Text(own) => own == text,
            Self::Number(number) => number.to_string() == text,
            Self::Large(number) => number.to_string() == text,
        }
    }

    pub(crate) fn into_text(self) -> String {
        match self {
            Self::Text(text) => text,
            Self::Number(number) => number.to_string(),
            Self::Large(number) => number.to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::LongId;

    #[test]
    fn an_id_is_never_rounded() {
        let text = |json| serde_json::from_str::<LongId>(json).map(LongId::into_text).ok();
        let kept = ["-7386401598213497346", "9007199254740993", "18446744073709551615"];
        for id in kept {
            assert_eq!(text(id).as_deref(), Some(id));
        }
        assert_eq!(text("\"18446744073709551616\"").as_deref(), Some("18446744073709551616"));
        for rounded in ["18446744073709551616", "1.5", "1e3", "null", "true"] {
            assert_eq!(text(rounded), None, "{rounded}");
        }
    }
}
