//! Client for approval instances in DingTalk's API.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use greenlight_core::instance::{Instance, Status};
use greenlight_core::person::Presence;
use greenlight_core::secret::Secret;
#[cfg(feature = "stream")]
use greenlight_core::stream::Stream;
use greenlight_core::{Class, Failure, Request};
use http::{Method, header};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::{Value, json};

use super::credentials::{APP_KEY, APP_SECRET};
use super::error::{AnswerPart, ApiError, LoginFailed};
use super::instance::{Detail, DetailAnswer};
use super::settings::DingTalk;
#[cfg(feature = "stream")]
use super::settings::Receive;
use crate::access_token::{CachedToken, Issued, with_secret};
use crate::source::{Admin, InstanceList, Source, SourcePorts};

/// How long after its end an instance may be missing in the list of its definition.
const MAY_LAG: Duration = Duration::from_mins(10);

/// DingTalk's API, with the access token cached.
pub(super) struct DingTalkClient {
    source: String,
    pub(super) settings: DingTalk,
    pub(super) ports: SourcePorts,
    token: CachedToken,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct TokenAnswer {
    access_token: String,
    /// In seconds; 7200.
    expire_in: u64,
}

impl DingTalkClient {
    pub(super) fn new(source: &str, settings: DingTalk, ports: SourcePorts) -> Self {
        Self { source: source.to_owned(), settings, ports, token: CachedToken::default() }
    }

    /// Sends a request with a token; replaces a rejected token and sends it once more.
    pub(super) async fn ask<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: &Value,
    ) -> Result<T, Failure> {
        let call = |token| self.call(method.clone(), path, Some(token), body);
        let result = self.token.call_with(|| self.token(), call, ApiError::is_token_refused);
        result.await?.map_err(ApiError::into_failure)
    }

    pub(super) async fn token(&self) -> Result<SecretString, Failure> {
        self.token.get_or(self.ports.clock.now(), self.log_in()).await
    }

    /// `POST /v1.0/oauth2/accessToken`
    async fn log_in(&self) -> Result<Issued, Failure> {
        let body = |key: &str, secret: &str| json!({ "appKey": key, "appSecret": secret });
        let answer = self.post_as_app::<TokenAnswer>("/v1.0/oauth2/accessToken", body).await;
        // A failed login is not caused by the request: retry until the set-up is corrected.
        let answer = answer.map_err(|cause| {
            Failure::retry_after(cause.pause(), Class::SourceUnavailable, LoginFailed { cause })
        })?;
        let value = SecretString::from(answer.access_token);
        Ok(Issued { value, lifetime: Duration::from_secs(answer.expire_in) })
    }

    /// Removes `token` from the cache.
    pub(super) fn forget(&self, token: &SecretString) {
        self.token.forget(token);
    }

    /// Sends the credentials of the app; reads the secret again if they are refused.
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
        let (key, secret) =
            of_app(APP_KEY).zip(of_app(APP_SECRET)).ok_or(ApiError::NoCredentials)?;
        let body = body(key, secret);
        self.call(Method::POST, path, None, &body).await.map_err(|error| match error {
            // The code of a refused login is not documented for every case.
            ApiError::Code { code, status: 400..=401 } => ApiError::LoginRefused { code },
            error => error,
        })
    }

    /// Sends one request: success is HTTP 2xx.
    async fn call<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        token: Option<SecretString>,
        body: &Value,
    ) -> Result<T, ApiError> {
        let base_url = self.settings.base_url.trim_end_matches('/');
        let mut request = http::Request::builder()
            .method(method)
            .uri(format!("{base_url}{path}"))
            .header(header::CONTENT_TYPE, "application/json")
            // Without it some answers are XML.
            .header(header::ACCEPT, "application/json");
        if let Some(token) = token {
            request = request.header("x-acs-dingtalk-access-token", token.expose_secret());
        }
        let body = if body.is_null() { Bytes::new() } else { body.to_string().into() };
        let request = request.body(body).map_err(|_| ApiError::Unsendable)?;
        read(&self.ports.http.send(request).await.map_err(ApiError::Http)?)
    }

    /// `GET /v1.0/workflow/processInstances`, 20 a second; each call counts against the quota of
    /// the month.
    async fn detail(&self, instance_id: &str) -> Result<Detail, Failure> {
        let id = utf8_percent_encode(instance_id, NON_ALPHANUMERIC);
        let path = format!("/v1.0/workflow/processInstances?processInstanceId={id}");
        let answer: DetailAnswer = self.ask(Method::GET, &path, &Value::Null).await?;
        Ok(answer.result)
    }

    /// Whether an approved instance was revoked: a revocation is an instance of its own, attached
    /// to the one that it revokes.
    async fn is_revoked(&self, instance_id: &str, detail: &Detail) -> Result<bool, Failure> {
        let mut unread = None;
        for attached in detail.attached() {
            match self.detail(attached).await {
                Ok(attached) if attached.revokes(instance_id) => return Ok(true),
                Ok(_) => {}
                Err(failure) => unread = unread.or(Some(failure)),
            }
        }
        unread.map_or(Ok(false), Err)
    }

    /// The definition of an instance, if it is the one of `request`; else empty. The detail does
    /// not name it: the list of a definition has its instances. The list can lag behind the event.
    async fn definition_of(&self, request: &Request, detail: &Detail) -> Result<String, Failure> {
        let minute = detail.created_within().map_err(ApiError::into_failure)?;
        let (definition_id, id) = (&request.definition_id, &request.instance_id);
        if self.created_within(definition_id, minute).await?.contains(id) {
            return Ok(definition_id.clone());
        }
        let ended_at = detail.ended_at().map_err(ApiError::into_failure)?;
        if self.ports.clock.now().since(ended_at) < MAY_LAG {
            return Err(ApiError::NotListed.into_failure());
        }
        Ok(String::new())
    }
}

