//! Reads the fields of a flow from a form: the subjects outside of tables, then row by row, and at
//! last the values outside of tables.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::cells::{self, Table};
use super::problem::Problem;
use super::value::{Subjects, read_subjects, value};
use super::{Extracted, MAX_SUBJECTS, OUTSIDE, Occurrence, Values};
use crate::characters::says_nothing;
use crate::flow::{FieldRule, Flow, Kind};
use crate::form::{Field, Form};
use crate::subject::SubjectKind;

/// A field with the subjects of an action.
#[derive(Clone, Copy)]
struct List<'a> {
    name: &'a str,
    rule: &'a FieldRule,
    kind: &'static dyn SubjectKind,
}

/// How much was found of a [`List`].
#[derive(Default)]
struct Seen {
    /// The form has one of its places.
    has_cells: bool,
    /// Something is filled in.
    is_filled: bool,
    entries: usize,
}

/// The value of a field at one place.
enum Reading {
    Value(Value),
    /// The form leaves it out.
    Missing(Problem),
    Bad(Problem),
}

pub(super) struct Reader<'a> {
    flow: &'a Flow,
    form: &'a Form,
    lists: Vec<List<'a>>,
    seen: BTreeMap<&'a str, Seen>,
    /// The values outside of tables, of columns left out.
    outside: BTreeMap<&'a str, Reading>,
    /// The fields for which a row has the value outside of tables.
    relied_on: BTreeSet<&'a str>,
    extracted: Extracted,
}

impl<'a> Reader<'a> {
    pub(super) fn new(flow: &'a Flow, form: &'a Form) -> Self {
        let lists = flow.fields.iter().filter(|(name, _)| flow.has_subjects_in(name));
        let lists =
            lists.filter_map(|(name, rule)| Some(List { name, rule, kind: rule.kind.subject()? }));
        let outside = flow.fields.iter().map(|(name, rule)| {
            let cells = cells::outside(form, name, rule);
            let texts = cells.and_then(|cells| cells::texts(name, rule, cells));
            (name.as_str(), reading(name, rule, texts))
        });
        let extracted = Extracted { values: vec![Values::default()], ..Extracted::default() };
        Self {
            flow,
            form,
            lists: lists.collect(),
            seen: BTreeMap::new(),
            outside: outside.collect(),
            relied_on: BTreeSet::new(),
            extracted,
        }
    }

    pub(super) fn read(mut self) -> Extracted {
        let mut is_used = self.flow.actions.iter().any(|action| action.for_each.is_none());
        for (list, subjects) in self.outside() {
            is_used |= subjects.entries > 0;
            self.take(list, subjects, OUTSIDE);
        }
        for table in self.tables() {
            self.read_rows(&table);
        }
        self.report_missing();
        is_used |= self.extracted.values.len() == 1;
        self.read_values_outside(is_used);
        self.extracted
    }

    /// The subjects outside of tables.
    fn outside(&mut self) -> Vec<(List<'a>, Subjects)> {
        let form = self.form;
        let texts = self.lists.clone().into_iter().filter_map(|list| {
            let cells = cells::outside(form, list.name, list.rule);
            let texts = cells.and_then(|cells| cells::texts(list.name, list.rule, cells));
            Some((list, self.filled(list, texts, None)?))
        });
        let texts: Vec<_> = texts.collect();
        let read = |(list, texts): (List<'a>, Vec<String>)| {
            (list, read_subjects(list.name, list.rule, list.kind, &texts))
        };
        texts.into_iter().map(read).collect()
    }

    /// The texts of a list that are filled in, if there are any.
    fn filled(
        &mut self,
        list: List<'a>,
        texts: Result<Vec<String>, Problem>,
        row: Option<usize>,
    ) -> Option<Vec<String>> {
        let seen = self.seen.entry(list.name).or_default();
        seen.has_cells |= !matches!(texts, Err(Problem::Absent { .. }));
        match texts {
            Ok(texts) if texts.iter().all(|text| says_nothing(text)) => None,
            Ok(texts) => {
                seen.is_filled = true;
                Some(texts)
            }
            Err(problem) if problem.is_missing() => None,
            Err(problem) => {
                seen.is_filled = true;
                self.report([problem.in_row(row)]);
                None
            }
        }
    }

