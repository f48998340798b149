//! WeCom (企业微信): the approvals of the system application 审批.
//!
//! Protocol: developer.work.weixin.qq.com, "审批状态通知事件" (path 91815), "获取审批申请详情" (91983),
//! "批量获取审批单号" (91816), "获取 `access_token`" (91039), "加解密方案说明" (90968).

#[cfg(feature = "client")]
mod client;
#[cfg(feature = "client")]
mod client_kind;
mod credentials;
#[cfg(feature = "client")]
mod error;
mod event;
#[cfg(feature = "client")]
mod form;
#[cfg(feature = "client")]
mod instance;
#[cfg(feature = "client")]
mod list;
mod settings;
mod sp_status;
#[cfg(feature = "client")]
mod test_event;
mod webhook;

pub use settings::WeCom;
#[cfg(feature = "client")]
pub use test_event::{ApprovalChange, WeComApp};

#[cfg(test)]
mod tests;
