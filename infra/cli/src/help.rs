//! The help, and the errors of the command line, in the language of the reader.

use std::collections::HashMap;
use std::error::Error as _;
use std::ffi::OsString;
use std::net::AddrParseError;
use std::num::ParseIntError;
use std::process::ExitCode;
use std::sync::LazyLock;

use clap::builder::{PossibleValue, StyledStr};
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, ArgAction, CommandFactory, FromArgMatches};
use greenlight_render::language::Language;
use greenlight_render::output::{print_error, print_to_stderr};

use crate::arguments::Arguments;

/// The Chinese help, by the path of commands and arguments: `dlq.redrive`, `dlq.redrive.rate`. An
/// argument of several commands can stand below `*`.
static CHINESE: LazyLock<HashMap<String, String>> =
    LazyLock::new(|| toml::from_str(include_str!("help.zh.toml")).unwrap_or_default());

/// The exit status of an invalid command line.
const USAGE_ERROR: u8 = 2;

/// The language of `--lang`, else of `GREENLIGHT_LANG`, else of the locale. The command line is not
/// parsed for it, because its errors need the language already.
pub fn language(arguments: &[OsString], variable: impl Fn(&str) -> Option<String>) -> Language {
    let options = arguments.iter().take_while(|argument| *argument != "--");
    let mut options = options.map(|argument| argument.to_str().unwrap_or_default());
    let given = loop {
        match options.next() {
            None => break None,
            Some("--lang") => break options.next(),
            Some(option) => {
                if let Some(tag) = option.strip_prefix("--lang=") {
                    break Some(tag);
                }
            }
        }
    };
    given.and_then(Language::of_tag).unwrap_or_else(|| Language::of_environment(variable))
}

/// Parses the command line. Prints help, version or error otherwise, and returns the exit status.
///
/// # Errors
/// The exit status: success after help and version.
pub fn parse(arguments: Vec<OsString>, language: Language) -> Result<Arguments, ExitCode> {
    let matches = command(language).try_get_matches_from(arguments);
    let parsed = matches.and_then(|matches| Arguments::from_arg_matches(&matches));
    parsed.map_err(|error| {
        let is_help = matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
        if is_help || is_help_instead_of_an_error(&error) {
            // With colours on a terminal.
            let is_printed = error.print().is_ok();
            return match (is_help, is_printed) {
                (false, _) => ExitCode::from(USAGE_ERROR),
                (true, true) => ExitCode::SUCCESS,
                (true, false) => ExitCode::FAILURE,
            };
        }
        match language {
            Language::English => print_to_stderr(&error.render().to_string()),
            Language::Chinese => print_error(&in_chinese(&error)),
        }
        ExitCode::from(USAGE_ERROR)
    })
}

/// Whether clap shows the help because the arguments are missing.
fn is_help_instead_of_an_error(error: &clap::Error) -> bool {
    error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand
}

/// The command line, with help in `language`.
#[must_use]
pub fn command(language: Language) -> clap::Command {
    match language {
        Language::English => Arguments::command(),
        Language::Chinese => in_chinese_of(Arguments::command()),
    }
}

/// The command line for manual pages, which have none for the command `help`.
#[must_use]
pub fn command_without_help(language: Language) -> clap::Command {
    let command = Arguments::command().disable_help_subcommand(true);
    match language {
        Language::English => command,
        Language::Chinese => in_chinese_of(command),
    }
}

fn in_chinese_of(mut command: clap::Command) -> clap::Command {
    command.build();
    translated(command, "")
}

/// The headings that clap itself writes in English.
const TEMPLATE: &str = "{about-with-newline}\n用法：{usage}\n\n{all-args}{after-help}";

fn translated(command: clap::Command, path: &str) -> clap::Command {
    let about = text_of(if path.is_empty() { "greenlight" } else { path });
    let mut command = command
        .help_template(TEMPLATE)
        .subcommand_help_heading("命令")
        .subcommand_value_name("命令")
        .mut_args(|argument| translated_argument(argument, path))
        .mut_subcommands(|subcommand| {
            let path = below(path, subcommand.get_name());
            translated(subcommand, &path)
        });
    if let Some(about) = about {
        let (first, _) = about.split_once('\n').unwrap_or((about, ""));
        command = command.about(first.to_owned()).long_about(about.to_owned());
    }
    command
}

