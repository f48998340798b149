//! Client for approval instances in Feishu's OpenAPI.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use greenlight_core::form::Attachment;
use greenlight_core::instance::Instance;
use greenlight_core::person::Presence;
use greenlight_core::retry::MAX_ASKED_WAIT;
use greenlight_core::secret::Secret;
#[cfg(feature = "stream")]
use greenlight_core::stream::Stream;
use greenlight_core::{Class, Failure, Request};
use http::{HeaderMap, Method, StatusCode, Uri, header};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::credentials::{APP_ID, APP_SECRET};
use super::error::{AnswerPart, ApiError, LoginFailed, code};
use super::instance::InstanceAnswer;
use super::settings::Feishu;
#[cfg(feature = "stream")]
use super::settings::Receive;
use crate::access_token::{CachedToken, Issued, with_secret};
use crate::hosts::is_of_system;
use crate::source::{Admin, InstanceList, Source, SourcePorts};

/// Feishu's OpenAPI, with the tenant access token cached.
pub struct FeishuClient {
    source: String,
    ports: SourcePorts,
    base_url: String,
    #[cfg(feature = "stream")]
    receive: Receive,
    token: CachedToken,
}

#[derive(Deserialize)]
struct TokenAnswer {
    tenant_access_token: String,
    /// Remaining validity in seconds.
    expire: u64,
}

impl Source for FeishuClient {
    /// `GET /open-apis/approval/v4/instances/:instance_code`, 1000 a minute and 50 a second.
    fn read_instance<'a>(
        &'a self,
        request: &'a Request,
    ) -> BoxFuture<'a, Result<Instance, Failure>> {
        Box::pin(async {
            let path = format!("/open-apis/approval/v4/instances/{}", request.instance_id);
            let InstanceAnswer { data } = self.get(&path).await?;
            data.into_instance().map_err(ApiError::into_failure)
        })
    }

    fn presence<'a>(&'a self, person: &'a str) -> BoxFuture<'a, Result<Presence, Failure>> {
        Box::pin(self.read_presence(person))
    }

    fn download<'a>(&'a self, file: &'a Attachment) -> BoxFuture<'a, Result<Bytes, Failure>> {
        Box::pin(self.download_file(file))
    }

    fn list(&self) -> Option<&dyn InstanceList> {
        Some(self)
    }

    fn admin(&self) -> Option<&dyn Admin> {
        Some(self)
    }

    #[cfg(feature = "stream")]
    fn stream(&self) -> Option<&dyn Stream> {
        (self.receive == Receive::LongConnection).then_some(self)
    }
}

impl FeishuClient {
    /// Creates a client of the OpenAPI of `settings`, with the credentials of `source`.
    #[must_use]
    pub fn new(source: &str, settings: &Feishu, ports: SourcePorts) -> Self {
        Self {
            source: source.to_owned(),
            ports,
            base_url: settings.base_url.trim_end_matches('/').to_owned(),
            #[cfg(feature = "stream")]
            receive: settings.receive,
            token: CachedToken::default(),
        }
    }

    pub(super) fn base_url(&self) -> &str {
        &self.base_url
    }

    /// Sends a GET request with a token.
    pub(super) async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Failure> {
        self.ask(Method::GET, path).await?.map_err(ApiError::into_failure)
    }

