//! Client for approval instances in Feishu's OpenAPI.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use greenlight_core::explain::Explain;
use greenlight_core::form::Attachment;
use greenlight_core::instance::{Instance, Status};
use greenlight_core::person::Presence;
use greenlight_core::ports::HttpError;
use greenlight_core::retry::MAX_ASKED_WAIT;
use greenlight_core::secret::Secret;
#[cfg(feature = "stream")]
use greenlight_core::stream::Stream;
use greenlight_core::{Class, Failure, Request, Timestamp};
use http::{HeaderMap, Method, StatusCode, Uri, header};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use thiserror::Error;

use super::credentials::{APP_ID, APP_SECRET};
use super::settings::Feishu;
#[cfg(feature = "stream")]
use super::settings::Receive;
use crate::access_token::{CachedToken, Issued, with_secret};
use crate::client_kind::answer_or_part;
use crate::hosts::is_of_system;
use crate::source::{Admin, ListInstances, Source, SourcePorts};

/// Codes of the OpenAPI, from its "Server-side error codes" page.
mod code {
    /// Rate limited; the header `x-ogw-ratelimit-reset` gives the wait in seconds.
    pub(super) const RATE_LIMITED: i64 = 99_991_400;
    /// The token is invalid, expired or of the wrong kind: returned with HTTP 200 or HTTP 400.
    pub(super) const TOKEN_REFUSED: [i64; 4] = [99_991_663, 99_991_664, 99_991_665, 99_991_671];
    /// Internal error, or busy.
    pub(super) const BUSY: [i64; 2] = [2_200, 1_395_001];
    /// Unknown app, or wrong secret: of the login and of `/callback/ws/endpoint`.
    pub(super) const APP_REFUSED: [i64; 3] = [10_003, 10_014, 1_000_040_351];
}

/// Feishu's OpenAPI, with the tenant access token cached.
pub struct FeishuClient {
    source: String,
    ports: SourcePorts,
    base_url: String,
    #[cfg(feature = "stream")]
    receive: Receive,
    token: CachedToken,
}

/// An error response of the OpenAPI.
#[derive(Debug, Error, Explain)]
#[explain("feishu")]
pub(super) enum ApiError {
    #[error("{0}")]
    Http(#[from] HttpError),
    #[error("the secret lacks credentials of this source")]
    NoCredentials,
    #[error("Feishu answered HTTP {status} with an unexpected body")]
    NotJson { status: u16 },
    #[error("the request cannot be built: `base_url` or the token has invalid characters")]
    Unsendable,
    #[error("Feishu's answer does not have the documented shape: {part}")]
    Shape { part: AnswerPart },
    #[error("the file is not on Feishu's own servers: {host}")]
    OtherHost { host: String },
    #[error("the download of the file was answered HTTP {status}")]
    Download { status: u16 },
    #[error(
        "{host} knows no app with this id and secret (code {code}): an app of Lark belongs to \
         https://open.larksuite.com, one of Feishu to https://open.feishu.cn"
    )]
    AppRefused { code: i64, host: String },
    #[error("Feishu answered code {code} (HTTP {status}, log id {log_id})")]
    Code { code: i64, status: u16, log_id: String, reset: Option<Duration> },
}

/// The part of an answer that is not as documented.
#[derive(Clone, Copy, Debug, Error, Explain)]
#[explain("feishu_answer")]
pub(super) enum AnswerPart {
    #[error("the form is not a list of widgets")]
    Widgets,
    #[error("a field is missing")]
    Fields,
    #[error("it is not an answer to \"obtain a single approval instance\"")]
    Instance,
    #[error("the list of instances has more pages than are read")]
    EndlessList,
}

/// A failed login to the OpenAPI.
#[derive(Debug, Error, Explain)]
#[explain("feishu_login")]
#[error("login to Feishu failed: {cause}")]
struct LoginFailed {
    cause: ApiError,
}

impl ApiError {
    fn is_token_refused(&self) -> bool {
        matches!(self, Self::Code { code, .. } if code::TOKEN_REFUSED.contains(code))
    }

    /// Whether a newer secret can be the remedy.
    const fn may_be_rotation(&self) -> bool {
        matches!(self, Self::Code { .. } | Self::AppRefused { .. } | Self::NoCredentials)
    }

