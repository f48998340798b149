//! The effects that an instance leads to by its flow, as data: the dry run prints it, the worker
//! executes it.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use serde_json::{Map, Value};

use super::error::WorkerError;
use crate::Timestamp;
use crate::explain::Explanation;
use crate::extract::{Extracted, OUTSIDE, Occurrence, Problem, extract};
use crate::failure::{Class, Failure};
use crate::flow::{Action, Flow, NoEnd};
use crate::instance::Instance;
use crate::ledger::{Effect, EffectKey, EffectKind};
use crate::ports::Conditions;
use crate::subject::Subject;

/// One effect of a plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlannedEffect<'a> {
    /// The target and its operation.
    pub action: &'a Action,
    /// What it is performed on; `None` for once per approval.
    pub subject: Option<Subject>,
    /// What the operation is.
    pub kind: EffectKind,
    /// The person who holds what is granted.
    pub owner: String,
    /// The applicant.
    pub applicant: String,
    /// When what is granted ends by itself; `None` if it does not.
    pub until: Option<Timestamp>,
    /// When the approval ended.
    pub approved_at: Timestamp,
    /// What the access replaces.
    pub replaces: Option<Subject>,
    /// The index of its values in the form.
    values: usize,
}

impl PlannedEffect<'_> {
    /// The key in the ledger.
    #[must_use]
    pub fn key(&self) -> EffectKey {
        EffectKey::new(&self.action.target, &self.action.operation, self.subject.as_ref())
    }
}

/// The effects of a flow for an instance, and the problems of its form.
#[derive(Clone, Debug)]
pub struct Plan<'a> {
    /// The effects, each once, in the order of the flow's actions.
    pub effects: Vec<PlannedEffect<'a>>,
    /// The problems of the form.
    pub problems: Vec<Problem>,
    /// All valid subjects of the form.
    pub subjects: BTreeSet<Subject>,
    /// The warnings about accepted subjects, one for each.
    pub warnings: Vec<Explanation>,
    /// The values about the instance.
    of_instance: Map<String, Value>,
    extracted: Extracted,
}

impl Plan<'_> {
    /// The values that templates may use for an effect of this plan, besides its subject.
    #[must_use]
    pub fn variables(&self, effect: &PlannedEffect<'_>) -> Map<String, Value> {
        let mut variables = self.extracted.all_values(effect.values);
        if let Some(field) = &effect.action.for_each {
            variables.remove(field);
        }
        variables.extend(self.of_instance.clone());
        if let Some(until) = effect.until {
            variables.insert(VALID_UNTIL.to_owned(), moment(until));
        }
        variables
    }
}

/// The variable with the end of access, for targets that have an end of their own.
pub const VALID_UNTIL: &str = "valid_until";

/// A moment as templates have it, in RFC 3339.
pub(super) fn moment(at: Timestamp) -> Value {
    let moment = jiff::Timestamp::from_millisecond(at.as_millis());
    moment.map_or(Value::Null, |moment| Value::String(moment.to_string()))
}

/// What a plan depends on besides flow and instance.
#[derive(Clone, Copy, Debug)]
pub struct PlanInput<'a> {
    /// The id of the event about the instance.
    pub event_id: &'a str,
    /// When the event was received: the end of the approval, where the source does not tell it.
    pub received_at: Timestamp,
    /// Now: access cannot end in the past.
    pub now: Timestamp,
    /// The effects that earlier attempts did: the end of their access may have passed since.
    pub recorded: &'a BTreeMap<EffectKey, Effect>,
}

/// Of a plan without earlier attempts.
pub const NOTHING_RECORDED: &BTreeMap<EffectKey, Effect> = &BTreeMap::new();

