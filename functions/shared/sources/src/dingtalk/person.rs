//! Whether a person is a member of the organisation, by DingTalk's contacts.

use bytes::Bytes;
use greenlight_core::Failure;
use greenlight_core::person::Presence;
use http::header;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use secrecy::ExposeSecret;
use serde::Deserialize;
use serde_json::json;

use super::client::DingTalkClient;
use super::error::{AnswerPart, ApiError};

/// Codes of the older API, in answers with HTTP 200.
mod code {
    /// No person of the organisation has this id.
    pub(super) const NO_SUCH_PERSON: i64 = 60_121;
    pub(super) const TOKEN_REFUSED: i64 = 40_014;
}

#[derive(Deserialize)]
struct UserAnswer {
    errcode: i64,
}

impl DingTalkClient {
    /// `POST /topapi/v2/user/get` of the older API: "查询用户详情".
    pub(super) async fn read_presence(&self, person: &str) -> Result<Presence, Failure> {
        let token = self.token().await?;
        let base_url = self.settings.old_base_url.trim_end_matches('/');
        let encoded = utf8_percent_encode(token.expose_secret(), NON_ALPHANUMERIC);
        let request =
            http::Request::post(format!("{base_url}/topapi/v2/user/get?access_token={encoded}"));
        let body = Bytes::from(json!({ "userid": person }).to_string());
        let request = request.header(header::CONTENT_TYPE, "application/json").body(body);
        let request =
            request.map_err(|_| ApiError::Shape { part: AnswerPart::Address }.into_failure())?;
        let response = self.ports.http.send(request).await;
        let response = response.map_err(|error| ApiError::Http(error).into_failure())?;
        let status = response.status().as_u16();
        let Ok(UserAnswer { errcode }) = serde_json::from_slice(response.body()) else {
            return Err(ApiError::NotJson { status }.into_failure());
        };
        match errcode {
            0 => Ok(Presence::Present),
            code::NO_SUCH_PERSON => Ok(Presence::Left),
            code => {
                if code == code::TOKEN_REFUSED {
                    // The next attempt fetches a new one.
                    self.forget(&token);
                }
                let code = code.to_string();
                Err(ApiError::Code { code, status: 503 }.into_failure())
            }
        }
    }
}
