//! Checks of a flow and its fields that need no connector.

use std::collections::BTreeMap;

use super::{
    DefaultProblem, FieldRule, Flow, FlowsError, GrantProblem, Kind, NotBound, Target, Tls,
    TlsProblem, WhenFull,
};
use crate::Decision;
use crate::request::is_identifier;
use crate::subject::{self, SubjectKind};
use crate::time::is_moment;

impl Flow {
    pub(super) fn check_against(&self, earlier: &[Self], errors: &mut Vec<FlowsError>) {
        if earlier.iter().any(|other| other.name == self.name) {
            errors.push(FlowsError::SameName(self.name.clone()));
        }
        let starts_alike = |other: &&Self| other.starts_with(&self.source, &self.definition_id);
        if let Some(first) = earlier.iter().find(starts_alike) {
            let (first, second) = (first.name.clone(), self.name.clone());
            errors.push(FlowsError::Unreachable { first, second });
        }
    }

    pub(super) fn check(&self, targets: &BTreeMap<String, Target>, errors: &mut Vec<FlowsError>) {
        let flow = || self.name.clone();
        if self.on == Decision::Revoked {
            errors.push(FlowsError::Revoked(flow()));
        }
        // A variable that could not be read has an error of its own.
        if !is_identifier(&self.definition_id) && !self.definition_id.contains("${") {
            errors.push(FlowsError::NoDefinition(flow()));
        }
        if self.actions.is_empty() {
            errors.push(FlowsError::Idle(flow()));
        }
        for (field, rule) in &self.fields {
            self.check_field(field, rule, errors);
        }
        let with_subjects = self.fields.iter().filter(|(_, rule)| rule.kind.subject().is_some());
        let with_subjects: Vec<&str> = with_subjects.map(|(name, _)| name.as_str()).collect();
        let targets: Vec<&str> = targets.keys().map(String::as_str).collect();
        for action in &self.actions {
            if !targets.contains(&action.target.as_str()) {
                let (name, known) = (action.target.clone(), targets.join(", "));
                errors.push(FlowsError::UnknownTarget { flow: flow(), name, known });
            }
            if let Some(field) = &action.for_each
                && !with_subjects.contains(&field.as_str())
            {
                let (name, known) = (field.clone(), with_subjects.join(", "));
                errors.push(FlowsError::UnknownField { flow: flow(), name, known });
            }
        }
        self.check_owner(errors);
        self.check_end(errors);
        self.check_limit(errors);
    }

    fn check_field(&self, field: &str, rule: &FieldRule, errors: &mut Vec<FlowsError>) {
        let names = || (self.name.clone(), field.to_owned());
        if !is_variable(field) || RESERVED.contains(&field) {
            let (flow, field) = names();
            errors.push(FlowsError::FieldName { flow, field, reserved: RESERVED.join(", ") });
        }
        if rule.from.is_empty() {
            let (flow, field) = names();
            errors.push(FlowsError::Nowhere { flow, field });
        }
        let has_subjects = rule.kind.subject().is_some() && self.has_subjects_in(field);
        if let Some(problem) = rule.default_problem(has_subjects) {
            let (flow, field) = names();
            errors.push(FlowsError::Default { flow, field, problem });
        }
        if has_subjects && rule.kind == Kind::Text && rule.pattern.is_none() {
            let (flow, field) = names();
            errors.push(FlowsError::NoPattern { flow, field });
        }
        if rule.utc_offset.is_some() && rule.kind != Kind::Date {
            let (flow, field) = names();
            let (key, kind) = ("utc_offset", "date");
            errors.push(FlowsError::OtherKind { flow, field, key, kind });
        }
        let of_kinds: [(_, _, &dyn SubjectKind); 2] = [
            ("random_mac", rule.random_mac.is_some(), &subject::MAC),
            ("pattern", rule.pattern.is_some(), &subject::TEXT),
        ];
        for (key, is_set, kind) in of_kinds {
            if is_set && !rule.kind.is(kind) {
                let ((flow, field), kind) = (names(), kind.name());
                errors.push(FlowsError::OtherKind { flow, field, key, kind });
            }
        }
    }

    fn check_owner(&self, errors: &mut Vec<FlowsError>) {
        let Some(owner) = &self.owner else { return };
        let flow = || self.name.clone();
        let is_person = |rule: &FieldRule| rule.kind.is(&subject::PERSON) && !rule.multiple;
        if !self.fields.get(owner).is_some_and(is_person) {
            errors.push(FlowsError::UnknownOwner { flow: flow(), name: owner.clone() });
            return;
        }
        if let Some((for_each, cause)) = self.unbound(owner) {
            let name = owner.clone();
            errors.push(FlowsError::UnboundOwner { flow: flow(), name, for_each, cause });
        }
    }

    /// The first subjects for which the field `name` has no value, and why.
    fn unbound(&self, name: &str) -> Option<(String, NotBound)> {
        self.actions.iter().find_map(|action| {
            // A person can be granted something himself.
            let for_each = action.for_each.as_ref().filter(|field| *field != name)?;
            Some((for_each.clone(), self.binds(action, name).err()?))
        })
    }