    pub(super) fn into_failure(self) -> Failure {
        match &self {
            Self::Code { code, status, reset, .. }
                if *code == code::RATE_LIMITED || *status == 429 =>
            {
                Failure::retry_after(*reset, Class::SourceUnavailable, self)
            }
            Self::Code { code, status, .. }
                if code::BUSY.contains(code)
                    || code::TOKEN_REFUSED.contains(code)
                    || *status >= 500 =>
            {
                Failure::retry(Class::SourceUnavailable, self)
            }
            // A retry would get the same answer.
            Self::Code { .. }
            | Self::Shape { .. }
            | Self::OtherHost { .. }
            | Self::Http(HttpError::TooLarge { .. }) => {
                Failure::give_up(Class::SourceRejected, self)
            }
            Self::Http(_)
            | Self::Unsendable
            | Self::NoCredentials
            | Self::AppRefused { .. }
            | Self::NotJson { .. }
            | Self::Download { .. } => Failure::retry(Class::SourceUnavailable, self),
        }
    }
}

#[derive(Deserialize)]
struct TokenAnswer {
    tenant_access_token: String,
    /// Remaining validity in seconds.
    expire: u64,
}

#[derive(Deserialize)]
struct InstanceAnswer {
    data: InstanceData,
}

impl From<InstanceAnswer> for InstanceData {
    fn from(answer: InstanceAnswer) -> Self {
        answer.data
    }
}

#[derive(Deserialize)]
struct InstanceData {
    approval_code: String,
    instance_code: String,
    status: String,
    #[serde(default)]
    reverted: Option<bool>,
    #[serde(default)]
    open_id: Option<String>,
    #[serde(default)]
    serial_number: Option<String>,
    /// Milliseconds since the Unix epoch; `0` while it is pending.
    #[serde(default)]
    end_time: Value,
    form: String,
}

impl InstanceData {
    fn into_instance(self) -> Result<Instance, ApiError> {
        let form = super::form::parse(&self.form)
            .map_err(|_| ApiError::Shape { part: AnswerPart::Widgets })?;
        Ok(Instance {
            status: self.status(),
            definition_id: self.approval_code,
            instance_id: self.instance_code,
            ended_at: moment(&self.end_time),
            applicant: self.open_id.unwrap_or_default(),
            form_number: self.serial_number.unwrap_or_default(),
            form,
            revokes: None,
        })
    }

    /// The OpenAPI has no status `REVERTED`: it returns `CANCELED`, or sets `reverted`.
    fn status(&self) -> Status {
        match (self.status.as_str(), self.reverted.unwrap_or(false)) {
            (_, true) | ("CANCELED", _) => Status::Revoked,
            ("APPROVED", false) => Status::Approved,
            ("PENDING", false) => Status::Pending,
            ("REJECTED" | "DELETED", false) => Status::Refused,
            _ => Status::Unknown,
        }
    }
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

    fn list(&self) -> Option<&dyn ListInstances> {
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

/// A string with milliseconds, as documented; a number is read, too.
fn moment(value: &Value) -> Option<Timestamp> {
    let millis = value.as_i64().or_else(|| value.as_str()?.parse().ok());
    millis.filter(|millis| *millis > 0).map(Timestamp::from_millis)
}

/// Parses the instance in a recorded answer of the OpenAPI, with or without the surrounding `data`.
///
/// # Errors
/// [`Failure`] with the missing part.
pub fn parse_instance(json: &str) -> Result<Instance, Failure> {
    let data = answer_or_part::<InstanceAnswer, InstanceData>(json);
    let data = data.ok_or_else(|| ApiError::Shape { part: AnswerPart::Instance }.into_failure())?;
    data.into_instance().map_err(ApiError::into_failure)
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
        let token = self.token().await?;
        let result = self.call(method.clone(), path, Some(&token), Bytes::new()).await;
        Ok(match result {
            Err(error) if error.is_token_refused() => {
                self.token.forget(&token);
                let token = self.token().await?;
                self.call(method, path, Some(&token), Bytes::new()).await
            }
            result => result,
        })
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
        token: Option<&SecretString>,
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
        return Err(ApiError::Code {
            code,
            status,
            log_id: header("x-tt-logid").unwrap_or("none").to_owned(),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn into_failure_of_an_answer_that_is_too_large_gives_up() {
        let too_large = HttpError::TooLarge { host: "open.feishu.cn".into(), limit: 4_194_304 };
        let failure = ApiError::Http(too_large).into_failure();
        assert!(
            matches!(failure, Failure::GiveUp { reason } if reason.class == Class::SourceRejected)
        );
        let timeout = ApiError::Http(HttpError::Timeout { host: "open.feishu.cn".into() });
        assert!(matches!(timeout.into_failure(), Failure::Retry { .. }));
    }
}
