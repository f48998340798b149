//! `greenlight replay`: renders the result, or the error with advice.

use greenlight_admin::replay::ReplayError;
use greenlight_core::Request;
use greenlight_core::explain::Explain;
use serde_json::json;

use crate::format::OutputFormat;
use crate::language::Language;
use crate::text;

/// Renders the request that was enqueued.
#[must_use]
pub fn render(request: &Request, format: OutputFormat) -> String {
    let Request { instance_id, event_id, .. } = request;
    match format {
        OutputFormat::Json => format!("{}\n", json!({"instance": instance_id, "enqueued": true})),
        OutputFormat::Text(language) => text!(
            language,
            "a request for {instance_id} is in the queue, event {event_id}\n",
            "{instance_id} 的请求已入队，事件 {event_id}\n"
        ),
    }
}

/// Renders the error, with advice.
#[must_use]
pub fn render_error(error: &ReplayError, language: Language) -> String {
    match error {
        ReplayError::Unknown(instance) => text!(
            language,
            "the ledger does not know the instance {instance}: use --definition-id",
            "账本中没有审批实例 {instance}：请用 --definition-id 指定审批定义"
        ),
        ReplayError::Ambiguous(instance) => text!(
            language,
            "the ledger knows the instance {instance} from several sources: name one with --source",
            "账本中有多个来源的审批实例 {instance}：请用 --source 指定来源"
        ),
        ReplayError::NoSource => language
            .pick(
                "no source is the default: name one with --source",
                "没有默认来源：请用 --source 指定",
            )
            .to_owned(),
        ReplayError::NotReadable(source) => text!(
            language,
            "instances of the source {source} cannot be read again, as its signed message is the \
             authority: let the office system send it again",
            "来源 {source} 以签名消息为准，审批实例无法重新读取：请在办公系统中重新发送"
        ),
        ReplayError::Completed(instance) => text!(
            language,
            "{instance} has succeeded already; --force performs all effects again",
            "{instance} 已全部完成；加 --force 可重新执行全部操作"
        ),
        ReplayError::Retrying(instance) => text!(
            language,
            "{instance} is waiting for its next attempt: `greenlight audit {instance}` shows the \
             reason; --force starts it again",
            "{instance} 正在等待重试：原因见 `greenlight audit {instance}`；加 --force 可立即重新开始"
        ),
        ReplayError::Running(instance) => text!(
            language,
            "a worker is processing {instance}: wait for it",
            "{instance} 正在处理，请稍候"
        ),
        ReplayError::Store(error) => language.explain(&error.explain()),
        ReplayError::Bad(error) => language.explain(&error.explain()),
    }
}