    /// Adds subjects that have the values with this index.
    fn take(&mut self, list: List<'a>, subjects: Subjects, values: usize) {
        let row = self.extracted.values.get(values).and_then(|values| values.row);
        let seen = self.seen.entry(list.name).or_default();
        seen.entries += subjects.entries;
        if seen.entries > MAX_SUBJECTS {
            self.extracted.subjects.remove(list.name);
            self.report([Problem::TooMany { field: list.name.to_owned() }]);
            return;
        }
        self.extracted.warnings.extend(subjects.warnings);
        let occurrences = self.extracted.subjects.entry(list.name.to_owned()).or_default();
        let occurrence = |subject| Occurrence { subject, values };
        occurrences.extend(subjects.valid.into_iter().map(occurrence));
        self.report(subjects.problems.into_iter().map(|problem| problem.in_row(row)));
    }

    /// Adds problems, each once: a field outside of tables holds for many rows.
    fn report(&mut self, problems: impl IntoIterator<Item = Problem>) {
        for problem in problems {
            if !self.extracted.problems.contains(&problem) {
                self.extracted.problems.push(problem);
            }
        }
    }

    /// The tables with subjects, each once.
    fn tables(&self) -> Vec<Table<'a>> {
        let mut tables = Vec::new();
        for table in self.lists.iter().flat_map(|list| cells::tables(self.form, list.rule)) {
            if !tables.contains(&table) {
                tables.push(table);
            }
        }
        tables
    }

    /// The lists that have not too many entries already.
    fn open_lists(&self) -> Vec<List<'a>> {
        let is_open = |list: &&List<'_>| {
            self.seen.get(list.name).is_none_or(|seen| seen.entries <= MAX_SUBJECTS)
        };
        self.lists.iter().filter(is_open).copied().collect()
    }

    fn read_rows(&mut self, table: &Table<'a>) {
        let of_table = |list: &List<'_>| table.is_read_by(self.form, list.rule);
        let of_table: Vec<_> = self.lists.iter().copied().filter(of_table).collect();
        let mut filled = 0;
        for (number, row) in (1..).zip(table.rows) {
            let is_filled = self.is_filled(table, row);
            filled += usize::from(is_filled);
            // Rows without content cost time, too.
            if filled > MAX_SUBJECTS || number > 10 * MAX_SUBJECTS {
                // What is behind the last row that is read is not known.
                for list in of_table {
                    let entries = MAX_SUBJECTS + 1;
                    self.take(list, Subjects { entries, ..Subjects::default() }, OUTSIDE);
                }
                return;
            }
            if is_filled {
                self.read_row(table, number, row);
            }
        }
    }

    /// Whether something is filled in that the flow reads.
    fn is_filled(&self, table: &Table<'a>, row: &'a [Field]) -> bool {
        self.flow.fields.iter().any(|(name, rule)| {
            let cells = cells::in_row(self.form, rule, table, row);
            !cells.is_empty()
                && match cells::texts(name, rule, cells) {
                    Ok(texts) => !texts.iter().all(|text| says_nothing(text)),
                    Err(problem) => !problem.is_missing(),
                }
        })
    }

    /// Reads a row in which something is filled in: so must be its subjects.
    fn read_row(&mut self, table: &Table<'a>, number: usize, row: &'a [Field]) {
        let mut entries = Vec::new();
        let mut has_subject = false;
        let mut missing = Vec::new();
        for list in self.open_lists() {
            if !table.is_read_by(self.form, list.rule) {
                continue;
            }
            let cells = cells::in_row(self.form, list.rule, table, row);
            let texts = cells::texts(list.name, list.rule, cells);
            let is_unreadable = texts.as_ref().is_err_and(|problem| !problem.is_missing());
            match self.filled(list, texts, Some(number)) {
                Some(texts) => entries.push((list, texts)),
                None if is_unreadable => has_subject = true,
                None => missing.push(list),
            }
        }
        has_subject |= !entries.is_empty();
        for list in missing {
            // An optional list may be left out in a row with another subject.
            if !has_subject || !list.rule.may_be_left_out() {
                self.report([Problem::Empty { field: list.name.to_owned() }.in_row(Some(number))]);
            }
        }
        if !has_subject {
            return;
        }
        let index = self.extracted.values.len();
        let (values, problems) = self.values_in(table, number, row);
        self.extracted.values.push(values);
        for (list, texts) in entries {
            let subjects = read_subjects(list.name, list.rule, list.kind, &texts);
            self.take(list, subjects, index);
        }
        self.report(problems);
    }

    /// Reports the fields with subjects that are not filled in anywhere.
    fn report_missing(&mut self) {
        for List { name, rule, .. } in self.lists.clone() {
            let seen = self.seen.entry(name).or_default();
            let field = name.to_owned();
            if seen.is_filled || rule.may_be_left_out() {
            } else if seen.has_cells {
                self.report([Problem::Empty { field }]);
            } else if let Err(absent) = cells::texts(name, rule, Vec::new()) {
                self.report([absent]);
            }
        }
    }

    /// Reads the values outside of tables; a `multiple` field has those of all rows, too. Reports
    /// the problems of what is used there, or in a row.
    fn read_values_outside(&mut self, is_used: bool) {
        let mut values = Values::default();
        for (name, rule) in &self.flow.fields {
            let tables = cells::tables(self.form, rule);
            let read = self.outside.remove(name.as_str());
            let read = match read {
                Some(read) if tables.is_empty() || !rule.multiple => read,
                _ => reading(name, rule, self.texts_of_all_rows(name, rule, &tables)),
            };
            let problem = values.add(self.flow, name, rule, read);
            let is_used = is_used || self.relied_on.contains(name.as_str());
            self.report(problem.filter(|_| is_used));
        }
        self.extracted.values[OUTSIDE] = values;
    }

    fn texts_of_all_rows(
        &self,
        name: &str,
        rule: &FieldRule,
        tables: &[Table<'_>],
    ) -> Result<Vec<String>, Problem> {
        let mut cells = cells::outside(self.form, name, rule)?;
        for table in tables {
            let rows = table.rows.iter();
            cells.extend(rows.flat_map(|row| cells::in_row(self.form, rule, table, row)));
        }
        cells::texts(name, rule, cells)
    }

    /// Reads the values that fields have in a row, and their problems. A field without a value
    /// there has the one outside of tables.
    fn values_in(
        &mut self,
        table: &Table<'a>,
        number: usize,
        row: &'a [Field],
    ) -> (Values, Vec<Problem>) {
        let mut values = Values { row: Some(number), ..Values::default() };
        let mut problems = Vec::new();
        for (name, rule) in &self.flow.fields {
            let is_in_table = table.is_read_by(self.form, rule);
            let cells = cells::in_row(self.form, rule, table, row);
            let read = match reading(name, rule, cells::texts(name, rule, cells)) {
                Reading::Missing(_) if !is_in_table => None,
                Reading::Missing(problem) => match self.outside.get(name.as_str()) {
                    // A `multiple` field has the values of all rows outside of tables.
                    Some(Reading::Value(value)) if rule.multiple => {
                        Some(Reading::Value(value.clone()))
                    }
                    Some(Reading::Value(_) | Reading::Bad(_)) => None,
                    _ => Some(Reading::Missing(problem.in_row(Some(number)))),
                },
                Reading::Bad(problem) => Some(Reading::Bad(problem.in_row(Some(number)))),
                value @ Reading::Value(_) => Some(value),
            };
            match read {
                Some(read) => problems.extend(values.add(self.flow, name, rule, read)),
                None => {
                    self.relied_on.insert(name);
                }
            }
        }
        (values, problems)
    }
}

