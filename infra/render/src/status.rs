//! `greenlight status`.

use greenlight_admin::status::SystemStatus;
use greenlight_core::audit::{RequestHistory, RequestStatus};
use greenlight_core::breaker::{Breaker, BreakerState};
use greenlight_core::explain::Explain;
use greenlight_core::operator::{QueueStatus, Unwanted};
use greenlight_core::sweep::{Sweep, SweepKey};
use greenlight_core::{Decision, Timestamp};
use serde_json::{Map, Value, json};

use crate::format::{OutputFormat, facts, lines, moment, span, table};
use crate::language::Language;
use crate::text;

/// The status of queue, dead letters, targets and the last hour.
#[must_use]
pub fn render(status: &SystemStatus, now: Timestamp, format: OutputFormat) -> String {
    match format {
        OutputFormat::Text(language) => to_table(status, now, language),
        OutputFormat::Json => format!("{}\n", to_json(status, now)),
    }
}

fn to_table(status: &SystemStatus, now: Timestamp, language: Language) -> String {
    let QueueStatus { waiting, in_flight, oldest, dead_letters, .. } = &status.queue;
    let oldest = match oldest {
        None => language.pick("none, or not known", "无，或未知").to_owned(),
        Some(age) => text!(language, "{age} ago", "{age}前", age = span(*age, language)),
    };
    let by_class = status.queue.dead_letters_by_class.iter();
    let by_class: Vec<_> = by_class.map(|(class, n)| format!("{n} {class}")).collect();
    let letters = match (*dead_letters, by_class.as_slice()) {
        (0, _) => language.pick("none", "无").to_owned(),
        (n, []) => n.to_string(),
        _ => by_class.join(language.pick(", ", "，")),
    };
    let count = |of: RequestStatus| status.last_hour.get(&of).copied().unwrap_or(0);
    let last_hour = text!(
        language,
        "{succeeded} succeeded, {failed} failed, {open} not ended yet",
        "成功 {succeeded}，失败 {failed}，未结束 {open}",
        succeeded = count(RequestStatus::Succeeded),
        failed = count(RequestStatus::Failed),
        open = count(RequestStatus::Running) + count(RequestStatus::Retrying)
    );
    let mut rows = Vec::new();
    if status.queue.is_served == Some(false) {
        let text = language.pick(
            "is not running on this folder: nothing is taken from the queue",
            "未在此数据目录上运行：队列中的请求不会被处理",
        );
        rows.push(("serve".to_owned(), text.to_owned()));
    }
    let name = |english, chinese| language.pick(english, chinese).to_owned();
    rows.extend([
        (name("waiting", "等待中"), waiting.to_string()),
        (name("in flight", "处理中"), in_flight.to_string()),
        (name("oldest", "最早的请求"), oldest),
        (name("dead letters", "死信"), letters),
        (name("last hour", "最近一小时"), last_hour),
    ]);
    for (source, waiting) in &status.unreachable_sources {
        let text = text!(
            language,
            "cannot be reached, {waiting} request(s) wait for it",
            "无法访问，有 {waiting} 个请求在等待"
        );
        rows.push((text!(language, "source {source}", "办公系统 {source}"), text));
    }
    for Unwanted { source, definition_id, decision, count, last } in &status.unwanted {
        let decision = Decision::of_str(decision)
            .map_or_else(|| decision.clone(), |decision| language.explain(&decision.explain()));
        let text = text!(
            language,
            "{source} {definition_id} {decision}: {count} event(s), the last at {last}",
            "{source} {definition_id}（{decision}）：{count} 个事件，最近一次 {last}",
            last = moment(*last)
        );
        rows.push((name("had no flow", "当时没有流程"), text));
    }
    for (key, sweep) in &status.sweeps {
        let (name, text) = sweep_row(key, sweep, now, language);
        rows.push((name, text));
    }
    for (target, breaker) in &status.breakers {
        let text = to_text(breaker, now, language);
        rows.push((text!(language, "target {target}", "目标系统 {target}"), text));
    }
    facts(rows)
}

/// The sweeps over an approval definition in words.
fn sweep_row(
    key: &SweepKey,
    sweep: &Sweep,
    now: Timestamp,
    language: Language,
) -> (String, String) {
    let SweepKey { source, definition_id } = key;
    let mut parts = vec![match sweep.listed_until {
        None => language.pick("not ended yet", "尚未完成").to_owned(),
        Some(at) => text!(language, "last at {at}", "最近一次 {at}", at = moment(at)),
    }];
    if sweep.open() > 0 {
        let open = sweep.open();
        parts.push(text!(language, "{open} not decided", "{open} 个未结束"));
    }
    if let Some(last) = sweep.last_found {
        let found = sweep.found;
        parts.push(text!(
            language,
            "{found} without an event, the last at {last}",
            "补上 {found} 个事件丢失的审批，最近一次 {last}",
            last = moment(last)
        ));
    }
    if let Some(until) = sweep.not_before.filter(|until| now < *until) {
        parts.push(text!(
            language,
            "paused until {until}: the calls of this month are used up",
            "已暂停至 {until}：本月调用次数已用完",
            until = moment(until)
        ));
    }
    let name = text!(language, "sweep {source}", "补查 {source}");
    let list = parts.join(language.pick(", ", "，"));
    (name, text!(language, "{definition_id}: {list}", "{definition_id}：{list}"))
}

