//! Checks texts in Chinese.

/// Names of products and fields that consist of several words.
const NAMES: &[&str] = &[
    "App ID",
    "App Secret",
    "Encrypt Key",
    "Cisco ISE (ERS)",
    "JSON Schema",
    "Secrets Manager",
    "Retry-After",
    "log id",
];

/// The runs of two or more English words in `text`, outside of code in backquotes, of commands and
/// of names: a text in Chinese has none.
#[must_use]
pub fn english_runs(text: &str) -> Vec<String> {
    let text = NAMES.iter().fold(text.to_owned(), |text, name| text.replace(name, "·"));
    let outside_of_code: String = text.split('`').step_by(2).collect::<Vec<_>>().join("·");
    let mut runs = Vec::new();
    let mut run: Vec<&str> = Vec::new();
    let is_word = |token: &str| {
        let letters = token.trim_end_matches([',', '.', ';', ':']);
        letters.len() > 1 && letters.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'\'')
    };
    for line in outside_of_code.lines() {
        for token in line.split(' ').chain([""]) {
            if is_word(token) {
                run.push(token);
                continue;
            }
            if run.len() > 1 {
                runs.push(run.join(" "));
            }
            run.clear();
        }
    }
    runs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn english_runs_are_words_and_not_code_or_names() {
        assert_eq!(english_runs("死信队列为空 (the queue is empty)"), ["queue is"]);
        assert_eq!(english_runs("请运行 `greenlight dlq list`，用 App ID 登录 nac 2 次"), [""; 0]);
    }
}
