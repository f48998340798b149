//! Checks that need no request.

use std::collections::BTreeSet;

use greenlight_core::flow::{self, Action, Flow};
use greenlight_core::ledger::EffectKind;

use super::auth;
use super::connector::{Connector, Operation, Step, strings};
use super::limits::MAX_CONCURRENCY;
use crate::connector::{
    BEFORE_READ, CheckProblem, ConnectorError, DOCUMENT, OF_CALL, ReadProblem, Revocable,
    SessionProblem, always_there, check_end, check_formats, check_kind, check_name, check_needs,
    check_params, params, read, unknown_operation, variable,
};
use crate::template::{condition_needs, needs};

/// Variables that only templates over an answer may use.
const OF_ANSWER: [&str; 3] = ["answer", "status", "headers"];

impl Connector {
    /// Parses a connector file and checks its templates.
    ///
    /// # Errors
    /// [`ConnectorError`] with the line, or with the template that does not compile.
    pub fn parse(name: &str, text: &str) -> Result<Self, ConnectorError> {
        let connector: Self = read(name, text)?;
        check_formats(name, &connector.formats)?;
        for (operation_name, operation) in &connector.operations {
            check_name(name, operation_name)?;
            if operation.steps.is_empty() {
                let (connector, operation) = (name.to_owned(), operation_name.clone());
                return Err(ConnectorError::NoStep { connector, operation });
            }
            for step in &operation.steps {
                connector.check_step(name, operation_name, step)?;
            }
        }
        for (operation_name, operation) in &connector.operations {
            let revoked_by = operation.revoked_by.as_deref();
            let revoking = revoked_by.and_then(|name| connector.operations.get(name));
            let needs = |it: &Operation| it.needs(OF_CALL.into_iter().chain(OF_ANSWER));
            let revoking = revoking.map(|it| (it.effect, needs(it)));
            connector.check_check(name, operation_name, operation)?;
            connector.check_session(name, operation_name, operation)?;
            let (operation, effect) = (operation_name.as_str(), operation.effect);
            let revocable = Revocable { connector: name, operation, effect, revoked_by };
            revocable.check(revoking, &connector.optional)?;
        }
        connector.check_auth(name)?;
        if connector.limits.concurrency > MAX_CONCURRENCY {
            return Err(ConnectorError::Concurrency {
                connector: name.to_owned(),
                asked: connector.limits.concurrency,
            });
        }
        Ok(connector)
    }

    /// Checks that `action` names an operation and that `flow` defines all its variables.
    pub(crate) fn check(&self, flow: &Flow, action: &Action) -> Result<(), ConnectorError> {
        let operation = self
            .operations
            .get(&action.operation)
            .ok_or_else(|| unknown_operation(flow, action, self.operations.keys()))?;
        check_kind(flow, action, operation.effect)?;
        check_end(flow, action, operation.effect, operation.revoked_by.as_deref())?;
        check_needs(flow, action, operation.effect, operation.needs_of_flow(), &self.optional)
    }

    /// Checks that `operation` reads a document, for a source whose instances are read with it.
    pub(crate) fn check_read(&self, target: &str, operation: &str) -> Result<(), ReadProblem> {
        let name = || operation.to_owned();
        let Some(found) = self.operations.get(operation) else {
            let known = self.operations.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
            let target = target.to_owned();
            return Err(ReadProblem::NoOperation { target, operation: name(), known });
        };
        if self.limits.exclusive {
            return Err(ReadProblem::Exclusive { target: target.to_owned() });
        }
        if found.effect != EffectKind::Read {
            return Err(ReadProblem::NotARead { operation: name(), kind: found.effect });
        }
        if !found.steps.iter().any(|step| step.capture.contains_key(DOCUMENT)) {
            return Err(ReadProblem::NoDocument { operation: name() });
        }
        let is_given = |variable: &str| {
            BEFORE_READ.contains(&variable)
                || OF_CALL.contains(&variable)
                || self.optional.iter().any(|optional| optional == variable)
        };
        let needed = found.needs(OF_CALL.into_iter().chain(OF_ANSWER));
        match needed.into_iter().find(|variable| !is_given(variable)) {
            None => Ok(()),
            Some(variable) => Err(ReadProblem::Variable { operation: name(), variable }),
        }
    }

