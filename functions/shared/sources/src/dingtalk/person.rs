//! Whether a person is a member of the organisation, by DingTalk's contacts.

use bytes::Bytes;
use greenlight_core::Failure;
use greenlight_core::person::Presence;
use http::header;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use secrecy::ExposeSecret;
use serde::Deserialize;
use serde_json::{Value, json};

use super::client::DingTalkClient;
use super::error::ApiError;

/// Codes of the older API, in answers with HTTP 200.
mod code {
    /// No person of the organisation has this id.
    pub(super) const NO_SUCH_PERSON: i64 = 60_121;
    pub(super) const TOKEN_REFUSED: i64 = 40_014;
    /// The cause is in `sub_code`.
    pub(super) const OTHER: i64 = 88;
}

#[derive(Deserialize)]
struct UserAnswer {
    errcode: i64,
    /// A number, as text or not.
    #[serde(default)]
    sub_code: Value,
}

impl UserAnswer {
    fn is_token_refused(&self) -> bool {
        let sub_code = match &self.sub_code {
            Value::String(text) => text.parse().ok(),
            number => number.as_i64(),
        };
        self.errcode == code::TOKEN_REFUSED
            || self.errcode == code::OTHER && sub_code == Some(code::TOKEN_REFUSED)
    }
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
        let request = request.map_err(|_| ApiError::Unsendable.into_failure())?;
        let response = self.ports.http.send(request).await;
        let response = response.map_err(|error| ApiError::Http(error).into_failure())?;
        let status = response.status().as_u16();
        let Ok(answer) = serde_json::from_slice::<UserAnswer>(response.body()) else {
            return Err(ApiError::NotJson { status }.into_failure());
        };
        match answer.errcode {
            0 => Ok(Presence::Present),
            code::NO_SUCH_PERSON => Ok(Presence::Left),
            code => {
                if answer.is_token_refused() {
                    // The next attempt fetches a new one.
                    self.forget(&token);
                }
                Err(ApiError::OldApi { code }.into_failure())
            }
        }
    }
}