    fn check_end(&self, errors: &mut Vec<FlowsError>) {
        let (flow, rule) = (|| self.name.clone(), &self.grant);
        let needs_until =
            [("at_most", rule.at_most.is_some()), ("time_zone", rule.time_zone.is_some())];
        let needs_until = needs_until.into_iter().filter(|(_, is_set)| *is_set);
        let needs_until = needs_until.filter(|_| rule.until.is_none());
        let times = [("lasts", rule.lasts), ("at_most", rule.at_most)].into_iter();
        let no_time = times.filter(|(_, time)| time.is_some_and(|time| time.as_secs() == 0));
        let problems = (rule.until.is_some() && rule.lasts.is_some())
            .then_some(GrantProblem::TwoEnds)
            .into_iter()
            .chain(needs_until.map(|(key, _)| GrantProblem::NeedsUntil { key }))
            .chain(no_time.map(|(key, _)| GrantProblem::NoTime { key }));
        errors.extend(problems.map(|problem| FlowsError::Grant { flow: flow(), problem }));
        let Some(name) = &rule.until else { return };
        let is_date = |rule: &&FieldRule| rule.kind == Kind::Date && !rule.multiple;
        let Some(field) = self.fields.get(name).filter(is_date) else {
            errors.push(FlowsError::UnknownEnd { flow: flow(), name: name.clone() });
            return;
        };
        if field.optional && field.default.is_none() && rule.at_most.is_none() {
            errors.push(FlowsError::OpenEnd { flow: flow(), name: name.clone() });
        }
        if let Some((for_each, cause)) = self.unbound(name) {
            errors.push(FlowsError::UnboundEnd {
                flow: flow(),
                name: name.clone(),
                for_each,
                cause,
            });
        }
    }
}

/// The most subjects that a limit counts: all are looked at when it is reached.
const MAX_PER_OWNER: usize = 100;

impl Flow {
    fn check_limit(&self, errors: &mut Vec<FlowsError>) {
        let (flow, rule) = (|| self.name.clone(), &self.grant);
        let is_out = |most: usize| !(1..=MAX_PER_OWNER).contains(&most);
        if rule.per_owner.is_some_and(is_out) {
            let problem = GrantProblem::PerOwner { most: MAX_PER_OWNER };
            errors.push(FlowsError::Grant { flow: flow(), problem });
        }
        if rule.when_full == WhenFull::EndOldest && rule.per_owner.is_none() {
            let problem = GrantProblem::NeedsPerOwner;
            errors.push(FlowsError::Grant { flow: flow(), problem });
        }
        let Some(name) = &rule.replaces else { return };
        let is_subject = |rule: &&FieldRule| rule.kind.subject().is_some() && !rule.multiple;
        let field = self.fields.get(name).filter(is_subject);
        if field.is_none() || self.has_subjects_in(name) {
            errors.push(FlowsError::UnknownReplaced { flow: flow(), name: name.clone() });
        } else if let Some((for_each, cause)) = self.unbound(name) {
            let (flow, name) = (flow(), name.clone());
            errors.push(FlowsError::UnboundReplaced { flow, name, for_each, cause });
        }
    }
}

/// The variables of templates that are no fields.
const RESERVED: [&str; 9] = [
    "subject",
    "params",
    "now",
    "effect_id",
    "definition_id",
    "instance_id",
    "event_id",
    "applicant",
    "form_number",
];

fn is_variable(name: &str) -> bool {
    let mut bytes = name.bytes();
    bytes.next().is_some_and(|first| first.is_ascii_alphabetic())
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

impl Tls {
    pub(super) fn problem(&self, url: &str) -> Option<TlsProblem> {
        let pin = self.pin_sha256.as_ref()?;
        let digits = || pin.chars().filter(|c| *c != ':');
        if self.insecure {
            Some(TlsProblem::PinAndInsecure)
        } else if digits().count() != 64 || !digits().all(|digit| digit.is_ascii_hexdigit()) {
            Some(TlsProblem::Pin)
        } else if url.starts_with("http:") {
            Some(TlsProblem::PlainHttp)
        } else {
            None
        }
    }
}

impl FieldRule {
    /// The error in the default, if there is one: a form must be able to contain it.
    fn default_problem(&self, has_subjects: bool) -> Option<DefaultProblem> {
        let default = self.default.as_ref()?;
        if has_subjects {
            return Some(DefaultProblem::Subjects);
        }
        let fits = |value: &toml::Value| match self.kind {
            Kind::Number => value.is_integer() || value.as_float().is_some_and(f64::is_finite),
            Kind::Date => value.as_str().is_some_and(is_moment),
            Kind::Text | Kind::Choice => value.is_str(),
            Kind::Subject(kind) => {
                let is_canonical = |text: &str| kind.parse(text).is_ok_and(|value| value == text);
                value.as_str().is_some_and(is_canonical)
            }
        };
        let is_fit = match default {
            toml::Value::Array(values) if self.multiple => values.iter().all(fits),
            value => !self.multiple && fits(value),
        };
        match self.kind {
            _ if is_fit => None,
            _ if self.multiple => Some(DefaultProblem::List),
            Kind::Number => Some(DefaultProblem::Number),
            Kind::Date => Some(DefaultProblem::Date),
            Kind::Text | Kind::Choice => Some(DefaultProblem::Text),
            Kind::Subject(kind) => {
                Some(DefaultProblem::Kind { kind: kind.name(), example: kind.example() })
            }
        }
    }
}