/// The requests that wait for their next attempt.
#[must_use]
pub fn render_waiting(
    histories: &[RequestHistory],
    now: Timestamp,
    format: OutputFormat,
) -> String {
    let OutputFormat::Text(language) = format else {
        return lines(histories.iter().map(|history| waiting_json(history, now).to_string()));
    };
    if histories.is_empty() {
        let none =
            language.pick("No request waits for its next attempt.\n", "没有等待重试的请求。\n");
        return none.to_owned();
    }
    let row = |history: &RequestHistory| {
        let last_failure = history.last_failure.as_ref();
        let next = history.next_attempt(now).map_or_else(|| "?".to_owned(), moment);
        [
            history.instance_id().to_owned(),
            next,
            history.attempt.to_string(),
            last_failure.and_then(|it| it.target.clone()).unwrap_or_else(|| "-".to_owned()),
            last_failure.map_or_else(
                || "?".to_owned(),
                |it| {
                    let (class, cause) = (&it.class, language.explain(&it.cause));
                    text!(language, "{class}: {cause}", "{class}：{cause}")
                },
            ),
        ]
    };
    let rows: Vec<_> = histories.iter().map(row).collect();
    let heads = match language {
        Language::English => ["INSTANCE", "NEXT ATTEMPT", "TRIES", "TARGET", "LAST FAILURE"],
        Language::Chinese => ["审批实例", "下次尝试", "次数", "目标系统", "上次失败"],
    };
    table(heads, &rows)
}

fn waiting_json(history: &RequestHistory, now: Timestamp) -> Value {
    let last_failure = history.last_failure.as_ref();
    json!({
        "request": history.key,
        "instance": history.instance_id(),
        "next_attempt_at": history.next_attempt(now).map(moment),
        "attempts": history.attempt,
        "target": last_failure.and_then(|last_failure| last_failure.target.clone()),
        "class": last_failure.map(|last_failure| &last_failure.class),
        "cause": last_failure.map(|last_failure| &last_failure.cause),
        "reason": last_failure.map(|last_failure| &last_failure.cause.text),
        "failed_at": last_failure.map(|last_failure| moment(last_failure.at)),
    })
}

/// As a JSON object.
#[must_use]
pub fn to_json(status: &SystemStatus, now: Timestamp) -> Value {
    let targets: Map<_, _> = status
        .breakers
        .iter()
        .map(|(target, breaker)| {
            let state = if breaker.is_open(now) { breaker.as_str() } else { "closed" };
            (target.clone(), json!({"breaker": state, "failures": breaker.failures}))
        })
        .collect();
    let last_hour: Map<_, _> = status
        .last_hour
        .iter()
        .map(|(status, count)| (status.as_str().to_owned(), json!(count)))
        .collect();
    json!({
        "is_served": status.queue.is_served,
        "waiting": status.queue.waiting,
        "in_flight": status.queue.in_flight,
        "waiting_by_class": status.waiting_by_class,
        "unreachable_sources": status.unreachable_sources,
        "oldest_seconds": status.queue.oldest.map(|age| age.as_secs()),
        "dead_letters": status.queue.dead_letters,
        "dead_letters_by_class": status.queue.dead_letters_by_class,
        "last_hour": last_hour,
        "sweeps": status.sweeps.iter().map(|(key, sweep)| sweep_json(key, sweep, now)).collect::<Vec<_>>(),
        "unwanted": status.unwanted.iter().map(unwanted_json).collect::<Vec<_>>(),
        "targets": targets,
    })
}

fn sweep_json(key: &SweepKey, sweep: &Sweep, now: Timestamp) -> Value {
    json!({
        "source": key.source,
        "definition_id": key.definition_id,
        "last_at": sweep.listed_until.map(moment),
        "open": sweep.open(),
        "found": sweep.found,
        "last_found_at": sweep.last_found.map(moment),
        "calls_this_month": sweep.calls.at(now),
        "not_before": sweep.not_before.filter(|until| now < *until).map(moment),
    })
}

fn unwanted_json(unwanted: &Unwanted) -> Value {
    json!({
        "source": unwanted.source,
        "definition_id": unwanted.definition_id,
        "decision": unwanted.decision,
        "events": unwanted.count,
        "last_at": moment(unwanted.last),
    })
}

/// The state of a circuit breaker in words.
#[must_use]
pub fn to_text(breaker: &Breaker, now: Timestamp, language: Language) -> String {
    let failures = breaker.failures;
    match &breaker.state {
        BreakerState::Closed if failures == 0 => language.pick("answers", "正常").to_owned(),
        BreakerState::Closed => {
            text!(language, "failed {failures} time(s) in a row", "连续失败 {failures} 次")
        }
        _ if !breaker.is_open(now) => text!(
            language,
            "may be called again, after {failures} failures in a row",
            "连续失败 {failures} 次后，可以再次调用"
        ),
        BreakerState::Open { until } => text!(
            language,
            "circuit open for {left} more, after {failures} failures in a row",
            "连续失败 {failures} 次，已熔断，{left}后再试",
            left = span(until.since(now), language)
        ),
        BreakerState::HalfOpen { .. } => {
            language.pick("half-open: a probe is running", "半开：正在探测").to_owned()
        }
    }
}
