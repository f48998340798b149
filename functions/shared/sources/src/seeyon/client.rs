//! Seeyon's REST API: login, the state of a flow, its form.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use greenlight_core::form::Form;
use greenlight_core::instance::{Instance, Status};
use greenlight_core::secret::Secret;
use greenlight_core::{Class, Decision, Failure, Request};
use http::{Method, StatusCode, header};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};

use super::credentials::{LOGIN_NAME, PASSWORD, USER_NAME};
use super::error::{AnswerPart, ApiError, LoginFailed};
use super::form::form_in;
use super::settings::Seeyon;
use crate::access_token::{CachedToken, Issued, with_secret};
use crate::source::{Admin, InstanceList, Source, SourcePorts};

/// Integrators have seen tokens that ended after 23 minutes: one is replaced after half of that.
const TOKEN_LIFETIME: Duration = Duration::from_mins(20);

/// A server of Seeyon, with the access token cached.
pub(super) struct SeeyonClient {
    source: String,
    pub(super) settings: Seeyon,
    pub(super) ports: SourcePorts,
    token: CachedToken,
}

impl SeeyonClient {
    pub(super) fn new(source: &str, settings: Seeyon, ports: SourcePorts) -> Self {
        Self { source: source.to_owned(), settings, ports, token: CachedToken::default() }
    }

    /// Gets `path` with a token, and reads the body; replaces a rejected token and asks once more.
    pub(super) async fn get<T>(
        &self,
        path: &str,
        part: AnswerPart,
        read: impl Fn(&str) -> Option<T> + Send + Sync,
    ) -> Result<T, Failure> {
        let call = |token| self.call(Method::GET, path, Some(token), Bytes::new());
        let answer = self.token.call_with(|| self.token(), call, ApiError::is_token_refused);
        let body = answer.await?.map_err(ApiError::into_failure)?;
        let text = std::str::from_utf8(&body).ok();
        text.and_then(|text| read(text.trim()))
            .ok_or_else(|| ApiError::unexpected(part).into_failure())
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
        Ok(Issued { value: SecretString::from(token), lifetime: TOKEN_LIFETIME })
    }

    /// `POST /seeyon/rest/token`, with the password in the body.
    async fn log_in_with(&self, secret: Arc<Secret>) -> Result<String, ApiError> {
        let of_account = |name| secret.source(&self.source)?.get(name);
        let (user, password) =
            of_account(USER_NAME).zip(of_account(PASSWORD)).ok_or(ApiError::NoCredentials)?;
        let mut body = json!({ "userName": user, "password": password });
        if let Some(login_name) = of_account(LOGIN_NAME) {
            body["loginName"] = login_name.into();
        }
        let body = body.to_string().into();
        let answer = self.call(Method::POST, "/seeyon/rest/token", None, body).await;
        let answer = answer.map_err(|error| match error {
            ApiError::TokenRefused => ApiError::LoginRefused,
            error => error,
        })?;
        token_in(&String::from_utf8_lossy(&answer))
    }

    /// Sends one request; returns the body of an answer that is no error.
    async fn call(
        &self,
        method: Method,
        path: &str,
        token: Option<SecretString>,
        body: Bytes,
    ) -> Result<Bytes, ApiError> {
        let base_url = self.settings.base_url.trim_end_matches('/');
        let mut request = http::Request::builder().method(method).uri(format!("{base_url}{path}"));
        if let Some(token) = token {
            request = request.header("token", token.expose_secret());
        }
        if !body.is_empty() {
            request = request.header(header::CONTENT_TYPE, "application/json");
        }
        let request = request.body(body).map_err(|_| ApiError::Unsendable)?;
        let answer = self.ports.http.send(request).await.map_err(ApiError::Http)?;
        match answer.status() {
            StatusCode::UNAUTHORIZED => Err(ApiError::TokenRefused),
            status if !status.is_success() => Err(ApiError::Status { status: status.as_u16() }),
            _ => Ok(answer.into_body()),
        }
    }

    /// `GET /seeyon/rest/flow/state/{flowId}`: a bare integer.
    async fn state(&self, flow: &str) -> Result<Status, Failure> {
        let path = format!("/seeyon/rest/flow/state/{flow}");
        let state: i64 = self.get(&path, AnswerPart::State, |body| body.parse().ok()).await?;
        Ok(status(state))
    }

    /// `GET /seeyon/rest/flow/data/{flowId}`, in XML.
    async fn form(&self, flow: &str) -> Result<Form, Failure> {
        let path = format!("/seeyon/rest/flow/data/{flow}?exportType=0");
        self.get(&path, AnswerPart::Form, form_in).await
    }

    async fn instance(&self, request: &Request) -> Result<Instance, Failure> {
        let Request { definition_id, instance_id, .. } = request;
        let status = self.state(instance_id).await?;
        // The answers do not name the template: the list of a template has its flows.
        let is_granting = request.decision() == Decision::Approved && status == Status::Approved;
        if is_granting && !self.is_listed(definition_id, instance_id).await? {
            return Err(ApiError::NotListed.into_failure());
        }
        let form = match status {
            Status::Approved | Status::Revoked => self.form(instance_id).await?,
            Status::Pending | Status::Refused | Status::Unknown => Form::default(),
        };
        Ok(Instance {
            instance_id: instance_id.clone(),
            definition_id: definition_id.clone(),
            status,
            ended_at: None,
            applicant: String::new(),
            form_number: String::new(),
            form,
            revokes: None,
        })
    }
}

/// The token in the answer to a login: JSON or a bare text, depending on the version; `-1` for
/// wrong credentials.
fn token_in(answer: &str) -> Result<String, ApiError> {
    let token = match serde_json::from_str::<Value>(answer) {
        Ok(Value::Object(answer)) => answer.get("id").and_then(Value::as_str).map(str::to_owned),
        Ok(Value::String(token)) => Some(token),
        Ok(Value::Number(number)) => Some(number.to_string()),
        Ok(_) => None,
        Err(_) => Some(answer.trim().to_owned()),
    };
    let is_token = |token: &String| {
        !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    match token.as_deref() {
        Some("-1") => Err(ApiError::LoginRefused),
        _ => token.filter(is_token).ok_or(ApiError::unexpected(AnswerPart::Token)),
    }
}

/// The states of a flow, from an integrator's code.
const fn status(state: i64) -> Status {
    match state {
        0 => Status::Approved,
        // Not sent, pending, in process, stepped back, taken back.
        1 | 3 | 4 | 6 | 7 => Status::Pending,
        // Cancelled.
        5 => Status::Revoked,
        // Terminated.
        15 => Status::Refused,
        _ => Status::Unknown,
    }
}

impl Source for SeeyonClient {
    fn read_instance<'a>(
        &'a self,
        request: &'a Request,
    ) -> BoxFuture<'a, Result<Instance, Failure>> {
        Box::pin(self.instance(request))
    }

    fn list(&self) -> Option<&dyn InstanceList> {
        Some(self)
    }

    fn admin(&self) -> Option<&dyn Admin> {
        Some(self)
    }
}

impl Admin for SeeyonClient {
    fn url(&self) -> &str {
        &self.settings.base_url
    }

    fn check_login(&self) -> BoxFuture<'_, Result<(), Failure>> {
        Box::pin(async { self.log_in().await.map(drop) })
    }
}
