//! Templates: MiniJinja, with strict variables and bounded steps.

use std::sync::LazyLock;

use minijinja::{Environment, UndefinedBehavior, Value as Context};
use serde_json::Value;
use thiserror::Error;

/// The sources of templates.
pub(super) type Templates<'a> = Vec<&'a str>;

/// Steps that a template may take, so that no form value can make one run on.
const FUEL: u64 = 20_000;

static ENVIRONMENT: LazyLock<Environment<'static>> = LazyLock::new(|| {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
    environment.set_fuel(Some(FUEL));
    environment
});

/// A template that fails. Says the template and never a value.
#[derive(Debug, Error)]
#[error("the template {template:?} fails: {kind}")]
pub(super) struct TemplateError {
    template: String,
    kind: minijinja::ErrorKind,
}

impl TemplateError {
    fn new(template: &str, kind: minijinja::ErrorKind) -> Self {
        Self { template: template.to_owned(), kind }
    }
}

/// The variables that a template needs.
pub(super) fn undeclared(template: &str) -> Result<Vec<String>, minijinja::Error> {
    let names = match expression(template) {
        Some(expression) => ENVIRONMENT.compile_expression(expression)?.undeclared_variables(false),
        None => ENVIRONMENT.template_from_str(template)?.undeclared_variables(false),
    };
    Ok(names.into_iter().collect())
}

/// The expression of a template that is nothing but `{{ expression }}`.
fn expression(template: &str) -> Option<&str> {
    let inner = template.trim().strip_prefix("{{")?.strip_suffix("}}")?;
    (!inner.contains("{{") && !inner.contains("}}") && !inner.contains("{%")).then_some(inner)
}

/// The text of a template.
pub(super) fn text(template: &str, context: &Context) -> Result<String, TemplateError> {
    ENVIRONMENT
        .template_from_str(template)
        .and_then(|compiled| compiled.render(context.clone()))
        .map_err(|error| TemplateError::new(template, error.kind()))
}

/// The value of a template: one that is nothing but an expression keeps its type.
pub(super) fn value(template: &str, context: &Context) -> Result<Value, TemplateError> {
    let Some(expression) = expression(template) else {
        return text(template, context).map(Value::String);
    };
    let failed = |error: &minijinja::Error| TemplateError::new(template, error.kind());
    let compiled = ENVIRONMENT.compile_expression(expression).map_err(|error| failed(&error))?;
    let value = compiled.eval(context.clone()).map_err(|error| failed(&error))?;
    if value.is_undefined() {
        let kind = minijinja::ErrorKind::UndefinedError;
        return Err(TemplateError::new(template, kind));
    }
    serde_json::to_value(value)
        .map_err(|_| TemplateError::new(template, minijinja::ErrorKind::BadSerialization))
}
