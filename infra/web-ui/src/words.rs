//! The page's texts, in Chinese and English.

use std::collections::BTreeMap;

use axum::http::HeaderMap;
use axum::http::header::ACCEPT_LANGUAGE;
use greenlight_core::audit::RequestStatus;
use greenlight_render::language::Language;

/// The language that was asked for, else the one that the browser prefers.
pub(crate) fn language(asked: Option<&str>, headers: &HeaderMap) -> Language {
    let preferred = || headers.get(ACCEPT_LANGUAGE).and_then(|value| value.to_str().ok());
    let asked = asked.and_then(Language::of_tag);
    asked.or_else(|| preferred().and_then(Language::of_tag)).unwrap_or(Language::English)
}

/// All texts by their names in the template.
pub(crate) fn words(language: Language) -> BTreeMap<&'static str, &'static str> {
    WORDS.iter().map(|&(key, english, chinese)| (key, language.pick(english, chinese))).collect()
}

/// The status of a request, as a word.
pub(crate) const fn status(status: RequestStatus, language: Language) -> &'static str {
    let chinese = match status {
        RequestStatus::Running => "处理中",
        RequestStatus::Retrying => "等待重试",
        RequestStatus::Succeeded => "已完成",
        RequestStatus::Failed => "失败",
    };
    language.pick(status.as_str(), chinese)
}

const WORDS: &[(&str, &str, &str)] = &[
    ("owner_only", "The page is for the user who started it.", "此页面仅供启动者使用。"),
    (
        "token",
        "Token, as `greenlight ui` printed it or `ui-token` in the data folder holds it",
        "令牌，见 `greenlight ui` 的输出，或数据目录中的 `ui-token`",
    ),
    ("open", "Open", "打开"),
    ("other", "中文", "English"),
    ("pipeline", "Pipeline", "处理链路"),
    ("receiver", "receiver", "接收"),
    ("received", "in the last hour", "最近一小时"),
    ("queue", "queue", "队列"),
    ("waiting", "waiting", "等待中"),
    ("worker", "worker", "处理"),
    ("in_flight", "in flight", "处理中"),
    ("targets", "targets", "目标系统"),
    ("circuit_open", "circuit open", "熔断"),
    ("dead", "dead letters", "死信"),
    ("search", "Search", "搜索"),
    (
        "search_for",
        "Event id, instance, MAC address or person",
        "事件 ID、审批实例、MAC 地址或人员",
    ),
    ("found", "Found", "搜索结果"),
    ("nothing_found", "Nothing was found.", "没有相关记录。"),
    ("recent", "Recent requests", "最近的请求"),
    ("no_requests", "No request yet.", "暂无请求。"),
    ("instance", "Instance", "审批实例"),
    ("applicant", "Applicant", "申请人"),
    ("state", "State", "状态"),
    ("attempts", "Attempts", "尝试次数"),
    ("since", "Since", "时间"),
    ("letters", "Dead letters", "死信队列"),
    ("no_letters", "The dead-letter queue is empty.", "死信队列为空。"),
    (
        "elsewhere",
        "Held by another receiver, such as a poll in the console, and hidden for now",
        "正被其他读取方占用（如控制台轮询），暂不可见",
    ),
    ("reason", "Reason", "原因"),
    ("next", "Next step", "下一步"),
    ("redrive", "Redrive", "重投"),
    (
        "redriven",
        "The dead letter is back in the queue: completed effects are not repeated.",
        "已重新入队：只会执行尚未完成的部分。",
    ),
    (
        "gone",
        "The dead letter is no longer in the queue.",
        "该死信已不在队列中，或正被其他读取方占用。",
    ),
    ("grants", "Grants", "授权"),
    ("no_grants", "Nothing is granted.", "没有授权记录。"),
    ("subject", "Subject", "授权对象"),
    ("owner", "Owner", "持有人"),
    ("target", "Target", "目标"),
    ("because", "Because of", "依据"),
    ("breakers", "Targets", "目标系统状态"),
    ("no_breakers", "No target has failed so far.", "没有目标系统出过问题。"),
];

#[cfg(test)]
mod tests {
    use greenlight_testkit::prose::english_runs;

    use super::*;

    #[test]
    fn the_page_is_in_what_is_asked_for_or_what_the_browser_prefers() {
        let headers = HeaderMap::from_iter([(ACCEPT_LANGUAGE, "zh-CN,zh;q=0.9".parse().unwrap())]);
        assert_eq!(language(None, &headers), Language::Chinese);
        assert_eq!(language(Some("en"), &headers), Language::English);
        assert_eq!(language(None, &HeaderMap::new()), Language::English);
    }

    #[test]
    fn the_chinese_page_has_no_english() {
        let texts = words(Language::Chinese);
        let runs: Vec<_> = texts.values().flat_map(|text| english_runs(text)).collect();
        assert_eq!(runs, [""; 0]);
    }
}