/// Plans the effects of `instance` by `flow`.
///
/// An action that uses a field which is filled in but unreadable is not planned: without that value
/// it could grant more than was requested, such as access without an end date. Later actions on the
/// same subjects at the same target are not planned either, as their order must be kept.
///
/// # Errors
/// [`Failure`] when a condition cannot be evaluated, or the ledger could not keep so many effects.
pub fn plan<'a>(
    flow: &'a Flow,
    instance: &Instance,
    input: PlanInput<'a>,
    conditions: &impl Conditions,
) -> Result<Plan<'a>, Failure> {
    let mut extracted = extract(flow, &instance.form);
    let problems = std::mem::take(&mut extracted.problems);
    let mut planner = Planner {
        flow,
        applicant: &instance.applicant,
        approved_at: instance.ended_at.unwrap_or(input.received_at),
        now: input.now,
        recorded: input.recorded,
        conditions,
        of_instance: of_instance(instance, input.event_id),
        extracted,
        known: HashMap::new(),
        problems,
    };
    let mut effects = Vec::new();
    let (mut keys, mut held_back) = (HashMap::new(), HashSet::new());
    let mut contradictory = HashSet::new();
    for action in &flow.actions {
        let uses = Uses::of(flow, action, conditions);
        for (subject, places) in planner.occurrences(action) {
            let at = (action.target.as_str(), subject.clone());
            match planner.decide(action, &uses, subject.as_ref(), &places)? {
                Decided::NotWanted => {}
                Decided::HeldBack => {
                    // The same effect, planned with the values of another field.
                    let (target, operation) = (&action.target, &action.operation);
                    contradictory.insert(EffectKey::new(target, operation, subject.as_ref()));
                    held_back.insert(at);
                }
                Decided::Wanted { .. } if held_back.contains(&at) => {}
                Decided::Wanted { values, owner, until } => {
                    let (kind, applicant) = (uses.kind, instance.applicant.clone());
                    let approved_at = planner.approved_at;
                    let replaces = planner.replaced(kind, values);
                    let effect = PlannedEffect {
                        action,
                        subject,
                        kind,
                        owner,
                        applicant,
                        until,
                        approved_at,
                        replaces,
                        values,
                    };
                    let key = effect.key();
                    // Two actions can be the same, for two fields with the same subject.
                    match keys.get(&key) {
                        None => {
                            keys.insert(key, effects.len());
                            effects.push(effect);
                        }
                        Some(&known) if planner.is_same_effect(&effects[known], &effect, &uses) => {
                        }
                        Some(_) => {
                            contradictory.insert(key);
                            held_back.insert(at);
                        }
                    }
                }
            }
        }
    }
    // What follows a contradictory effect waits for the correction, too.
    let mut blocked = HashSet::new();
    effects.retain(|effect| {
        let at = (effect.action.target.as_str(), effect.subject.clone());
        if contradictory.contains(&effect.key()) {
            blocked.insert(at.clone());
        }
        !blocked.contains(&at)
    });
    check_size(keys.keys())?;
    if effects.is_empty() && held_back.is_empty() {
        tracing::info!(flow = flow.name, "no action: no condition is true for any subject");
    }
    let Planner { of_instance, mut extracted, problems, .. } = planner;
    let subjects = extracted.subjects.values().flatten().map(|it| it.subject.clone()).collect();
    let warnings = std::mem::take(&mut extracted.warnings);
    Ok(Plan { effects, problems, subjects, warnings, of_instance, extracted })
}

/// `DynamoDB` allows 400 KB per item, and all effects of a request are in its item:
/// <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Constraints.html>.
/// The rest is for the other attributes of the request.
const MAX_BYTES_OF_EFFECTS: usize = 350_000;

/// The size of an effect in an item besides its keys: kind, outcome and time.
const BYTES_PER_EFFECT: usize = 80;

fn check_size<'a>(planned: impl ExactSizeIterator<Item = &'a EffectKey>) -> Result<(), Failure> {
    let effects = planned.len();
    // Once more if it failed before, and once more if its hold is not confirmed.
    let bytes = |key: &EffectKey| 3 * key.as_str().len() + BYTES_PER_EFFECT;
    if planned.map(bytes).sum::<usize>() <= MAX_BYTES_OF_EFFECTS {
        return Ok(());
    }
    let error = WorkerError::TooManyEffects { effects };
    Err(Failure::give_up(Class::InvalidForm, error))
}

/// The fields on which an action depends.
struct Uses<'a> {
    kind: EffectKind,
    /// Those of the conditions: whether it is performed.
    in_conditions: Vec<&'a str>,
    /// Those of its call, and the owner and the end of what it grants.
    in_call: Vec<&'a str>,
}

