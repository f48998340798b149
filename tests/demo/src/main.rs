//! `cargo demo`: an approval from its event to the whitelist, on this machine.

use std::process::ExitCode;

use clap::Parser;
use clap::builder::PossibleValuesParser;
use greenlight_demo::kinds;
use greenlight_render::language::Language;
use greenlight_render::output::print_error;

/// Run greenlight with stubs of Feishu and of a NAC, and print a line per step
#[derive(Debug, Parser)]
#[command(name = "cargo demo", version)]
struct Arguments {
    /// Leave it running afterwards, and print commands to try
    #[arg(long)]
    keep: bool,
    /// With a real RADIUS server instead of the stub of a NAC; needs FreeRADIUS
    #[arg(long, conflicts_with = "keep")]
    radius: bool,
    /// With the stub of another kind of office system
    #[arg(long, value_name = "KIND", value_parser = PossibleValuesParser::new(kinds()),
        conflicts_with_all = ["keep", "radius"])]
    source: Option<String>,
    /// The language of the lines [default: that of `GREENLIGHT_LANG`, or of the locale]
    #[arg(long, value_name = "LANGUAGE")]
    lang: Option<Language>,
}

#[tokio::main]
async fn main() -> ExitCode {
    let Arguments { keep, radius, source, lang } = Arguments::parse();
    let variable = |name: &str| std::env::var(name).ok();
    let of_environment = || Language::of_environment(variable);
    let language = lang.unwrap_or_else(of_environment);
    let result = match source {
        Some(kind) => greenlight_demo::run_kind(&kind, language).await,
        None if radius => greenlight_demo::run_radius(language).await,
        None => greenlight_demo::run(keep, language).await,
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            print_error(&error.render(language));
            ExitCode::FAILURE
        }
    }
}
