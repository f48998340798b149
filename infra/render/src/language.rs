//! The language of what operators read.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::str::FromStr;
use std::sync::LazyLock;

use greenlight_core::explain::{Explanation, LINES, LIST, Part};
use thiserror::Error;

/// A language of the command and the page.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Language {
    English,
    /// Chinese, in simplified characters.
    Chinese,
}

/// The Chinese texts of explanations, by code.
static CHINESE: LazyLock<HashMap<String, String>> =
    LazyLock::new(|| toml::from_str(include_str!("zh.toml")).unwrap_or_default());

impl Language {
    /// Both.
    pub const ALL: [Self; 2] = [Self::English, Self::Chinese];

    /// The language of a tag such as `zh`, `zh_CN.UTF-8` or `zh-CN,zh;q=0.9`, by its first part;
    /// `None` if it is neither of both.
    #[must_use]
    pub fn of_tag(tag: &str) -> Option<Self> {
        let first = tag.trim().split(|it: char| !it.is_ascii_alphanumeric()).next()?;
        Self::ALL.into_iter().find(|language| first.eq_ignore_ascii_case(language.code()))
    }

    /// The language of the locale, by the first of `LC_ALL`, `LC_MESSAGES` and `LANG` that is set.
    /// Source: POSIX.1-2017, section 8.2.
    #[must_use]
    pub fn of_locale(variable: impl Fn(&str) -> Option<String>) -> Self {
        let names = ["LC_ALL", "LC_MESSAGES", "LANG"];
        let set = |name: &str| variable(name).filter(|value| !value.is_empty());
        names.into_iter().find_map(set).and_then(|tag| Self::of_tag(&tag)).unwrap_or(Self::English)
    }

    /// The language of `GREENLIGHT_LANG`, else of the locale.
    #[must_use]
    pub fn of_environment(variable: impl Fn(&str) -> Option<String>) -> Self {
        let own = variable("GREENLIGHT_LANG").and_then(|tag| Self::of_tag(&tag));
        own.unwrap_or_else(|| Self::of_locale(variable))
    }

    /// The code of the language in HTML and on the command line.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::English => "en",
            Self::Chinese => "zh",
        }
    }

    /// Returns the text of this language; for texts with values see [`text!`](crate::text).
    #[must_use]
    pub const fn pick(self, english: &'static str, chinese: &'static str) -> &'static str {
        match self {
            Self::English => english,
            Self::Chinese => chinese,
        }
    }

    /// The text of an error. In English if the catalogue does not have the code, as for the reason
    /// of a failure that another version recorded.
    #[must_use]
    pub fn explain(self, explanation: &Explanation) -> String {
        let translated = match self {
            Self::English => None,
            Self::Chinese => chinese(explanation),
        };
        translated.unwrap_or_else(|| explanation.text.clone())
    }
}

/// Not the code of a language.
#[derive(Clone, Copy, Debug, Error)]
#[error("it is `en` or `zh`")]
pub struct UnknownLanguage;

impl FromStr for Language {
    type Err = UnknownLanguage;

    fn from_str(code: &str) -> Result<Self, UnknownLanguage> {
        Self::ALL.into_iter().find(|language| language.code() == code).ok_or(UnknownLanguage)
    }
}

/// `None` if the catalogue lacks a code.
fn chinese(explanation: &Explanation) -> Option<String> {
    let value = |part: &Part| match part {
        Part::Text(text) => Some(text.clone()),
        Part::Explanation(inner) => chinese(inner),
    };
    let separator = match &*explanation.code {
        LIST => Some("；"),
        LINES => Some("\n"),
        _ => None,
    };
    if let Some(separator) = separator {
        let texts: Option<Vec<_>> = explanation.values.values().map(value).collect();
        return texts.map(|texts| texts.join(separator));
    }
    let template = CHINESE.get(&*explanation.code)?;
    let mut text = String::new();
    let mut rest = template.as_str();
    while let Some((before, after)) = rest.split_once('{') {
        let (name, after) = after.split_once('}')?;
        let part = explanation.values.get(name)?;
        write!(text, "{before}{}", value(part)?).ok()?;
        rest = after;
    }
    Some(text + rest)
}

/// A text in the language of the reader, from both, which have the same values in braces.
#[macro_export]
macro_rules! text {
    ($language:expr, $english:literal, $chinese:literal $(, $name:ident = $value:expr)* $(,)?) => {
        match $language {
            $crate::language::Language::English => format!($english $(, $name = $value)*),
            $crate::language::Language::Chinese => format!($chinese $(, $name = $value)*),
        }
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_locale_takes_the_first_variable_that_is_set() {
        let of = |set: &[(&str, &str)]| {
            let found = |name: &str| set.iter().find(|(known, _)| *known == name);
            Language::of_locale(|name| found(name).map(|(_, value)| (*value).to_owned()))
        };
        assert_eq!(of(&[]), Language::English);
        assert_eq!(of(&[("LANG", "zh_CN.UTF-8")]), Language::Chinese);
        assert_eq!(of(&[("LANG", "zh_CN.UTF-8"), ("LC_ALL", "C")]), Language::English);
        assert_eq!(of(&[("LC_ALL", ""), ("LC_MESSAGES", "zh_TW")]), Language::Chinese);
        assert_eq!(of(&[("LANG", "fr_FR.UTF-8")]), Language::English);
    }

    #[test]
    fn of_tag_is_the_first_part_in_any_case() {
        for tag in ["zh", "ZH_CN.UTF-8", " zh-CN,zh;q=0.9", "zh-Hans"] {
            assert_eq!(Language::of_tag(tag), Some(Language::Chinese), "{tag}");
        }
        assert_eq!(Language::of_tag("en-GB"), Some(Language::English));
        for tag in ["zhuang", "fr", "C", ""] {
            assert_eq!(Language::of_tag(tag), None, "{tag}");
        }
    }

    #[test]
    fn explain_without_a_code_in_the_catalogue_is_english() {
        let inner = Explanation::new("of.another.version", "the cause".to_owned(), []);
        let outer = Explanation::list(vec![inner, Explanation::quoted("HTTP 503")]);
        assert_eq!(Language::Chinese.explain(&outer), "the cause; HTTP 503");
    }
}
