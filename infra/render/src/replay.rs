//! `greenlight replay`: renders the result, or the error with advice.

use greenlight_admin::replay::ReplayError;
use greenlight_core::Request;
use serde_json::json;

use crate::format::OutputFormat;

/// Renders the request that was enqueued.
#[must_use]
pub fn render(request: &Request, format: OutputFormat) -> String {
    let Request { instance_id, event_id, .. } = request;
    match format {
        OutputFormat::Json => format!("{}\n", json!({"instance": instance_id, "enqueued": true})),
        OutputFormat::Text => {
            format!("a request for {instance_id} is in the queue, event {event_id} (已入队)\n")
        }
    }
}

/// Renders the error, with advice.
#[must_use]
pub fn render_error(error: &ReplayError) -> String {
    match error {
        ReplayError::Unknown(_) => format!("{error}: use --definition-id (请指定 --definition-id)"),
        ReplayError::Completed(_) => {
            format!("{error}; --force performs all effects again (已全部完成)")
        }
        ReplayError::Retrying(instance) => format!(
            "{error}: `greenlight audit {instance}` shows the reason; --force starts it again (已在等待重试)"
        ),
        ReplayError::Running(_) => format!("{error}: wait for it (正在处理)"),
        ReplayError::Store(_) | ReplayError::Bad(_) => error.to_string(),
    }
}
