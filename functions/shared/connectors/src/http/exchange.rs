//! Sends one request with authentication, within the target's limits.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::lock::Mutex;
use greenlight_core::ports::{Clock, Http, HttpError, ReadSecret};
use greenlight_core::secret::Secret;
use greenlight_core::trace::TraceId;
use greenlight_core::{Class, Failure, Timestamp};
use http::header;
use minijinja::Value as Context;
use serde_json::{Map, Value};

use super::HttpConnector;
use super::answer::TargetAnswer;
use super::auth::{self, Session};
use super::connector::{Connector, Step};
use super::digest::Challenge;
use super::error::{CallError, LoginError, StepAt};
use super::limits::Limiter;
use super::outcome::{RuleResult, judge};
use super::render::RenderError;
use crate::connector::{Reached, TRACE_ID};
use crate::template::{self, value_of_answer};

/// A system with an HTTP API.
#[derive(Debug)]
pub(super) struct HttpTarget<H> {
    pub(super) name: String,
    pub(super) url: String,
    pub(super) params: Value,
    pub(super) connector: Connector,
    http: H,
    pub(super) limiter: Limiter,
    session: Mutex<Slot>,
}

/// The longest wait (`Retry-After`) that is spent here; longer ones go to the queue.
pub(super) const LONGEST_QUICK_WAIT: Duration = Duration::from_secs(2);

/// The session shared by all calls, and the last failed login.
#[derive(Debug, Default)]
struct Slot {
    current: Arc<Session>,
    /// The secret used, when the login may be retried, and the failure.
    failed: Option<(Arc<Secret>, Timestamp, Failure)>,
}

/// Wait after a failed login. NACs lock accounts, and every waiting request would log in again.
const LOGIN_RESTS: Duration = Duration::from_secs(20);

/// The largest answer that is parsed, in bytes: its tree takes forty times as much memory.
const LARGEST_ANSWER: usize = 512 * 1024;

impl<H> HttpTarget<H> {
    pub(super) fn new(
        name: &str,
        url: String,
        params: Value,
        connector: Connector,
        http: H,
    ) -> Self {
        let limiter = Limiter::new(connector.limits);
        let name = name.to_owned();
        Self { name, url, params, connector, http, limiter, session: Mutex::default() }
    }

    /// A failure without retry: a retry would render the same request.
    pub(super) fn unrenderable(&self, step: &Step, error: impl Into<RenderError>) -> Failure {
        let (at, cause) = (StepAt::of(&self.name, step), error.into());
        Failure::give_up(Class::InvalidForm, CallError::NotRendered { at, cause })
    }
}

impl<H: Http, S: ReadSecret, C: Clock> HttpConnector<H, S, C> {
    /// Logs in if the connector has a login, else sends a GET: any response proves that the target
    /// is reachable.
    pub(super) async fn reach_target(&self, target: &HttpTarget<H>) -> Result<Reached, Failure> {
        if target.connector.auth.login.is_some() {
            self.session(target, &self.secret.current(), None).await?;
            return Ok(Reached::LoggedIn);
        }
        let request = http::Request::get(&target.url).body(Bytes::new());
        let request = request.map_err(|cause| {
            let error = CallError::UrlNotUsable { target: target.name.clone(), cause };
            Failure::give_up(Class::NotConfigured, error)
        })?;
        target.send(request).await?;
        Ok(Reached::Answers)
    }

    /// Sends a step and returns the answer. After an authentication error it logs in again, or
    /// reads the secret again, and resends once.
    pub(super) async fn exchange(
        &self,
        target: &HttpTarget<H>,
        step: &Step,
        variables: &Map<String, Value>,
    ) -> Result<TargetAnswer, Failure> {
        let auth = &target.connector.auth;
        let is_refused = |answer: &TargetAnswer| {
            auth.is_refused(answer, variables).map_err(|error| target.unrenderable(step, error))
        };
        let mut secret = self.secret.current();
        let mut session = self.session(target, &secret, None).await?;
        let mut answer = self.send(target, step, variables, &secret, &session).await?;
        if !is_refused(&answer)? {
            return Ok(answer);
        }
        if let Some(challenged) = self.challenged(target, &session, &answer).await {
            session = challenged;
            answer = self.send(target, step, variables, &secret, &session).await?;
            if !is_refused(&answer)? {
                return Ok(answer);
            }
        }
        if auth.login.is_some() {
            session = self.session(target, &secret, Some(&session)).await?;
            secret = self.secret.current();
            answer = self.send(target, step, variables, &secret, &session).await?;
        } else if let Some(renewed) = self.secret.renewed(&secret).await {
            // Use the challenge of the 401, if there is one.
            session = self.challenged(target, &session, &answer).await.unwrap_or(session);
            answer = self.send(target, step, variables, &renewed, &session).await?;
        }
        if is_refused(&answer)? {
            let (target, status) = (target.name.clone(), answer.status.as_u16());
            let error = CallError::Unauthorized { target, status };
            return Err(Failure::retry(Class::TargetAuthFailed, error));
        }
        Ok(answer)
    }

