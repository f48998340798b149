//! DingTalk (钉钉): the approvals of OA 审批, by HTTP push or by a stream.
//!
//! Protocol: open.dingtalk.com, "审批实例开始、结束" (`bpms_instance_change`), "获取单个审批实例详情", "获取审批
//! 实例ID列表", and the protocol of the stream mode in the repository open-dingtalk/developerpedia.

mod change;
#[cfg(feature = "client")]
mod client;
#[cfg(feature = "client")]
mod client_kind;
mod credentials;
#[cfg(feature = "client")]
mod error;
#[cfg(feature = "client")]
mod form;
#[cfg(feature = "client")]
mod instance;
#[cfg(feature = "client")]
mod list;
#[cfg(feature = "client")]
mod person;
mod settings;
#[cfg(feature = "stream")]
mod stream;
#[cfg(feature = "client")]
mod test_event;
mod webhook;

pub use settings::{DingTalk, Receive};
#[cfg(feature = "client")]
pub use test_event::{DingTalkApp, InstanceChange};

#[cfg(test)]
mod tests;
