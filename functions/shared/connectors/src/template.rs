//! Templates and conditions: MiniJinja with a limit on the steps.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use greenlight_core::explain::Explain;
use minijinja::{Environment, UndefinedBehavior, Value as Context};
use serde_json::{Map, Value};
use thiserror::Error;

use crate::filters;

/// The most steps of a template, so that no form value can keep one running.
const FUEL: u64 = 20_000;

/// The longest condition, in bytes: the parser's stack grows with nested expressions.
const LONGEST_CONDITION: usize = 2_000;

/// For requests: an undefined value is an error.
static STRICT: LazyLock<Environment<'static>> =
    LazyLock::new(|| environment(UndefinedBehavior::Strict));

/// For answers, which may lack anything: an undefined value is empty.
static LENIENT: LazyLock<Environment<'static>> =
    LazyLock::new(|| environment(UndefinedBehavior::Chainable));

fn environment(undefined: UndefinedBehavior) -> Environment<'static> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(undefined);
    environment.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
    environment.set_fuel(Some(FUEL));
    filters::add_to(&mut environment);
    environment
}

/// A template that fails at run time. The error names the template, never a value.
#[derive(Debug, Error, Explain)]
#[explain("template_fails")]
#[error("the template {template:?} fails: {kind}")]
pub(crate) struct TemplateError {
    template: String,
    kind: minijinja::ErrorKind,
}

impl TemplateError {
    fn new(template: &str, kind: minijinja::ErrorKind) -> Self {
        Self { template: template.to_owned(), kind }
    }
}

/// Converts values for templates.
pub(crate) fn context(variables: &Map<String, Value>) -> Context {
    Context::from(minijinja::value::Serde(variables))
}

/// Returns the variables that a template uses, members included: `params.site`.
pub(crate) fn needs(template: &str) -> Result<BTreeSet<String>, minijinja::Error> {
    let names = match expression(template) {
        Some(expression) => STRICT.compile_expression(expression)?.undeclared_variables(true),
        None => STRICT.template_from_str(template)?.undeclared_variables(true),
    };
    Ok(names.into_iter().collect())
}

/// Returns the variables that a condition uses, members included.
pub(crate) fn condition_needs(condition: &str) -> Result<BTreeSet<String>, minijinja::Error> {
    if condition.len() > LONGEST_CONDITION {
        let text = "it is longer than 2,000 bytes";
        return Err(minijinja::Error::new(minijinja::ErrorKind::SyntaxError, text));
    }
    let names = STRICT.compile_expression(condition)?.undeclared_variables(true);
    Ok(names.into_iter().collect())
}

/// Returns the expression of a template that is only `{{ expression }}`.
fn expression(template: &str) -> Option<&str> {
    let inner = template.trim().strip_prefix("{{")?.strip_suffix("}}")?;
    (!inner.contains("{{") && !inner.contains("}}") && !inner.contains("{%")).then_some(inner)
}

/// Renders a template as text.
pub(crate) fn text(template: &str, context: &Context) -> Result<String, TemplateError> {
    if !template.contains('{') {
        return Ok(template.to_owned());
    }
    STRICT
        .template_from_str(template)
        .and_then(|compiled| compiled.render(context.clone()))
        .map_err(|error| TemplateError::new(template, error.kind()))
}

/// Renders a template; one that is only an expression keeps its type.
pub(crate) fn value(template: &str, context: &Context) -> Result<Value, TemplateError> {
    let Some(expression) = expression(template) else {
        return text(template, context).map(Value::String);
    };
    let value = evaluate(&STRICT, expression, context)?;
    if value.is_undefined() {
        return Err(TemplateError::new(template, minijinja::ErrorKind::UndefinedError));
    }
    json_of(template, value)
}

/// Renders a template over an answer: `null` for an undefined value.
pub(crate) fn value_of_answer(template: &str, context: &Context) -> Result<Value, TemplateError> {
    match expression(template) {
        Some(expression) => json_of(template, evaluate(&LENIENT, expression, context)?),
        None => LENIENT
            .template_from_str(template)
            .and_then(|compiled| compiled.render(context.clone()))
            .map(Value::String)
            .map_err(|error| TemplateError::new(template, error.kind())),
    }
}

/// Evaluates a condition; undefined is false.
pub(crate) fn holds(condition: &str, context: &Context) -> Result<bool, TemplateError> {
    evaluate(&LENIENT, condition, context).map(|value| value.is_true())
}

fn evaluate(
    environment: &Environment<'static>,
    expression: &str,
    context: &Context,
) -> Result<Context, TemplateError> {
    environment
        .compile_expression(expression)
        .and_then(|compiled| compiled.eval(context.clone()))
        .map_err(|error| TemplateError::new(expression, error.kind()))
}

fn json_of(template: &str, value: Context) -> Result<Value, TemplateError> {
    serde_json::to_value(value)
        .map_err(|_| TemplateError::new(template, minijinja::ErrorKind::BadSerialization))
}
