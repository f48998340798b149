//! `cargo demo`: an approval from its event to the whitelist, on this machine.

use std::process::ExitCode;

use clap::{Parser, ValueEnum};
use greenlight_core::explain::Explain;
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
    /// The language of the lines [default: that of the locale]
    #[arg(long, env = "GREENLIGHT_LANG")]
    lang: Option<Lang>,
}

/// A language
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Lang {
    /// English
    En,
    /// Chinese
    Zh,
}

#[tokio::main]
async fn main() -> ExitCode {
    let Arguments { keep, radius, lang } = Arguments::parse();
    let language = match lang {
        Some(Lang::En) => Language::English,
        Some(Lang::Zh) => Language::Chinese,
        None => Language::of_locale(|name| std::env::var(name).ok()),
    };
    let result = if radius {
        greenlight_demo::run_radius(language).await
    } else {
        greenlight_demo::run(keep, language).await
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            print_error(&language.explain(&error.explain()));
            ExitCode::FAILURE
        }
    }
}