fn read<T: DeserializeOwned>(response: &http::Response<Bytes>) -> Result<T, ApiError> {
    #[derive(Deserialize)]
    struct Coded {
        code: String,
    }
    /// An address that sends too much is answered `{"status": 1111, …}`, or with a page.
    #[derive(Deserialize)]
    struct Blocked {
        #[serde(rename = "status")]
        _status: i64,
    }
    let (status, body) = (response.status(), response.body());
    if status.is_success() {
        return serde_json::from_slice(body).map_err(|_| {
            let is_json = serde_json::from_slice::<IgnoredAny>(body).is_ok();
            if is_json && serde_json::from_slice::<Blocked>(body).is_err() {
                ApiError::Shape { part: AnswerPart::Fields }
            } else {
                ApiError::NotJson { status: status.as_u16() }
            }
        });
    }
    match serde_json::from_slice(body) {
        Ok(Coded { code }) => Err(ApiError::of_code(&code, status.as_u16())),
        Err(_) => Err(ApiError::NotJson { status: status.as_u16() }),
    }
}

impl Source for DingTalkClient {
    fn read_instance<'a>(
        &'a self,
        request: &'a Request,
    ) -> BoxFuture<'a, Result<Instance, Failure>> {
        Box::pin(async {
            let id = request.instance_id.as_str();
            let detail = self.detail(id).await?;
            let is_revoked = detail.is_approved() && self.is_revoked(id, &detail).await?;
            // An approval without a readable end could renew access however old it is.
            if detail.is_approved() {
                detail.ended_at().map_err(ApiError::into_failure)?;
            }
            // What revokes or is revoked grants nothing: it ends what is recorded for this
            // definition. The list goes back a year only.
            let definition_id = if is_revoked || detail.is_revocation() || !detail.is_approved() {
                request.definition_id.clone()
            } else {
                self.definition_of(request, &detail).await?
            };
            let mut instance = detail.into_instance(id, &definition_id, &self.settings.utc_offset);
            if is_revoked {
                instance.status = Status::Revoked;
            }
            Ok(instance)
        })
    }

    fn presence<'a>(&'a self, person: &'a str) -> BoxFuture<'a, Result<Presence, Failure>> {
        Box::pin(self.read_presence(person))
    }

    fn list(&self) -> Option<&dyn InstanceList> {
        Some(self)
    }

    fn admin(&self) -> Option<&dyn Admin> {
        Some(self)
    }

    #[cfg(feature = "stream")]
    fn stream(&self) -> Option<&dyn Stream> {
        (self.settings.receive == Receive::Stream).then_some(self)
    }
}

impl Admin for DingTalkClient {
    fn url(&self) -> &str {
        &self.settings.base_url
    }

    fn check_login(&self) -> BoxFuture<'_, Result<(), Failure>> {
        Box::pin(async { self.token().await.map(drop) })
    }
}
