//! How a command ends: its output, or the reason of its failure.

use std::io::{self, IsTerminal};

use greenlight_core::explain::{Explain, Explanation};
use greenlight_render::language::Language;
use greenlight_render::output::print_question;
use thiserror::Error;

/// The exit status if the object of the command was not found.
pub(crate) const NOT_FOUND: u8 = 3;

/// The reason of a failure, and the exit status.
pub(crate) struct Failed {
    pub(crate) cause: Explanation,
    pub(crate) status: u8,
}

impl<E: Explain> From<E> for Failed {
    fn from(error: E) -> Self {
        Self { cause: error.explain(), status: 1 }
    }
}

/// A command that asks for confirmation, where it cannot.
#[derive(Debug, Error, Explain)]
#[explain("no_terminal")]
#[error("no terminal to ask for confirmation: use --yes")]
struct NoTerminal;

/// The text for standard output.
pub(crate) type Output = Result<String, Failed>;

/// The output after a confirmation was declined.
pub(crate) fn nothing_done(language: Language) -> String {
    language.pick("nothing is done\n", "未执行任何操作\n").to_owned()
}

/// Asks for confirmation on a terminal; without one, `--yes` is required.
pub(crate) fn is_confirmed(question: &str, is_said: bool) -> Result<bool, Failed> {
    if is_said {
        return Ok(true);
    }
    if !io::stdin().is_terminal() {
        return Err(NoTerminal.into());
    }
    print_question(&format!("{question} [y/N] "));
    let mut answer = String::new();
    Ok(io::stdin().read_line(&mut answer).is_ok_and(|_| is_yes(&answer)))
}

fn is_yes(answer: &str) -> bool {
    ["y", "yes", "是"].iter().any(|yes| answer.trim().eq_ignore_ascii_case(yes))
}
