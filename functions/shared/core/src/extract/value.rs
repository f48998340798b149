//! The value of a field, by its kind, and the subjects in it.

use serde_json::Value;

use super::{MAX_SUBJECTS, Problem};
use crate::characters::says_nothing;
use crate::explain::Explanation;
use crate::flow::{FieldRule, Kind};
use crate::subject::{Check, Subject, SubjectKind};
use crate::time::is_moment;

/// Converts the texts of a field to a value of its kind.
pub(super) fn value(name: &str, rule: &FieldRule, texts: Vec<String>) -> Result<Value, Problem> {
    let field = || name.to_owned();
    if let Kind::Subject(kind) = rule.kind {
        return subject_value(name, rule, kind, &texts);
    }
    let one = |text: String| match rule.kind {
        Kind::Number => match text.trim().parse::<serde_json::Number>() {
            Ok(number) => Ok(Value::Number(number)),
            Err(_) => Err(Problem::NotNumber { field: field() }),
        },
        Kind::Date if is_moment(text.trim()) => Ok(Value::String(text.trim().to_owned())),
        Kind::Date => {
            let moment = rule.utc_offset.as_ref().and_then(|offset| offset.moment(&text));
            moment.map(Value::String).ok_or_else(|| Problem::NotDate { field: field() })
        }
        Kind::Text | Kind::Choice | Kind::Subject(_) => Ok(Value::String(text)),
    };
    if rule.multiple {
        return texts.into_iter().map(one).collect::<Result<_, _>>().map(Value::Array);
    }
    if rule.kind == Kind::Text {
        return Ok(Value::String(texts.join("\n")));
    }
    let mut texts = texts.into_iter();
    match (texts.next(), texts.next()) {
        (Some(only), None) => one(only),
        _ => Err(Problem::Several { field: field() }),
    }
}

/// The canonical value of a subject that an action uses beside its own.
fn subject_value(
    name: &str,
    rule: &FieldRule,
    kind: &'static dyn SubjectKind,
    texts: &[String],
) -> Result<Value, Problem> {
    let subjects = read_subjects(name, rule, kind, texts);
    if let Some(problem) = subjects.problems.into_iter().next() {
        return Err(problem);
    }
    let mut values = subjects.valid.iter().map(|subject| Value::String(subject.value().to_owned()));
    if rule.multiple {
        return Ok(Value::Array(values.collect()));
    }
    match (values.next(), values.next()) {
        (Some(only), None) => Ok(only),
        _ => Err(Problem::Several { field: name.to_owned() }),
    }
}

/// The subjects in some texts of a field.
#[derive(Debug, Default)]
pub(super) struct Subjects {
    /// Each once, in order.
    pub(super) valid: Vec<Subject>,
    pub(super) problems: Vec<Problem>,
    /// The number of entries, valid or not.
    pub(super) entries: usize,
    /// The warnings about valid ones.
    pub(super) warnings: Vec<Explanation>,
}

/// Reads all subjects in `texts`, up to [`MAX_SUBJECTS`] entries.
///
/// [`Problem::Empty`] if the texts say that nothing is filled in.
pub(super) fn read_subjects(
    name: &str,
    rule: &FieldRule,
    kind: &'static dyn SubjectKind,
    texts: &[String],
) -> Subjects {
    let field = || name.to_owned();
    let mut subjects = Subjects::default();
    let texts: Vec<_> = texts.iter().filter(|text| !says_nothing(text)).collect();
    if texts.is_empty() {
        subjects.problems.push(Problem::Empty { field: field() });
        return subjects;
    }
    let mut has_words_only = false;
    for text in texts {
        let found = kind.read(text, MAX_SUBJECTS + 1 - subjects.entries.min(MAX_SUBJECTS));
        has_words_only |= found.is_empty();
        for found in found {
            subjects.entries += 1;
            let (number, position) = (subjects.entries, found.position);
            let value = found.value.and_then(|value| match kind.check(&value, &rule.accepts()) {
                Check::Accepted => Ok((value, None)),
                Check::Warned(warning) => Ok((value, Some(warning))),
                Check::Rejected(error) => Err(error),
            });
            match value {
                Err(error) => {
                    subjects.problems.push(Problem::Entry {
                        field: field(),
                        number,
                        position,
                        error,
                    });
                }
                Ok((value, warning)) => {
                    let subject = Subject::of_canonical(kind, value);
                    if !subjects.valid.contains(&subject) {
                        subjects.warnings.extend(warning);
                        subjects.valid.push(subject);
                    }
                }
            }
        }
        if subjects.entries > MAX_SUBJECTS {
            let problems = vec![Problem::TooMany { field: field() }];
            return Subjects { problems, entries: subjects.entries, ..Subjects::default() };
        }
    }
    if has_words_only {
        subjects.problems.push(Problem::NoneFound { field: field(), kind: kind.name() });
    }
    subjects
}
