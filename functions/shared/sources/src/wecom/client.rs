//! Client for approvals in WeCom's API.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use greenlight_core::instance::Instance;
use greenlight_core::secret::Secret;
use greenlight_core::{Class, Failure, Request};
use http::{Method, header};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::credentials::{CORP_ID, SECRET};
use super::error::{AnswerPart, ApiError, LoginFailed};
use super::instance::DetailAnswer;
use super::settings::WeCom;
use crate::access_token::{CachedToken, Issued, with_secret};
use crate::nullable::null_is_default;
use crate::source::{Admin, InstanceList, Source, SourcePorts};

/// WeCom's API, with the access token cached.
pub(super) struct WeComClient {
    source: String,
    pub(super) settings: WeCom,
    ports: SourcePorts,
    token: CachedToken,
}

#[derive(Deserialize)]
struct TokenAnswer {
    access_token: String,
    /// In seconds; 7200 mostly. A token can end sooner.
    expires_in: u64,
}

impl WeComClient {
    pub(super) fn new(source: &str, settings: WeCom, ports: SourcePorts) -> Self {
        Self { source: source.to_owned(), settings, ports, token: CachedToken::default() }
    }

    /// Sends a POST with a token; replaces a rejected token and sends it once more.
    pub(super) async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &Value,
    ) -> Result<T, Failure> {
        let call = |token: SecretString| async move {
            self.call(Method::POST, &with_token(path, &token), body).await
        };
        let result = self.token.call_with(|| self.token(), call, ApiError::is_token_refused);
        result.await?.map_err(ApiError::into_failure)
    }

    async fn token(&self) -> Result<SecretString, Failure> {
        self.token.get_or(self.ports.clock.now(), self.log_in()).await
    }

    async fn log_in(&self) -> Result<Issued, Failure> {
        let log_in = |secret| self.log_in_with(secret);
        let answer = with_secret(&self.ports, log_in, ApiError::may_be_rotation).await;
        // A failed login is not caused by the request: retry until the set-up is corrected.
        let answer = answer.map_err(|cause| {
            Failure::retry_after(cause.pause(), Class::SourceUnavailable, LoginFailed { cause })
        })?;
        let value = SecretString::from(answer.access_token);
        Ok(Issued { value, lifetime: Duration::from_secs(answer.expires_in) })
    }

    /// `GET /cgi-bin/gettoken`, with the secret in its query.
    async fn log_in_with(&self, secret: Arc<Secret>) -> Result<TokenAnswer, ApiError> {
        let of_app = |name| secret.source(&self.source)?.get(name);
        let (corp_id, secret) =
            of_app(CORP_ID).zip(of_app(SECRET)).ok_or(ApiError::NoCredentials)?;
        let [corp_id, secret] =
            [corp_id, secret].map(|text| utf8_percent_encode(text, NON_ALPHANUMERIC));
        let path = format!("/cgi-bin/gettoken?corpid={corp_id}&corpsecret={secret}");
        self.call(Method::GET, &path, &Value::Null).await
    }

    /// Sends one request: success is `errcode` 0, with HTTP 200 in either case.
    async fn call<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: &Value,
    ) -> Result<T, ApiError> {
        let base_url = self.settings.base_url.trim_end_matches('/');
        let request = http::Request::builder().method(method).uri(format!("{base_url}{path}"));
        let body = if body.is_null() { Bytes::new() } else { body.to_string().into() };
        let request = request.header(header::CONTENT_TYPE, "application/json").body(body);
        let request = request.map_err(|_| ApiError::Unsendable)?;
        read(&self.ports.http.send(request).await.map_err(ApiError::Http)?)
    }
}

/// The path with the token, as WeCom expects it.
fn with_token(path: &str, token: &SecretString) -> String {
    let token = utf8_percent_encode(token.expose_secret(), NON_ALPHANUMERIC);
    format!("{path}?access_token={token}")
}

fn read<T: DeserializeOwned>(response: &http::Response<Bytes>) -> Result<T, ApiError> {
    #[derive(Deserialize)]
    struct Coded {
        errcode: Option<i64>,
        #[serde(default, deserialize_with = "null_is_default")]
        errmsg: String,
    }
    let status = response.status().as_u16();
    let Ok(Coded { errcode, errmsg }) = serde_json::from_slice(response.body()) else {
        return Err(ApiError::NotJson { status });
    };
    match errcode {
        Some(0) if status == 200 => {}
        Some(code) => return Err(ApiError::of_code(code, &errmsg, status)),
        // JSON of something else on the way.
        None => return Err(ApiError::NotJson { status }),
    }
    serde_json::from_slice(response.body())
        .map_err(|_| ApiError::Shape { part: AnswerPart::Fields })
}

impl Source for WeComClient {
    /// `POST /cgi-bin/oa/getapprovaldetail`, 600 a minute.
    fn read_instance<'a>(
        &'a self,
        request: &'a Request,
    ) -> BoxFuture<'a, Result<Instance, Failure>> {
        Box::pin(async {
            let body = json!({ "sp_no": request.instance_id });
            let answer: DetailAnswer = self.post("/cgi-bin/oa/getapprovaldetail", &body).await?;
            answer.info.into_instance(&self.settings.utc_offset).map_err(ApiError::into_failure)
        })
    }

    fn list(&self) -> Option<&dyn InstanceList> {
        Some(self)
    }

    fn admin(&self) -> Option<&dyn Admin> {
        Some(self)
    }
}

impl Admin for WeComClient {
    fn url(&self) -> &str {
        &self.settings.base_url
    }

    fn check_login(&self) -> BoxFuture<'_, Result<(), Failure>> {
        Box::pin(async { self.token().await.map(drop) })
    }
}