    /// Returns a new session if the answer carries an HTTP digest challenge that was not used yet.
    async fn challenged(
        &self,
        target: &HttpTarget<H>,
        used: &Arc<Session>,
        answer: &TargetAnswer,
    ) -> Option<Arc<Session>> {
        target.connector.auth.digest.as_ref()?;
        let headers = answer.headers.get_all(header::WWW_AUTHENTICATE).iter();
        let challenge =
            headers.filter_map(|value| value.to_str().ok()).find_map(Challenge::parse)?;
        if used.challenge.as_ref() == Some(&challenge) {
            return None;
        }
        let session =
            Session { challenge: Some(challenge), is_logged_in: true, ..Session::default() };
        let session = Arc::new(session);
        target.session.lock().await.current = Arc::clone(&session);
        Some(session)
    }

    /// Returns a valid session; `refused` is one that the target rejected. Calls during a login
    /// wait for it and share its result.
    async fn session(
        &self,
        target: &HttpTarget<H>,
        secret: &Arc<Secret>,
        refused: Option<&Arc<Session>>,
    ) -> Result<Arc<Session>, Failure> {
        let mut slot = target.session.lock().await;
        let Some(login) = &target.connector.auth.login else {
            return Ok(Arc::clone(&slot.current));
        };
        let now = self.clock.now();
        let is_refused = refused.is_some_and(|refused| Arc::ptr_eq(refused, &slot.current));
        if slot.current.is_good(now) && !is_refused {
            return Ok(Arc::clone(&slot.current));
        }
        if let Some((used, until, failure)) = &slot.failed
            && Arc::ptr_eq(used, secret)
            && now < *until
        {
            return Err(failure.clone());
        }
        let session = match self.log_in(target, login, secret).await.map_err(about_whole_target) {
            Err(failure) if failure.reason().class == Class::TargetAuthFailed => {
                match self.secret.renewed(secret).await {
                    Some(renewed) => {
                        self.log_in(target, login, &renewed).await.map_err(about_whole_target)
                    }
                    None => Err(failure),
                }
            }
            result => result,
        };
        match session {
            Ok(session) => {
                *slot = Slot { current: Arc::new(session), failed: None };
                Ok(Arc::clone(&slot.current))
            }
            Err(failure) => {
                let until = self.clock.now().plus(LOGIN_RESTS);
                slot.failed = Some((Arc::clone(secret), until, failure.clone()));
                Err(failure)
            }
        }
    }

    async fn log_in(
        &self,
        target: &HttpTarget<H>,
        login: &Step,
        secret: &Arc<Secret>,
    ) -> Result<Session, Failure> {
        let failed = |error: LoginError| Failure::retry(Class::TargetAuthFailed, error);
        let name = || target.name.clone();
        let now = self.clock.now();
        let nobody = Map::new();
        let context = auth::context(&target.name, secret, &target.params, &nobody, now);
        let answer =
            self.send_with(target, login, &context, secret, &Session::default(), None).await?;
        let context = answer.context(&nobody);
        let judged = judge(&login.outcomes, &answer, &context, now);
        let judged = judged.map_err(|_| failed(LoginError::Rule { target: name() }))?;
        let status = answer.status.as_u16();
        if let Some(misfit) = target.connector.misfit(login, &answer, judged.result) {
            return Err(failed(LoginError::Misfit { target: name(), status, misfit }));
        }
        match judged.result {
            RuleResult::Done | RuleResult::Next | RuleResult::AlreadyExists => {}
            RuleResult::Retry if status != 401 => {
                let error = LoginError::Answered { target: name(), status };
                return Err(Failure::retry_after(judged.after, judged.class, error));
            }
            _ => return Err(failed(LoginError::Answered { target: name(), status })),
        }
        let mut session = Session { is_logged_in: true, ..Session::default() };
        for (key, template) in &login.capture {
            let value = value_of_answer(template, &context);
            let value = value.ok().filter(|value| !value.is_null() && value.as_str() != Some(""));
            let missing = || LoginError::NotCaptured { target: name(), name: key.clone() };
            session.saved.insert(key.clone(), value.ok_or_else(|| failed(missing()))?);
        }
        let auth = &target.connector.auth;
        if auth.cookies {
            session.cookies = auth::cookies(&answer.headers);
        }
        let lifetime = auth.lifetime(&context);
        let lifetime = lifetime.map_err(|_| failed(LoginError::ExpiresIn { target: name() }))?;
        session.until = lifetime.map(|seconds| now.plus(Duration::from_secs(seconds / 10 * 9)));
        Ok(session)
    }