impl<'a> Uses<'a> {
    fn of(flow: &'a Flow, action: &Action, conditions: &impl Conditions) -> Self {
        let kind = conditions.kind(&action.target, &action.operation);
        let whens = || [&flow.when, &action.when].into_iter().flatten();
        let names = || flow.fields.keys().map(String::as_str);
        let names = || names().filter(|name| action.for_each.as_deref() != Some(name));
        let of_hold = [&flow.owner, &flow.grant.until, &flow.grant.replaces].map(Option::as_deref);
        let is_of_hold = |name: &str| kind == EffectKind::Grant && of_hold.contains(&Some(name));
        let in_conditions =
            names().filter(|name| whens().any(|when| conditions.condition_uses(when, name)));
        let in_call = names().filter(|name| {
            is_of_hold(name) || conditions.uses(&action.target, &action.operation, name)
        });
        Self { kind, in_conditions: in_conditions.collect(), in_call: in_call.collect() }
    }
}

/// What a plan does about an action and a subject.
enum Decided {
    /// A condition is false.
    NotWanted,
    /// It cannot be performed: a problem says why.
    HeldBack,
    Wanted {
        values: usize,
        owner: String,
        until: Option<Timestamp>,
    },
}

struct Planner<'a, C> {
    flow: &'a Flow,
    applicant: &'a str,
    approved_at: Timestamp,
    now: Timestamp,
    recorded: &'a BTreeMap<EffectKey, Effect>,
    conditions: &'a C,
    of_instance: Map<String, Value>,
    extracted: Extracted,
    /// The conditions that do not use the subject, by the index of the values.
    known: HashMap<(usize, &'a str), bool>,
    problems: Vec<Problem>,
}

impl<'a, C: Conditions> Planner<'a, C> {
    /// The subjects of an action, each once, with the places where the form has them.
    fn occurrences(&self, action: &Action) -> Vec<(Option<Subject>, Vec<usize>)> {
        let Some(field) = &action.for_each else { return vec![(None, vec![OUTSIDE])] };
        let mut subjects: Vec<(Option<Subject>, Vec<usize>)> = Vec::new();
        let mut numbers: BTreeMap<&Subject, usize> = BTreeMap::new();
        for Occurrence { subject, values } in
            self.extracted.subjects.get(field).into_iter().flatten()
        {
            let number = *numbers.entry(subject).or_insert_with(|| {
                subjects.push((Some(subject.clone()), Vec::new()));
                subjects.len() - 1
            });
            subjects[number].1.push(*values);
        }
        subjects
    }

    fn decide(
        &mut self,
        action: &'a Action,
        uses: &Uses<'_>,
        subject: Option<&Subject>,
        places: &[usize],
    ) -> Result<Decided, Failure> {
        let &[values, ..] = places else { return Ok(Decided::NotWanted) };
        let fields = || uses.in_conditions.iter().chain(&uses.in_call);
        let contradicts = fields().find(|name| !self.is_same_at_all(name, places));
        if let (Some(differs), Some(field), Some(subject)) =
            (contradicts, &action.for_each, subject)
        {
            self.report_contradiction(field, subject, differs, places);
            return Ok(Decided::HeldBack);
        }
        if !self.can_read(&uses.in_conditions, values) {
            return Ok(Decided::HeldBack);
        }
        for when in [&self.flow.when, &action.when].into_iter().flatten() {
            if !self.holds(when, &uses.in_conditions, subject, values)? {
                return Ok(Decided::NotWanted);
            }
        }
        if !self.can_read(&uses.in_call, values) {
            return Ok(Decided::HeldBack);
        }
        let owner = self.flow.owner.as_deref().filter(|_| uses.kind == EffectKind::Grant);
        let owner = owner.and_then(|owner| match subject {
            Some(subject) if action.for_each.as_deref() == Some(owner) => Some(subject.value()),
            _ => self.extracted.place_of(owner, values)?.values.get(owner)?.as_str(),
        });
        let owner = owner.unwrap_or(self.applicant).to_owned();
        if uses.kind != EffectKind::Grant {
            return Ok(Decided::Wanted { values, owner, until: None });
        }
        let key = EffectKey::new(&action.target, &action.operation, subject);
        match self.end_of_access(values) {
            Err(NoEnd::Past) if self.recorded.contains_key(&key) => {
                Ok(Decided::Wanted { values, owner, until: None })
            }
            Ok(until) => Ok(Decided::Wanted { values, owner, until }),
            Err(problem) => {
                let row = self.extracted.values.get(values).and_then(|values| values.row);
                self.report(Problem::from(problem).in_row(row));
                Ok(Decided::HeldBack)
            }
        }
    }