fn translated_argument(argument: Arg, path: &str) -> Arg {
    let name = argument.get_id().as_str().to_owned();
    // The commands `help` and the flags have texts of their own.
    let is_own = !path.is_empty() && name != "help";
    let of_command = || text_of(&below(path, &name)).filter(|_| is_own);
    let Some(help) = of_command().or_else(|| text_of(&below("*", &name))) else {
        return argument;
    };
    let heading = if argument.is_positional() { "参数" } else { "选项" };
    let help = help.to_owned() + &notes(&argument);
    let argument = argument.help_heading(heading).help(help.clone()).long_help(help);
    argument.hide_default_value(true).hide_env(true).hide_possible_values(true)
}

/// The default, the variable and the possible values, which clap would add in English.
fn notes(argument: &Arg) -> String {
    let mut notes = Vec::new();
    let defaults = argument.get_default_values();
    let defaults: Vec<_> = defaults.iter().map(|it| it.to_string_lossy().into_owned()).collect();
    let takes_value = argument.get_action().takes_values();
    if takes_value && !defaults.is_empty() {
        notes.push(format!("（默认：{}）", defaults.join("、")));
    }
    let values = argument.get_possible_values();
    if takes_value && !values.is_empty() {
        let values: Vec<_> = values.iter().map(PossibleValue::get_name).collect();
        notes.push(format!("（可选值：{}）", values.join("、")));
    }
    if let Some(variable) = argument.get_env() {
        notes.push(format!("（环境变量：{}）", variable.to_string_lossy()));
    }
    if matches!(argument.get_action(), ArgAction::Append) {
        notes.push("（可重复）".to_owned());
    }
    notes.concat()
}

fn below(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

fn text_of(path: &str) -> Option<&'static str> {
    // Each command with commands below it has `help`, with the same commands once more.
    let segments: Vec<_> = path.split('.').collect();
    let path = match segments.as_slice() {
        ["*", ..] => path.to_owned(),
        [.., "help"] => "help".to_owned(),
        segments => {
            segments.iter().filter(|it| **it != "help").copied().collect::<Vec<_>>().join(".")
        }
    };
    CHINESE.get(&path).map(String::as_str)
}

/// An error of the command line, by its kind and context.
fn in_chinese(error: &clap::Error) -> String {
    let value = |kind: ContextKind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.clone()),
        Some(ContextValue::Strings(texts)) => Some(texts.join("、")),
        Some(ContextValue::StyledStr(text)) => Some(text.to_string()),
        _ => None,
    };
    let argument = value(ContextKind::InvalidArg).unwrap_or_default();
    let given = value(ContextKind::InvalidValue).unwrap_or_default();
    let problem = match error.kind() {
        ErrorKind::UnknownArgument => {
            format!("没有参数 `{argument}`{}", meant(value(ContextKind::SuggestedArg)))
        }
        ErrorKind::InvalidSubcommand => {
            let name = value(ContextKind::InvalidSubcommand).unwrap_or_default();
            format!("没有命令 `{name}`{}", meant(value(ContextKind::SuggestedSubcommand)))
        }
        ErrorKind::MissingRequiredArgument => format!("缺少参数：{argument}"),
        ErrorKind::MissingSubcommand => {
            let commands = value(ContextKind::ValidSubcommand).unwrap_or_default();
            format!("缺少命令：{commands}")
        }
        ErrorKind::ArgumentConflict => match value(ContextKind::PriorArg) {
            Some(other) if other != argument => format!("`{argument}` 不能与 `{other}` 同时使用"),
            _ => format!("`{argument}` 只能出现一次"),
        },
        ErrorKind::TooManyValues => format!("`{argument}` 不接受值 `{given}`"),
        ErrorKind::InvalidUtf8 => "参数不是 UTF-8 文本".to_owned(),
        ErrorKind::InvalidValue | ErrorKind::ValueValidation => {
            let valid = value(ContextKind::ValidValue).filter(|valid| !valid.is_empty());
            let valid = valid.map(|valid| format!("，可选值：{valid}")).unwrap_or_default();
            let problem = match given.trim() {
                "" => "缺少值".to_owned(),
                _ => format!("的值 `{given}` 无效{}", expected(error)),
            };
            format!("`{argument}` {problem}{valid}")
        }
        _ => return error.render().to_string(),
    };
    let usage = match error.get(ContextKind::Usage) {
        Some(ContextValue::StyledStr(usage)) => usage_in_chinese(usage),
        _ => String::new(),
    };
    format!("{problem}{usage}\n加 --help 查看帮助")
}