    async fn send(
        &self,
        target: &HttpTarget<H>,
        step: &Step,
        variables: &Map<String, Value>,
        secret: &Arc<Secret>,
        session: &Session,
    ) -> Result<TargetAnswer, Failure> {
        let trace_id = variables.get(TRACE_ID).and_then(Value::as_str);
        let context = template::context(variables);
        self.send_with(target, step, &context, secret, session, trace_id).await
    }

    async fn send_with(
        &self,
        target: &HttpTarget<H>,
        step: &Step,
        context: &Context,
        secret: &Arc<Secret>,
        session: &Session,
        trace_id: Option<&str>,
    ) -> Result<TargetAnswer, Failure> {
        let auth = &target.connector.auth;
        let mut draft =
            step.render(&target.url, context).map_err(|error| target.unrenderable(step, error))?;
        if !auth.is_login(step) {
            let now = self.clock.now();
            let context = auth::context(&target.name, secret, &target.params, &session.saved, now);
            auth.apply(&mut draft, &context, session, secret.targets.get(&target.name))
                .map_err(|error| target.unusable(error))?;
        }
        let request = draft.into_request();
        let mut request = request.map_err(|error| target.unrenderable(step, error))?;
        let trace_id = trace_id.and_then(|id| TraceId::try_from(id.to_owned()).ok());
        if let Some(Ok(traced)) = trace_id.map(|id| id.traceparent().parse()) {
            request.headers_mut().insert("traceparent", traced);
        }
        target.limiter.wait(&self.clock).await;
        let response = target.send(request).await?;
        if response.body().len() > LARGEST_ANSWER {
            let error = CallError::TooLarge { target: target.name.clone() };
            return Err(Failure::give_up(Class::TargetRejected, error));
        }
        Ok(TargetAnswer::of(response))
    }
}

/// Marks a failure of the login as one of the whole target, not of one subject.
fn about_whole_target(failure: Failure) -> Failure {
    match failure {
        Failure::Retry { after, mut reason } if !reason.class.is_about_whole_target() => {
            reason.class = Class::TargetUnavailable;
            Failure::Retry { after, reason }
        }
        failure => failure,
    }
}

impl<H: Http> HttpTarget<H> {
    async fn send(&self, request: http::Request<Bytes>) -> Result<http::Response<Bytes>, Failure> {
        self.http.send(request).await.map_err(|cause| {
            let failure = match cause {
                // A retry would get an equally large answer.
                HttpError::TooLarge { .. } => {
                    |error| Failure::give_up(Class::TargetRejected, error)
                }
                HttpError::Connect { .. } => {
                    |error| Failure::retry(Class::TargetUnavailable, error)
                }
                HttpError::Broken { .. } => |error| Failure::retry(Class::TargetTimeout, error),
                // The request used up its timeout: do not repeat it within this attempt.
                HttpError::Timeout { .. } => |error| {
                    let after = Some(LONGEST_QUICK_WAIT.saturating_mul(2));
                    Failure::retry_after(after, Class::TargetTimeout, error)
                },
            };
            failure(CallError::NoAnswer { target: self.name.clone(), cause })
        })
    }

    fn unusable(&self, cause: RenderError) -> Failure {
        let error = CallError::AuthNotUsable { target: self.name.clone(), cause };
        Failure::give_up(Class::NotConfigured, error)
    }
}