    /// Returns all errors of a target of this connector.
    pub(crate) fn check_target(&self, name: &str, target: &flow::Target) -> Vec<ConnectorError> {
        let url = base_url(name, &target.url).err();
        url.into_iter().chain(params(name, target, &self.params).err()).collect()
    }

    fn check_step(&self, name: &str, operation: &str, step: &Step) -> Result<(), ConnectorError> {
        let bodies = [step.json.is_some(), step.form.is_some(), step.xml.is_some()];
        if bodies.into_iter().filter(|is_there| *is_there).count() > 1 {
            let (connector, operation) = (name.to_owned(), operation.to_owned());
            return Err(ConnectorError::Bodies { connector, operation });
        }
        let needed = step.needs().map_err(|(template, problem)| ConnectorError::Template {
            connector: name.to_owned(),
            operation: operation.to_owned(),
            template,
            problem: problem.to_string(),
        })?;
        check_params(name, &self.params, &needed)
    }

    /// Checks that `check` is of a granting operation, and names one that reads, with nothing that
    /// the granting one does not have.
    fn check_check(
        &self,
        name: &str,
        operation: &str,
        it: &Operation,
    ) -> Result<(), ConnectorError> {
        let Some(check) = &it.check else { return Ok(()) };
        let reads = self.operations.get(check).filter(|found| found.effect == EffectKind::Read);
        let is_given = |needed: &String| it.uses(needed) || self.optional.contains(needed);
        let problem = match reads {
            _ if it.effect != EffectKind::Grant => CheckProblem::NotAGrant,
            None => CheckProblem::NotARead { name: check.clone() },
            Some(reads) => {
                let needed = reads.needs(always_there().chain(OF_ANSWER));
                match needed.into_iter().find(|needed| !is_given(needed)) {
                    None => return Ok(()),
                    Some(variable) => CheckProblem::Variable { name: check.clone(), variable },
                }
            }
        };
        let (connector, operation) = (name.to_owned(), operation.to_owned());
        Err(ConnectorError::Check { connector, operation, problem })
    }

    /// Checks that `session` is of a revoking operation, and a template over what it has.
    fn check_session(
        &self,
        name: &str,
        operation: &str,
        it: &Operation,
    ) -> Result<(), ConnectorError> {
        let Some(template) = &it.session else { return Ok(()) };
        let names = || (name.to_owned(), operation.to_owned());
        let needed = needs(template).map_err(|problem| {
            let ((connector, operation), template) = (names(), template.clone());
            ConnectorError::Template {
                connector,
                operation,
                template,
                problem: problem.to_string(),
            }
        })?;
        check_params(name, &self.params, &needed)?;
        let is_captured = |variable: &str| {
            it.steps.iter().any(|step| step.capture.contains_key(variable)) || variable == "params"
        };
        let unknown = needed.iter().map(|needed| variable(needed)).find(|it| !is_captured(it));
        let is_word = ["ended", "may_last"].contains(&template.as_str());
        let problem = match unknown {
            _ if it.effect != EffectKind::Revoke => SessionProblem::NotARevoke,
            Some(variable) => SessionProblem::NotCaptured { variable: variable.to_owned() },
            None if is_word || template.contains("{{") => return Ok(()),
            None => SessionProblem::NoWord,
        };
        let (connector, operation) = names();
        Err(ConnectorError::Session { connector, operation, problem })
    }

