//! Templates and conditions: MiniJinja, with bounded steps.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use minijinja::{Environment, UndefinedBehavior, Value as Context};
use serde_json::{Map, Value};
use thiserror::Error;

use crate::filters;

/// Steps that a template may take, so that no form value can make one run on.
const FUEL: u64 = 20_000;

/// For requests: what is missing is an error.
static STRICT: LazyLock<Environment<'static>> =
    LazyLock::new(|| environment(UndefinedBehavior::Strict));

/// For answers, which may lack anything: what is missing is nothing.
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

/// A template that fails. Says the template and never a value.
#[derive(Debug, Error)]
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

/// Values as templates see them.
pub(crate) fn context(variables: &Map<String, Value>) -> Context {
    Context::from(minijinja::value::Serde(variables))
}

/// The variables that a template needs, members included: `params.site`.
pub(crate) fn needs(template: &str) -> Result<BTreeSet<String>, minijinja::Error> {
    let names = match expression(template) {
        Some(expression) => STRICT.compile_expression(expression)?.undeclared_variables(true),
        None => STRICT.template_from_str(template)?.undeclared_variables(true),
    };
    Ok(names.into_iter().collect())
}

/// The variables that a condition needs, members included.
pub(crate) fn condition_needs(condition: &str) -> Result<BTreeSet<String>, minijinja::Error> {
    let names = STRICT.compile_expression(condition)?.undeclared_variables(true);
    Ok(names.into_iter().collect())
}

/// The expression of a template that is nothing but `{{ expression }}`.
fn expression(template: &str) -> Option<&str> {
    let inner = template.trim().strip_prefix("{{")?.strip_suffix("}}")?;
    (!inner.contains("{{") && !inner.contains("}}") && !inner.contains("{%")).then_some(inner)
}

/// The text of a template.
pub(crate) fn text(template: &str, context: &Context) -> Result<String, TemplateError> {
    if !template.contains('{') {
        return Ok(template.to_owned());
    }
    STRICT
        .template_from_str(template)
        .and_then(|compiled| compiled.render(context.clone()))
        .map_err(|error| TemplateError::new(template, error.kind()))
}

/// The value of a template: one that is nothing but an expression keeps its type.
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

/// The value of a template over an answer: `null` for what is not there.
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

/// Whether a condition holds; what is not there is false.
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