/// The expected form of a value that cannot be parsed.
fn expected(error: &clap::Error) -> &'static str {
    match error.source() {
        Some(cause) if cause.is::<ParseIntError>() => "：应为整数",
        Some(cause) if cause.is::<AddrParseError>() => "：应为 IP 地址和端口，如 127.0.0.1:8080",
        _ => "",
    }
}

/// A question about a similar name.
fn meant(name: Option<String>) -> String {
    name.map(|name| format!("，是否为 `{}`？", name.replace('、', "` 或 `"))).unwrap_or_default()
}

fn usage_in_chinese(usage: &StyledStr) -> String {
    let usage = usage.to_string();
    format!("\n用法：{}", usage.trim_start_matches("Usage:").trim())
}

#[cfg(test)]
mod tests {
    use greenlight_testkit::prose::english_runs;

    use super::*;

    /// The paths of all commands and arguments.
    fn paths(command: &clap::Command, path: &str, into: &mut Vec<(String, bool)>) {
        into.push((if path.is_empty() { "greenlight" } else { path }.to_owned(), false));
        for argument in command.get_arguments() {
            into.push((below(path, argument.get_id().as_str()), true));
        }
        for subcommand in command.get_subcommands().filter(|it| it.get_name() != "help") {
            paths(subcommand, &below(path, subcommand.get_name()), into);
        }
    }

    #[test]
    fn each_command_and_argument_has_chinese_help() {
        let mut found = Vec::new();
        let mut command = Arguments::command();
        command.build();
        paths(&command, "", &mut found);
        let is_missing = |(path, is_argument): &&(String, bool)| {
            let name = path.rsplit('.').next().unwrap_or_default();
            text_of(path).is_none() && !(*is_argument && text_of(&below("*", name)).is_some())
        };
        let missing: Vec<_> = found.iter().filter(is_missing).map(|(path, _)| path).collect();
        assert_eq!(missing, Vec::<&String>::new());
        let known = |key: &String| {
            let shared = key.strip_prefix("*.");
            key == "help"
                || found.iter().any(|(path, _)| match shared {
                    None => path == key,
                    Some(name) => path.rsplit('.').next() == Some(name),
                })
        };
        let unused: Vec<_> = CHINESE.keys().filter(|key| !known(key)).collect();
        assert_eq!(unused, Vec::<&String>::new());
    }

    /// The long help of a command and of all below it.
    fn help_of(command: &mut clap::Command, into: &mut Vec<String>) {
        into.push(command.render_long_help().to_string());
        for subcommand in command.get_subcommands_mut() {
            help_of(subcommand, into);
        }
    }

    #[test]
    fn no_page_of_the_chinese_help_has_english() {
        let mut pages = Vec::new();
        help_of(&mut command(Language::Chinese), &mut pages);
        assert!(pages.len() > 20);
        for page in pages {
            // The usage names commands.
            let texts: Vec<_> = page.lines().filter(|line| !line.starts_with("用法")).collect();
            assert_eq!(english_runs(&texts.join("\n")), [""; 0], "{page}");
        }
    }