    fn check_auth(&self, name: &str) -> Result<(), ConnectorError> {
        let auth = &self.auth;
        let saved: BTreeSet<&str> =
            auth.login.iter().flat_map(|login| login.capture.keys()).map(String::as_str).collect();
        let mut needed = BTreeSet::new();
        let does_not_compile =
            |template: &str, problem: minijinja::Error| ConnectorError::Template {
                connector: name.to_owned(),
                operation: "auth".to_owned(),
                template: template.to_owned(),
                problem: problem.to_string(),
            };
        for template in auth.templates() {
            needed.extend(needs(template).map_err(|error| does_not_compile(template, error))?);
        }
        if let Some(login) = &auth.login {
            self.check_step(name, "auth.login", login)?;
        }
        if let Some(template) = &auth.expires_in {
            needs(template).map_err(|error| does_not_compile(template, error))?;
        }
        if let Some(condition) = &auth.unauthorized_when {
            condition_needs(condition).map_err(|error| does_not_compile(condition, error))?;
        }
        let is_there = |needed: &String| {
            let variable = variable(needed);
            auth::ALWAYS_THERE.contains(&variable) || saved.contains(variable)
        };
        if let Some(unknown) = needed.iter().find(|needed| !is_there(needed)) {
            let (connector, variable) = (name.to_owned(), unknown.clone());
            return Err(ConnectorError::UnknownInAuth { connector, variable });
        }
        check_params(name, &self.params, &needed)
    }
}

impl Step {
    /// Returns whether evaluating an answer of this status needs the answer's body.
    pub(super) fn reads_answer(&self, status: u16) -> bool {
        let is_read = |needed: BTreeSet<String>| needed.iter().any(|it| variable(it) == "answer");
        let rules = self.outcomes.iter().filter(|rule| rule.is_for(status));
        // A rule without a condition always matches, so that later rules are not evaluated.
        let mut conditions = rules.map_while(|rule| rule.when.as_ref());
        // All of them were compiled before.
        self.capture.values().any(|template| is_read(needs(template).unwrap_or_default()))
            || conditions.any(|condition| is_read(condition_needs(condition).unwrap_or_default()))
    }

    /// Returns the variables of its templates and conditions, members included; an error names the
    /// one that does not compile.
    fn needs(&self) -> Result<BTreeSet<String>, (String, minijinja::Error)> {
        let mut needed = BTreeSet::new();
        let mut templates = self.templates();
        self.vars.values().for_each(|value| strings(value, &mut templates));
        templates.extend(self.capture.values().map(String::as_str));
        for template in templates {
            needed.extend(needs(template).map_err(|error| (template.to_owned(), error))?);
        }
        let conditions = self.outcomes.iter().filter_map(|rule| rule.when.as_ref());
        for condition in conditions.chain(&self.when) {
            needed.extend(condition_needs(condition).map_err(|error| (condition.clone(), error))?);
        }
        Ok(needed)
    }
}

impl Operation {
    /// Returns whether a template or condition of a step uses this variable.
    pub(super) fn uses(&self, name: &str) -> bool {
        let of_step = |step: &Step| step.needs().unwrap_or_default(); // Compiled before.
        self.steps.iter().flat_map(of_step).any(|needed| variable(&needed) == name)
    }

    /// Returns the variables that the flow must define: all used ones that are neither built in nor
    /// captured.
    pub(crate) fn needs_of_flow(&self) -> BTreeSet<String> {
        self.needs(always_there().chain(OF_ANSWER))
    }

    /// Returns the variables that its templates use and that are neither `given` nor captured by an
    /// earlier step.
    fn needs(&self, given: impl Iterator<Item = &'static str>) -> BTreeSet<String> {
        let mut given: BTreeSet<&str> = given.collect();
        let mut needed = BTreeSet::new();
        for step in &self.steps {
            given.extend(step.vars.keys().chain(step.capture.keys()).map(String::as_str));
            let of_step = step.needs().unwrap_or_default(); // Compiled before.
            let missing = of_step.iter().map(|needed| variable(needed));
            needed.extend(missing.filter(|name| !given.contains(name)).map(str::to_owned));
        }
        needed
    }
}

/// Returns the URL of a target, without a trailing slash.
pub(super) fn base_url(target: &str, url: &str) -> Result<String, ConnectorError> {
    let is_base = |uri: &http::Uri| {
        matches!(uri.scheme_str(), Some("http" | "https"))
            && uri.query().is_none()
            && uri.authority().is_some_and(|authority| !authority.as_str().contains('@'))
    };
    match url.parse::<http::Uri>() {
        _ if flow::is_stand_in(url) => Ok(url.to_owned()),
        Ok(uri) if is_base(&uri) => Ok(url.trim_end_matches('/').to_owned()),
        _ => Err(ConnectorError::BadUrl(target.to_owned())),
    }
}