impl Values {
    /// Adds what was read of a field. Returns the problem, if it has one in any case.
    fn add(&mut self, flow: &Flow, name: &str, rule: &FieldRule, read: Reading) -> Option<Problem> {
        // A column is left out where there is no row: a problem only for an action that uses it
        // there.
        let is_elsewhere = self.row.is_none() && rule.from.iter().all(|it| it.column.is_some());
        let is_missing = matches!(read, Reading::Missing(_));
        let problem = match read {
            Reading::Value(value) => {
                self.values.insert(name.to_owned(), value);
                return None;
            }
            Reading::Missing(_) if rule.may_be_left_out() => {
                let default = rule.default.as_ref();
                let default = default.and_then(|default| serde_json::to_value(default).ok());
                self.values.insert(name.to_owned(), default.unwrap_or_default());
                return None;
            }
            Reading::Missing(problem) | Reading::Bad(problem) => problem,
        };
        if flow.has_subjects_in(name) || (is_elsewhere && is_missing) {
            self.problems_on_use.insert(name.to_owned(), problem);
            None
        } else {
            self.unreadable.insert(name.to_owned());
            Some(problem)
        }
    }
}

fn reading(name: &str, rule: &FieldRule, texts: Result<Vec<String>, Problem>) -> Reading {
    let is_nothing = |texts: &[String]| {
        matches!(rule.kind, Kind::Subject(_)) && texts.iter().all(|text| says_nothing(text))
    };
    match texts {
        Ok(texts) if is_nothing(&texts) => {
            Reading::Missing(Problem::Empty { field: name.to_owned() })
        }
        Ok(texts) => value(name, rule, texts).map_or_else(Reading::Bad, Reading::Value),
        Err(problem) if problem.is_missing() => Reading::Missing(problem),
        Err(problem) => Reading::Bad(problem),
    }
}

impl FieldRule {
    const fn may_be_left_out(&self) -> bool {
        self.optional || self.default.is_some()
    }
}
