//! Weaver's API: login, where a form is, its content.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use greenlight_core::instance::Instance;
use greenlight_core::secret::Secret;
use greenlight_core::{Class, Failure, Request};
use http::request::Builder;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::credentials::{APP_ID, SECRET, SPK, USER_ID};
use super::error::{AnswerPart, ApiError, LoginFailed};
use super::instance::{RequestStatus, WorkflowRequest};
use super::sealed::sealed;
use super::settings::Weaver;
use crate::access_token::{CachedToken, Issued, with_secret};
use crate::source::{Admin, Source, SourcePorts};

/// How long a token is asked for, in seconds: the default of the API.
const TOKEN_SECONDS: u64 = 1_800;

/// A server of Weaver, with the access token cached.
pub(super) struct WeaverClient {
    source: String,
    settings: Weaver,
    ports: SourcePorts,
    token: CachedToken,
}

/// An answer of `paService`. Some versions have an object as the code, and one call has none.
#[derive(Deserialize)]
struct Answer<T> {
    #[serde(default)]
    code: Value,
    data: Option<T>,
}

impl WeaverClient {
    pub(super) fn new(source: &str, settings: Weaver, ports: SourcePorts) -> Self {
        Self { source: source.to_owned(), settings, ports, token: CachedToken::default() }
    }

    /// Gets a part of `paService` about a form; replaces a rejected token and asks once more.
    async fn get<T: DeserializeOwned>(&self, call: &str, request: &str) -> Result<T, Failure> {
        let path = format!("/api/workflow/paService/{call}?requestId={request}");
        let get = |token| self.get_with(&path, token);
        let body = self.token.call_with(|| self.token(), get, ApiError::is_token_refused);
        let body = body.await?.map_err(ApiError::into_failure)?;
        data_in(body).map_err(ApiError::into_failure)
    }

    async fn get_with(&self, path: &str, token: SecretString) -> Result<Value, ApiError> {
        let secret = self.ports.secret.current();
        let of_app = |name| self.credential(&secret, name);
        let user = sealed(of_app(SPK)?, of_app(USER_ID)?).ok_or(ApiError::BadKey)?;
        let request = http::Request::get(self.url(path))
            .header("appid", of_app(APP_ID)?)
            .header("token", token.expose_secret())
            .header("userid", user);
        let body = self.send(request).await?;
        // With HTTP 200, and with a code that other errors have, too.
        if body["status"] == false { Err(ApiError::TokenRefused) } else { Ok(body) }
    }

    async fn token(&self) -> Result<SecretString, Failure> {
        self.token.get_or(self.ports.clock.now(), self.log_in()).await
    }

    async fn log_in(&self) -> Result<Issued, Failure> {
        let log_in = |secret| self.log_in_with(secret);
        let token = with_secret(&self.ports, log_in, ApiError::may_be_rotation).await;
        // A failed login is not caused by the request: retry until the set-up is corrected.
        let token = token
            .map_err(|cause| Failure::retry(Class::SourceUnavailable, LoginFailed { cause }))?;
        let lifetime = Duration::from_secs(TOKEN_SECONDS);
        Ok(Issued { value: SecretString::from(token), lifetime })
    }

    /// `POST /api/ec/dev/auth/applytoken`: success is `status`, with HTTP 200 in either case.
    async fn log_in_with(&self, secret: Arc<Secret>) -> Result<String, ApiError> {
        let of_app = |name| self.credential(&secret, name);
        let key = sealed(of_app(SPK)?, of_app(SECRET)?).ok_or(ApiError::BadKey)?;
        let request = http::Request::post(self.url("/api/ec/dev/auth/applytoken"))
            .header("appid", of_app(APP_ID)?)
            .header("secret", key)
            .header("time", TOKEN_SECONDS);
        let body = self.send(request).await?;
        let token = body["token"].as_str().filter(|token| !token.is_empty());
        token.filter(|_| body["status"] == true).map(str::to_owned).ok_or(ApiError::LoginRefused)
    }

    fn credential<'a>(&self, secret: &'a Secret, name: &str) -> Result<&'a str, ApiError> {
        let value = secret.source(&self.source).and_then(|credentials| credentials.get(name));
        value.ok_or(ApiError::NoCredentials)
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.settings.base_url.trim_end_matches('/'))
    }

    async fn send(&self, request: Builder) -> Result<Value, ApiError> {
        let request = request.body(Bytes::new()).map_err(|_| ApiError::Unsendable)?;
        let answer = self.ports.http.send(request).await.map_err(ApiError::Http)?;
        let status = answer.status();
        let body = serde_json::from_slice::<Value>(answer.body()).ok();
        let body = body.filter(|body| status.is_success() && body.is_object());
        body.ok_or(ApiError::NotJson { status: status.as_u16() })
    }

    async fn instance(&self, request: &Request) -> Result<Instance, Failure> {
        let status: RequestStatus = self.get("getRequestStatus", &request.instance_id).await?;
        let form: WorkflowRequest = self.get("getWorkflowRequest", &request.instance_id).await?;
        let Weaver { approved, utc_offset, .. } = &self.settings;
        let instance = form.into_instance(status.is_archived(), approved, utc_offset);
        instance.map_err(ApiError::into_failure)
    }
}

/// What an answer has, if it is no error.
pub(super) fn data_in<T: DeserializeOwned>(body: Value) -> Result<T, ApiError> {
    let shape = |_| ApiError::Shape { part: AnswerPart::Fields };
    let answer: Answer<Value> = serde_json::from_value(body).map_err(shape)?;
    let code = match &answer.code {
        // Some versions have none.
        Value::Null => "SUCCESS".to_owned(),
        Value::String(code) => code.clone(),
        Value::Object(code) => {
            code.get("name").and_then(Value::as_str).unwrap_or_default().to_owned()
        }
        code => code.to_string(),
    };
    if code != "SUCCESS" {
        return Err(ApiError::of_code(&code));
    }
    serde_json::from_value(answer.data.unwrap_or_default()).map_err(shape)
}

impl Source for WeaverClient {
    fn read_instance<'a>(
        &'a self,
        request: &'a Request,
    ) -> BoxFuture<'a, Result<Instance, Failure>> {
        Box::pin(self.instance(request))
    }

    fn admin(&self) -> Option<&dyn Admin> {
        Some(self)
    }
}

impl Admin for WeaverClient {
    fn url(&self) -> &str {
        &self.settings.base_url
    }

    fn check_login(&self) -> BoxFuture<'_, Result<(), Failure>> {
        Box::pin(async { self.log_in().await.map(drop) })
    }
}
