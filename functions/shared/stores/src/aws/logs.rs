//! Logging of a function, by Lambda's logging controls.
//! <https://docs.aws.amazon.com/lambda/latest/dg/monitoring-cloudwatchlogs-logformat.html>

use tracing::level_filters::LevelFilter;

/// Logs to standard output, one line per event: as JSON if `AWS_LAMBDA_LOG_FORMAT` is `JSON`, at
/// the level of `AWS_LAMBDA_LOG_LEVEL`, else `RUST_LOG`, else `INFO`.
///
/// One level for all modules: a filter per module would add a regular-expression engine to the
/// receiver.
pub fn log_to_stdout() {
    let variable = |name| std::env::var(name).ok();
    let level = variable("AWS_LAMBDA_LOG_LEVEL").or_else(|| variable("RUST_LOG"));
    let level = level.as_deref().and_then(level_filter).unwrap_or(LevelFilter::INFO);
    let log = tracing_subscriber::fmt().with_target(false).without_time().with_max_level(level);
    let is_json =
        variable("AWS_LAMBDA_LOG_FORMAT").is_some_and(|it| it.eq_ignore_ascii_case("json"));
    if is_json { log.json().init() } else { log.init() }
}

/// Lambda has an additional level FATAL.
fn level_filter(level: &str) -> Option<LevelFilter> {
    let is_fatal = level.eq_ignore_ascii_case("fatal");
    if is_fatal { Some(LevelFilter::ERROR) } else { level.parse().ok() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_are_those_of_lambda() {
        assert_eq!(level_filter("FATAL"), Some(LevelFilter::ERROR));
        assert_eq!(level_filter("WARN"), Some(LevelFilter::WARN));
        assert_eq!(level_filter("greenlight=debug"), None);
    }
}
