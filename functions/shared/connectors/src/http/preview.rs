//! Renders the requests of an operation without sending them.

use std::fmt;

use bytes::Bytes;
use greenlight_core::Failure;
use greenlight_core::ports::{Call, Clock, Http, ReadSecret};
use minijinja::Value as Context;
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::HttpConnector;
use super::auth;
use super::connector::Step;
use super::exchange::HttpTarget;
use crate::template::{self, needs};

/// One request that would be sent. Credentials are masked; values from earlier answers are shown in
/// angle brackets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RequestPreview {
    /// The step's name, empty if it has none.
    pub step: String,
    /// The condition of the step, as the connector has it.
    pub when: Option<String>,
    /// The HTTP method.
    pub method: String,
    /// The full URL.
    pub url: String,
    /// Name and value, sorted by name.
    pub headers: Vec<(String, String)>,
    /// The body; empty when there is none.
    pub body: String,
}

const MASK: &str = "***";

impl<H: Http, S: ReadSecret, C: Clock> HttpConnector<H, S, C> {
    /// Returns the requests of all steps of `call`, whatever the answers would be.
    ///
    /// # Errors
    /// [`Failure`] when a request cannot be rendered.
    pub fn preview(&self, call: &Call<'_>) -> Result<Vec<RequestPreview>, Failure> {
        let (target, operation) = self.find(call)?;
        let mut variables = target.variables(call, &self.clock);
        for step in &operation.steps {
            for name in step.vars.keys().chain(step.capture.keys()) {
                variables.entry(name.clone()).or_insert_with(|| json!(format!("<{name}>")));
            }
        }
        let mut requests = Vec::new();
        for step in target.connector.auth.login.iter().chain(&operation.steps) {
            requests.push(self.preview_step(target, step, &variables)?);
        }
        Ok(requests)
    }

    fn preview_step(
        &self,
        target: &HttpTarget<H>,
        step: &Step,
        variables: &Map<String, Value>,
    ) -> Result<RequestPreview, Failure> {
        let auth = &target.connector.auth;
        let is_login = auth.is_login(step);
        let masked = self.masked(target);
        let given = template::context(variables);
        let unrenderable = |error| target.unrenderable(step, error);
        let context = if is_login { &masked } else { &given };
        let mut draft = step.render(&target.url, context).map_err(unrenderable)?;
        if !is_login {
            let session = auth::Session::default();
            auth.apply(&mut draft, &masked, &session, None).map_err(unrenderable)?;
        }
        let request = draft.into_request().map_err(unrenderable)?;
        let mut preview = RequestPreview::of(step, is_login, &request);
        let is_secret = |name: &str| {
            let template = auth.headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
            template.is_some_and(|(_, template)| !needs(template).unwrap_or_default().is_empty())
        };
        if !is_login {
            let secret = preview.headers.iter_mut().filter(|(name, _)| is_secret(name));
            secret.for_each(|(_, value)| MASK.clone_into(value));
        }
        Ok(preview)
    }

    /// Returns masked values for the templates of `auth`.
    fn masked(&self, target: &HttpTarget<H>) -> Context {
        let auth = &target.connector.auth;
        let secret: Map<String, Value> = auth.secret_keys().map(|key| (key, json!(MASK))).collect();
        let saved = auth.login.iter().flat_map(|login| login.capture.keys());
        let mut variables: Map<String, Value> =
            saved.map(|name| (name.clone(), json!(MASK))).collect();
        variables.insert("secret".to_owned(), Value::Object(secret));
        variables.insert("params".to_owned(), target.params.clone());
        variables.insert("random".to_owned(), json!("<random>"));
        variables.insert("now".to_owned(), self.clock.now().as_millis().into());
        template::context(&variables)
    }
}

impl fmt::Display for RequestPreview {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let separator = if self.step.is_empty() { "" } else { ": " };
        writeln!(f, "  {}{separator}{} {}", self.step, self.method, self.url)?;
        if let Some(when) = &self.when {
            writeln!(f, "    when {when}")?;
        }
        for (name, value) in &self.headers {
            writeln!(f, "    {name}: {value}")?;
        }
        if self.body.is_empty() { Ok(()) } else { writeln!(f, "    {}", self.body) }
    }
}

impl RequestPreview {
    fn of(step: &Step, is_login: bool, request: &http::Request<Bytes>) -> Self {
        let headers = request.headers().iter().map(|(name, value)| {
            let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
            (name.as_str().to_owned(), value)
        });
        let mut headers: Vec<_> = headers.collect();
        headers.sort();
        let name = if is_login { "login" } else { &step.name };
        Self {
            step: name.to_owned(),
            when: step.when.clone(),
            method: request.method().to_string(),
            url: request.uri().to_string(),
            headers,
            body: String::from_utf8_lossy(request.body()).into_owned(),
        }
    }
}
