//! The operator's next step, by the class of a reason.

use greenlight_core::Class;

use crate::language::Language;

/// The class of a dead letter without a reason.
const UNKNOWN: &str = "unknown";

/// The operator's next step for a reason of this class.
#[must_use]
pub fn next_step(class: &str, language: Language) -> &'static str {
    if class == UNKNOWN {
        return language.pick(
            "SQS moved it by itself after 1000 receives: look at the worker's log, then redrive",
            "接收 1000 次后由 SQS 自动移入：请查看执行端的日志，然后重投",
        );
    }
    let Ok(class) = serde_json::from_value::<Class>(class.into()) else {
        return language.pick(
            "written by another version of greenlight: see its README",
            "由其他版本的 greenlight 写入：请查阅该版本的说明",
        );
    };
    let (english, chinese) = of_class(class);
    language.pick(english, chinese)
}

const fn of_class(class: Class) -> (&'static str, &'static str) {
    match class {
        Class::InvalidForm => (
            "tell the applicant; everything else on the form is done",
            "告知申请人；同一表单中的其余各项已照常处理",
        ),
        Class::NotApproved => {
            ("nothing, mostly: it was refused, or forged", "通常无需处理：审批未通过，或消息系伪造")
        }
        Class::Withdrawn => {
            ("nothing: what it granted is removed", "无需处理：已授予的权限会被移除")
        }
        Class::Blocked => (
            "an operator blocked it: `greenlight blocks` says why. If that is over, unblock it and redrive",
            "该对象已被运维人员封禁：原因见 `greenlight blocks`。如已无必要，请解除封禁后重投",
        ),
        Class::LimitReached => (
            "tell the applicant; end an access of the person (`greenlight grants PERSON`), then redrive",
            "请告知申请人；结束其某项授权（见 `greenlight grants 人员`）后重投",
        ),
        Class::TooOld => (
            "if it is still wanted: greenlight replay INSTANCE",
            "如仍需执行：greenlight replay 审批实例",
        ),
        Class::NotConfigured => {
            ("correct flows.toml, deploy, then redrive", "修改 flows.toml 并部署，然后重投")
        }
        Class::SourceRejected => (
            "correct the app in the office system's console, then redrive",
            "在办公系统的管理后台修正应用设置，然后重投",
        ),
        Class::TargetRejected => ("look at the target, then redrive", "检查目标系统，然后重投"),
        Class::NotFound => (
            "a read: nothing; a write: create the record at the target, then redrive",
            "读取操作无需处理；写入操作请先在目标系统中补建记录，然后重投",
        ),
        Class::TargetAuthFailed => (
            "correct the target's part of the secret, then redrive",
            "修正密钥中该目标系统的凭证，然后重投",
        ),
        Class::InvalidMessage => ("find out who writes to the queue", "查明是谁在向队列写入消息"),
        Class::InternalError => {
            ("report it: the log has the place", "程序缺陷，请报告：日志中有代码位置")
        }
        Class::QuotaUsedUp => (
            "redrive when the quota is renewed, usually on the 1st of the month",
            "额度恢复后（一般为每月 1 日）重投",
        ),
        Class::SourceUnavailable
        | Class::TargetUnavailable
        | Class::CircuitOpen
        | Class::TargetFailed
        | Class::TargetTimeout
        | Class::LedgerUnavailable
        | Class::LeaseHeld
        | Class::GrantHeld
        | Class::DeadlineExceeded
        | Class::DeadLetterQueueUnavailable => ("when it works again, redrive", "故障恢复后重投"),
    }
}