    /// Sends a request with a token; replaces a rejected token and resends once.
    pub(super) async fn ask<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
    ) -> Result<Result<T, ApiError>, Failure> {
        let call = |token| self.call(method.clone(), path, Some(token), Bytes::new());
        self.token.call_with(|| self.token(), call, ApiError::is_token_refused).await
    }

    /// Downloads a file that is attached to a form. Its URL carries its own authorization, so that
    /// the token is not sent along.
    ///
    /// # Errors
    /// [`Failure`] when the URL is on another host than Feishu's own, or is not answered 200.
    async fn download_file(&self, file: &Attachment) -> Result<Bytes, Failure> {
        let own = self.base_url.parse::<Uri>().ok();
        let uri = file.url.parse::<Uri>().ok();
        let host = || uri.as_ref().and_then(Uri::host).unwrap_or("?").to_owned();
        let is_own = own.zip(uri.clone()).is_some_and(|(own, uri)| is_of_system(&own, &uri));
        let request = http::Request::get(file.url.as_str()).body(Bytes::new());
        let request = request.ok().filter(|_| is_own);
        let request = request.ok_or_else(|| ApiError::OtherHost { host: host() }.into_failure())?;
        let sent = self.ports.http.send(request).await;
        let response = sent.map_err(|error| ApiError::Http(error).into_failure())?;
        if response.status() == StatusCode::OK {
            return Ok(response.into_body());
        }
        // The next attempt reads a new URL; this one is valid for twelve hours.
        Err(ApiError::Download { status: response.status().as_u16() }.into_failure())
    }

    /// A tenant access token; it is valid for up to two hours, and a login in its last half hour
    /// returns a new one.
    pub(super) async fn token(&self) -> Result<SecretString, Failure> {
        self.token.get_or(self.ports.clock.now(), self.log_in()).await
    }

    /// `POST /open-apis/auth/v3/tenant_access_token/internal`
    async fn log_in(&self) -> Result<Issued, Failure> {
        let path = "/open-apis/auth/v3/tenant_access_token/internal";
        let body = |id: &str, secret: &str| json!({ "app_id": id, "app_secret": secret });
        let answer = self.post_as_app::<TokenAnswer>(path, body).await;
        // A failed login is not caused by the request: retry until the secret is corrected.
        let answer = answer
            .map_err(|cause| Failure::retry(Class::SourceUnavailable, LoginFailed { cause }))?;
        let value = SecretString::from(answer.tenant_access_token);
        Ok(Issued { value, lifetime: Duration::from_secs(answer.expire) })
    }

    /// Sends the credentials of the app, `body` of App ID and App Secret; reads the secret again if
    /// they are refused.
    pub(super) async fn post_as_app<T: DeserializeOwned>(
        &self,
        path: &str,
        body: impl Fn(&str, &str) -> Value + Send,
    ) -> Result<T, ApiError> {
        let post = |secret| self.post_with(secret, path, &body);
        with_secret(&self.ports, post, ApiError::may_be_rotation).await
    }

    async fn post_with<T: DeserializeOwned>(
        &self,
        secret: Arc<Secret>,
        path: &str,
        body: &(impl Fn(&str, &str) -> Value + Send),
    ) -> Result<T, ApiError> {
        let of_app = |name| secret.source(&self.source)?.get(name);
        let (app_id, app_secret) =
            of_app(APP_ID).zip(of_app(APP_SECRET)).ok_or(ApiError::NoCredentials)?;
        let body = body(app_id, app_secret).to_string();
        let answer = self.call(Method::POST, path, None, body.into()).await;
        answer.map_err(|error| match error {
            ApiError::Code { code, .. } if code::APP_REFUSED.contains(&code) => {
                ApiError::AppRefused { code, host: self.base_url.clone() }
            }
            error => error,
        })
    }

    /// App ID, by which events name the app; `None` without the secret of this source.
    #[cfg(feature = "stream")]
    pub(super) fn app_id(&self) -> Option<String> {
        self.ports.secret.current().source(&self.source)?.get(APP_ID).map(str::to_owned)
    }

    /// Sends one request: success is `code` 0, whatever the HTTP status.
    async fn call<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        token: Option<SecretString>,
        body: Bytes,
    ) -> Result<T, ApiError> {
        let mut request = http::Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.base_url))
            .header(header::CONTENT_TYPE, "application/json; charset=utf-8");
        if let Some(token) = token {
            let value = format!("Bearer {}", token.expose_secret());
            request = request.header(header::AUTHORIZATION, value);
        }
        let request = request.body(body).map_err(|_| ApiError::Unsendable)?;
        read(&self.ports.http.send(request).await?)
    }
}

fn read<T: DeserializeOwned>(response: &http::Response<Bytes>) -> Result<T, ApiError> {
    #[derive(Deserialize)]
    struct Coded {
        code: i64,
    }
    let status = response.status().as_u16();
    let Ok(Coded { code }) = serde_json::from_slice(response.body()) else {
        return Err(ApiError::NotJson { status });
    };
    if code != 0 || response.status() == StatusCode::TOO_MANY_REQUESTS {
        let header = |name| text(response.headers(), name);
        let log_id = header("x-tt-logid").unwrap_or("none").to_owned();
        if code == code::QUOTA_USED_UP {
            return Err(ApiError::QuotaUsedUp { log_id });
        }
        return Err(ApiError::Code {
            code,
            status,
            log_id,
            reset: header("x-ogw-ratelimit-reset")
                .and_then(|seconds| seconds.parse().ok())
                .map(|seconds| Duration::from_secs(seconds).min(MAX_ASKED_WAIT)),
        });
    }
    serde_json::from_slice(response.body())
        .map_err(|_| ApiError::Shape { part: AnswerPart::Fields })
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}
