//! All output to a terminal, a pipe or a log, with control characters escaped.
//!
//! Forms, targets and queue messages contain untrusted text. A terminal interprets control
//! characters in it (`ESC [ 2 J` clears the screen), and direction marks change how it reads.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::io::{self, Write};

use tracing_appender::non_blocking::{NonBlocking, NonBlockingBuilder, WorkerGuard};

/// `text` with every character that a terminal would interpret written as `\uXXXX`, which in a
/// JSON document is the same character. Line feeds stay.
#[must_use]
pub fn escaped(text: &str) -> Cow<'_, str> {
    escape(text, |character| character != '\n' && is_unsafe(character))
}

/// As [`escaped`], and on one line: line feeds are written as `\u000a`.
#[must_use]
pub fn one_line(text: &str) -> Cow<'_, str> {
    escape(text, is_unsafe)
}

/// Control characters (C0, DEL, C1), direction marks, and separators that begin a new line.
fn is_unsafe(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}')
        || matches!(character, '\u{2066}'..='\u{2069}' | '\u{feff}')
}

fn escape(text: &str, is_unsafe: impl Fn(char) -> bool) -> Cow<'_, str> {
    if !text.chars().any(&is_unsafe) {
        return Cow::Borrowed(text);
    }
    let mut safe = String::with_capacity(text.len() + 16);
    for character in text.chars() {
        if is_unsafe(character) {
            let _ = write!(safe, "\\u{:04x}", u32::from(character));
        } else {
            safe.push(character);
        }
    }
    Cow::Owned(safe)
}

/// Prints a finished text. A closed pipe, as after `head`, is no error.
///
/// # Errors
/// Errors of standard output, such as a full disk if it is a file.
pub fn try_print(text: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    let printed = stdout.write_all(escaped(text).as_bytes()).and_then(|()| stdout.flush());
    match printed {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error),
        _ => Ok(()),
    }
}

/// As [`try_print`], but ignores errors.
pub fn print(text: &str) {
    let _ = try_print(text);
}

/// Prints formatted text and ends the line, as `println!` does, by way of [`print`].
#[macro_export]
macro_rules! outln {
    ($($arguments:tt)*) => {
        $crate::output::print(&format!("{}\n", format_args!($($arguments)*)))
    };
}
pub fn print_line(line: &str) {
    print(&format!("{}\n", one_line(line)));
}

/// Prints `greenlight: ` and an error. Further lines are indented, so that untrusted text cannot
/// imitate one of our lines.
pub fn print_error(text: &str) {
    let text = text.replace('\n', "\n  ");
    let _ = io::stderr().lock().write_all(format!("greenlight: {}\n", escaped(&text)).as_bytes());
}

/// Prints a finished text to standard error.
pub fn print_to_stderr(text: &str) {
    let _ = io::stderr().lock().write_all(escaped(text).as_bytes());
}

/// Asks on the terminal; the answer follows on the same line.
pub fn print_question(question: &str) {
    let mut stderr = io::stderr().lock();
    let _ = stderr.write_all(one_line(question).as_bytes()).and_then(|()| stderr.flush());
}

/// The most log lines that wait for standard error; further ones are dropped.
const MAX_LOG_LINES: usize = 4_096;

/// A writer of log lines to standard error, on a thread of its own: a stalled reader or a full disk
/// loses lines and blocks no other thread. Dropping the guard writes the waiting lines.
pub fn log_writer() -> (NonBlocking, WorkerGuard) {
    NonBlockingBuilder::default().lossy(true).buffered_lines_limit(MAX_LOG_LINES).finish(LogWriter)
}

/// Standard error without its lock: a write that blocks must not hold up other writers.
struct StandardError;

impl Write for StandardError {
    #[cfg(unix)]
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(rustix::io::write(rustix::stdio::stderr(), bytes)?)
    }

    #[cfg(not(unix))]
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        io::stderr().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Writes each event as one line of safe text.
#[derive(Clone, Copy, Debug, Default)]
struct LogWriter;

impl Write for LogWriter {
    /// `tracing_subscriber` writes one whole event at a time. Errors cannot be reported elsewhere.
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(event);
        let line = text.strip_suffix('\n').unwrap_or(&text);
        let _ = StandardError.write_all(format!("{}\n", one_line(line)).as_bytes());
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn escaped_keeps_what_people_write() {
        for text in ["张三的笔记本 – “new” 👩‍💻 é\n", "{\"reason\":\"ok\"}"] {
            assert!(matches!(escaped(text), Cow::Borrowed(same) if same == text));
        }
        assert_eq!(one_line("a\u{1b}[2J\r\nok\u{202e}"), "a\\u001b[2J\\u000d\\u000aok\\u202e");
    }

    proptest! {
        #[test]
        fn escaped_leaves_nothing_that_a_terminal_obeys(text in any::<String>()) {
            prop_assert!(escaped(&text).chars().all(|it| it == '\n' || !is_unsafe(it)));
            prop_assert!(!one_line(&text).chars().any(is_unsafe));
        }

        #[test]
        fn escaped_json_is_the_same_document(text in any::<String>()) {
            let value = serde_json::json!({ text.clone(): [text] });
            let read: serde_json::Value = serde_json::from_str(&escaped(&value.to_string())).unwrap();
            prop_assert_eq!(read, value);
        }
    }
}
