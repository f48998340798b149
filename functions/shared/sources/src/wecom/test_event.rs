//! Creates requests as WeCom sends them: encrypted and signed events, and URL checks. For
//! `greenlight send-test`, and for tests.

use greenlight_core::Timestamp;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use crate::callback_cipher::CallbackCipher;
use crate::test_request::Sent;

/// A self-built app of a corp, as far as its callbacks go.
#[derive(Clone, Debug)]
pub struct WeComApp {
    pub corp_id: String,
    pub secret: String,
    pub token: String,
    pub encoding_aes_key: String,
}

/// A change of an approval.
#[derive(Clone, Copy, Debug)]
pub struct ApprovalChange<'a> {
    pub template_id: &'a str,
    pub sp_no: &'a str,
    /// The status of the approval: 2 passed, 6 revoked after that.
    pub sp_status: i64,
    /// What happened: 2 an approver agreed, 8 it was revoked.
    pub event: i64,
}

impl WeComApp {
    fn cipher(&self) -> Option<CallbackCipher<'_>> {
        CallbackCipher::new(&self.token, &self.encoding_aes_key, &self.corp_id)
    }

    /// A check of the URL; `None` if `encoding_aes_key` is invalid.
    #[must_use]
    pub fn url_check(&self, challenge: &str, now: Timestamp) -> Option<Sent> {
        let encrypted =
            self.cipher()?.encrypt(fastrand::u128(..).to_be_bytes(), challenge.as_bytes());
        let query = self.query(&encrypted, now)?;
        let echo = utf8_percent_encode(&encrypted, NON_ALPHANUMERIC);
        Some(Sent::get(format!("{query}&echostr={echo}")))
    }

    /// A callback about an approval; `None` if `encoding_aes_key` is invalid.
    #[must_use]
    pub fn change(&self, change: ApprovalChange<'_>, now: Timestamp) -> Option<Sent> {
        let ApprovalChange { template_id, sp_no, sp_status, event } = change;
        let (corp, seconds) = (&self.corp_id, now.as_seconds());
        self.callback(
            &format!(
                "<xml><ToUserName><![CDATA[{corp}]]></ToUserName>\
                 <FromUserName><![CDATA[sys]]></FromUserName><CreateTime>{seconds}</CreateTime>\
                 <MsgType><![CDATA[event]]></MsgType><Event><![CDATA[sys_approval_change]]></Event>\
                 <AgentID>3010040</AgentID><ApprovalInfo><SpNoStr><![CDATA[{sp_no}]]></SpNoStr>\
                 <SpNo>{sp_no}</SpNo><SpName><![CDATA[设备入网]]></SpName>\
                 <SpStatus>{sp_status}</SpStatus><TemplateId><![CDATA[{template_id}]]></TemplateId>\
                 <ApplyTime>{seconds}</ApplyTime><Applyer><UserId><![CDATA[ZhangSan]]></UserId>\
                 <Party><![CDATA[1]]></Party></Applyer><StatuChangeEvent>{event}</StatuChangeEvent>\
                 </ApprovalInfo></xml>"
            ),
            now,
        )
    }

    /// A callback with this message; `None` if `encoding_aes_key` is invalid.
    #[must_use]
    pub fn callback(&self, message: &str, now: Timestamp) -> Option<Sent> {
        let encrypted =
            self.cipher()?.encrypt(fastrand::u128(..).to_be_bytes(), message.as_bytes());
        let body = format!(
            "<xml><ToUserName><![CDATA[{}]]></ToUserName><Encrypt><![CDATA[{encrypted}]]></Encrypt>\
             <AgentID><![CDATA[3010040]]></AgentID></xml>",
            self.corp_id
        );
        let headers = vec![("content-type".to_owned(), "text/xml".to_owned())];
        Some(Sent { query: self.query(&encrypted, now)?, ..Sent::post(headers, body) })
    }

    fn query(&self, encrypted: &str, now: Timestamp) -> Option<String> {
        let (timestamp, nonce) = (now.as_seconds().to_string(), fastrand::u32(..).to_string());
        let signature = self.cipher()?.signature(&timestamp, &nonce, encrypted);
        Some(format!("msg_signature={signature}&timestamp={timestamp}&nonce={nonce}"))
    }
}