    /// The subject that is replaced: the form can leave it out.
    fn replaced(&self, kind: EffectKind, values: usize) -> Option<Subject> {
        let field = self.flow.grant.replaces.as_deref().filter(|_| kind == EffectKind::Grant)?;
        let value = self.extracted.place_of(field, values)?.values.get(field)?.as_str()?;
        let kind = self.flow.fields.get(field)?.kind.subject()?;
        Subject::of_key(&format!("{}:{value}", kind.name()))
    }

    fn end_of_access(&self, values: usize) -> Result<Option<Timestamp>, NoEnd> {
        let rule = &self.flow.grant;
        let date = rule
            .until
            .as_deref()
            .and_then(|field| self.extracted.place_of(field, values)?.values.get(field)?.as_str());
        rule.end(date, self.approved_at, self.now)
    }

    /// Whether two effects with one key have the same values, as far as their call uses them. If
    /// not, that is reported.
    fn is_same_effect(
        &mut self,
        first: &PlannedEffect<'_>,
        second: &PlannedEffect<'_>,
        uses: &Uses<'_>,
    ) -> bool {
        let places = [first.values, second.values];
        let differs = uses.in_call.iter().find(|name| !self.is_same_at_all(name, &places));
        let differs = differs.copied().or((first.owner != second.owner).then_some("owner"));
        if let (Some(differs), Some(field), Some(subject)) =
            (differs, &second.action.for_each, &second.subject)
        {
            self.report_contradiction(field, subject, differs, &places);
            return false;
        }
        true
    }

    fn report_contradiction(
        &mut self,
        field: &str,
        subject: &Subject,
        differs: &str,
        places: &[usize],
    ) {
        let rows = places.iter().filter_map(|&place| self.extracted.values.get(place)?.row);
        let rows = rows.map(|row| row.to_string()).collect::<Vec<_>>().join(", ");
        self.report(Problem::Contradiction {
            field: field.to_owned(),
            kind: subject.kind().name(),
            differs: differs.to_owned(),
            rows,
        });
    }

    fn report(&mut self, problem: Problem) {
        if !self.problems.contains(&problem) {
            self.problems.push(problem);
        }
    }

    /// Whether a field has one value at all these places.
    fn is_same_at_all(&self, name: &str, places: &[usize]) -> bool {
        let at = |place: usize| {
            let at = self.extracted.place_of(name, place);
            at.map(|at| (at.values.get(name), at.unreadable.contains(name)))
        };
        places.windows(2).all(|two| at(two[0]) == at(two[1]))
    }

    /// Whether all these fields can be read at `values`; reports problems that matter on use.
    fn can_read(&mut self, names: &[&str], values: usize) -> bool {
        let mut can_read = true;
        for name in names {
            let Some(place) = self.extracted.place_of(name, values) else { continue };
            can_read &= !place.unreadable.contains(*name);
            if let Some(problem) = place.problems_on_use.get(*name).cloned() {
                can_read = false;
                self.report(problem);
            }
        }
        can_read
    }

    fn holds(
        &mut self,
        when: &'a str,
        names: &[&str],
        subject: Option<&Subject>,
        values: usize,
    ) -> Result<bool, Failure> {
        let subject =
            subject.filter(|_| self.conditions.condition_uses(when, crate::subject::VARIABLE));
        if let (None, Some(known)) = (subject, self.known.get(&(values, when))) {
            return Ok(*known);
        }
        let mut variables = self.of_instance.clone();
        for name in names {
            let place = self.extracted.place_of(name, values);
            if let Some(value) = place.and_then(|place| place.values.get(*name)) {
                variables.insert((*name).to_owned(), value.clone());
            }
        }
        if let Some(subject) = subject {
            let value = Value::String(subject.value().to_owned());
            variables.insert(crate::subject::VARIABLE.to_owned(), value);
        }
        let holds = self.conditions.holds(when, &variables)?;
        if subject.is_none() {
            self.known.insert((values, when), holds);
        }
        Ok(holds)
    }
}

/// The values about the instance for templates and conditions.
fn of_instance(instance: &Instance, event_id: &str) -> Map<String, Value> {
    let values = [
        ("definition_id", instance.definition_id.as_str()),
        ("instance_id", &instance.instance_id),
        ("event_id", event_id),
        ("applicant", &instance.applicant),
        ("form_number", &instance.form_number),
    ];
    let value = |(name, value): (&str, &str)| (name.to_owned(), Value::String(value.to_owned()));
    values.into_iter().map(value).collect()
}