    #[test]
    fn manual_pages_and_completions_have_the_same_commands_in_both_languages() {
        let names = |language| {
            let folder = tempfile::tempdir().unwrap();
            clap_mangen::generate_to(command_without_help(language), folder.path()).unwrap();
            let files = std::fs::read_dir(folder.path()).unwrap();
            let mut names: Vec<_> = files.map(|file| file.unwrap().file_name()).collect();
            names.sort();
            names
        };
        let english = names(Language::English);
        assert!(english.len() > 15);
        assert_eq!(english, names(Language::Chinese));
        for language in Language::ALL {
            let mut script = Vec::new();
            let shell = clap_complete::Shell::Bash;
            clap_complete::generate(shell, &mut command(language), "greenlight", &mut script);
            assert!(String::from_utf8(script).unwrap().contains("redrive"));
        }
    }

    fn of(arguments: &[&str], set: &[(&str, &str)]) -> Language {
        let arguments: Vec<OsString> = arguments.iter().map(OsString::from).collect();
        language(&arguments, |name| {
            set.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn language_is_that_of_the_flag_the_variable_or_the_locale() {
        assert_eq!(of(&["status", "--lang", "zh"], &[("LANG", "C")]), Language::Chinese);
        assert_eq!(of(&["status", "--lang=en"], &[("LANG", "zh_CN")]), Language::English);
        assert_eq!(of(&[], &[("LANG", "zh_CN"), ("GREENLIGHT_LANG", "en")]), Language::English);
        assert_eq!(of(&[], &[("LANG", "zh_CN.UTF-8")]), Language::Chinese);
        assert_eq!(of(&["--", "--lang", "zh"], &[]), Language::English);
        assert_eq!(of(&["--lang=en", "--lang", "zh"], &[]), Language::English);
        let invalid = [("GREENLIGHT_LANG", ""), ("LANG", "zh_CN")];
        assert_eq!(of(&["status"], &invalid), Language::Chinese);
        assert_eq!(of(&["status"], &[("GREENLIGHT_LANG", "zh_TW.Big5")]), Language::Chinese);
        let unknown = [("GREENLIGHT_LANG", "fr"), ("LANG", "zh_CN")];
        assert_eq!(of(&["--lang", "de"], &unknown), Language::Chinese);
    }

    #[test]
    fn errors_of_the_command_line_are_in_chinese() {
        let error = |arguments: &[&str]| {
            let matches = command(Language::Chinese).try_get_matches_from(arguments);
            in_chinese(&matches.unwrap_err())
        };
        let texts = [
            error(&["greenlight", "stauts"]),
            error(&["greenlight", "status", "--wating"]),
            error(&["greenlight", "audit"]),
            error(&["greenlight", "status", "--lang", "fr"]),
            error(&["greenlight", "dlq", "redrive", "1", "--class", "x"]),
            error(&["greenlight", "dlq", "discard", "1", "--reason", ""]),
            error(&["greenlight", "status", "--json", "--json"]),
            error(&["greenlight", "status", "--json=x"]),
            error(&["greenlight", "serve", "--listen", "8080"]),
            error(&["greenlight", "--lang", "zh"]),
            error(&["greenlight", "status", "--data-dir"]),
            error(&["greenlight", "dlq", "redrive", "1", "--rate", "many"]),
            error(&["greenlight", "ui", "--port", "70000"]),
        ];
        let texts = texts.join("\n\n");
        // The usage names commands.
        let lines: Vec<_> = texts.lines().filter(|line| !line.starts_with("用法")).collect();
        assert_eq!(english_runs(&lines.join("\n")), [""; 0]);
        insta::assert_snapshot!(texts);
    }

    #[test]
    fn help_in_chinese() {
        let mut command = command(Language::Chinese);
        let redrive = command.find_subcommand_mut("dlq").and_then(|dlq| {
            dlq.find_subcommand_mut("redrive").map(|redrive| redrive.render_long_help().to_string())
        });
        let main = command.render_long_help();
        let help = format!("{main}\n{}", redrive.unwrap_or_default());
        insta::assert_snapshot!(help);
        // The usage names commands.
        let texts: Vec<_> = help.lines().filter(|line| !line.starts_with("用法")).collect();
        assert_eq!(english_runs(&texts.join("\n")), [""; 0]);
    }

    #[test]
    fn the_chinese_help_has_no_english() {
        let runs: Vec<_> = CHINESE.values().flat_map(|text| english_runs(text)).collect();
        assert_eq!(runs, [""; 0]);
    }
}
