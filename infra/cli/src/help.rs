//! The help, and the errors of the command line, in the language of the reader.

use std::collections::HashMap;
use std::ffi::OsString;
use std::process::ExitCode;
use std::sync::LazyLock;

use clap::builder::{PossibleValue, StyledStr};
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, ArgAction, CommandFactory, FromArgMatches};
use greenlight_render::language::Language;
use greenlight_render::output::{print, print_error};

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
    let texts: Vec<_> = arguments.iter().filter_map(|argument| argument.to_str()).collect();
    let separate = texts.iter().position(|text| *text == "--lang").map(|at| at + 1);
    let separate = separate.and_then(|at| texts.get(at).copied());
    let joined = || texts.iter().find_map(|text| text.strip_prefix("--lang="));
    let given = separate.or_else(joined).map(str::to_owned);
    let given = given.or_else(|| variable("GREENLIGHT_LANG").filter(|tag| !tag.is_empty()));
    given.map_or_else(|| Language::of_locale(variable), |tag| Language::of_tag(&tag))
}

/// Parses the command line. Prints help, version or error otherwise, and returns the exit status.
///
/// # Errors
/// The exit status: success after help and version.
pub fn parse(arguments: Vec<OsString>, language: Language) -> Result<Arguments, ExitCode> {
    let matches = command(language).try_get_matches_from(arguments);
    let parsed = matches.and_then(|matches| Arguments::from_arg_matches(&matches));
    parsed.map_err(|error| match (error.kind(), language) {
        (ErrorKind::DisplayHelp | ErrorKind::DisplayVersion, _) => {
            print(&error.render().to_string());
            ExitCode::SUCCESS
        }
        (_, Language::English) => {
            // To standard error.
            let _ = error.print();
            ExitCode::from(USAGE_ERROR)
        }
        (_, Language::Chinese) => {
            print_error(&in_chinese(&error));
            ExitCode::from(USAGE_ERROR)
        }
    })
}

/// The command line, with help in `language`.
#[must_use]
pub fn command(language: Language) -> clap::Command {
    let mut command = Arguments::command();
    match language {
        Language::English => command,
        Language::Chinese => {
            command.build();
            translated(command, "")
        }
    }
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
    let Some(help) = text_of(&below(path, &name)).or_else(|| text_of(&below("*", &name))) else {
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
    // `help` has the commands below it once more.
    let path = path.strip_prefix("help.").unwrap_or(path);
    CHINESE.get(path).map(String::as_str)
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
        ErrorKind::MissingSubcommand | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            return error.render().to_string();
        }
        ErrorKind::ArgumentConflict => {
            let other = value(ContextKind::PriorArg).unwrap_or_default();
            format!("`{argument}` 不能与 `{other}` 同时使用")
        }
        ErrorKind::InvalidValue | ErrorKind::ValueValidation if given.is_empty() => {
            format!("`{argument}` 不能为空")
        }
        ErrorKind::InvalidValue | ErrorKind::ValueValidation => {
            let valid = value(ContextKind::ValidValue).filter(|valid| !valid.is_empty());
            let valid = valid.map(|valid| format!("，可选值：{valid}")).unwrap_or_default();
            format!("`{argument}` 的值 `{given}` 无效{valid}")
        }
        _ => "命令行有误".to_owned(),
    };
    let usage = match error.get(ContextKind::Usage) {
        Some(ContextValue::StyledStr(usage)) => usage_in_chinese(usage),
        _ => String::new(),
    };
    format!("{problem}{usage}\n加 --help 查看帮助")
}

/// A question about a similar name.
fn meant(name: Option<String>) -> String {
    name.map(|name| format!("，是否为 `{name}`？")).unwrap_or_default()
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
        ];
        insta::assert_snapshot!(texts.join("\n\n"));
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
