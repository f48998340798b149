//! The operator's next step, by the class of a reason.

use greenlight_core::Class;

/// The class of a dead letter without a reason.
const UNKNOWN: &str = "unknown";

/// The operator's next step for a reason of this class.
#[must_use]
pub fn next_step(class: &str) -> &'static str {
    if class == UNKNOWN {
        return "SQS moved it by itself after 1000 receives: look at the worker's log, then redrive (查看日志后重投)";
    }
    let Ok(class) = serde_json::from_value::<Class>(class.into()) else {
        return "written by another version of greenlight: see its README (由其他版本写入)";
    };
    match class {
        Class::InvalidForm => {
            "tell the applicant; what could be done for the other devices is done (告知申请人；其余设备已照常处理)"
        }
        Class::NotApproved => {
            "nothing, mostly: the approval was taken back (通常无需处理：审批已撤销)"
        }
        Class::NotConfigured => {
            "correct flows.toml, deploy, then redrive (修改 flows.toml，部署后重投)"
        }
        Class::SourceRejected => {
            "correct the app in the office system's console, then redrive (在办公系统后台修正后重投)"
        }
        Class::TargetRejected => "look at the NAC, then redrive (检查 NAC 后重投)",
        Class::NotFound => {
            "nothing, mostly: the NAC does not have the device (通常无需处理：NAC 中没有该设备)"
        }
        Class::TargetAuthFailed => {
            "correct the target's part of the secret, then redrive (修正密钥后重投)"
        }
        Class::InvalidMessage => "find out who writes to the queue (查明谁在写队列)",
        Class::InternalError => "report it: the log has the place (程序缺陷，请报告)",
        Class::SourceUnavailable
        | Class::TargetUnavailable
        | Class::CircuitOpen
        | Class::TargetFailed
        | Class::TargetTimeout
        | Class::LedgerUnavailable
        | Class::LeaseHeld
        | Class::DeadlineExceeded
        | Class::DeadLetterQueueUnavailable => "when it works again, redrive (恢复后重投)",
    }
}
