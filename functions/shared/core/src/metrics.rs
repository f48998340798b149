//! What is counted, for dashboards and alarms. Labels come from the configuration or from fixed
//! words, never from an event or a form: their number is bounded.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// Takes note of what happened.
pub trait Measure: fmt::Debug + Send + Sync {
    /// Takes note of `metric`. It never fails: a figure is not worth a request.
    fn measure(&self, metric: &Metric<'_>);
}

/// Where figures go.
pub type Metrics = Arc<dyn Measure>;

/// One figure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Metric<'a> {
    /// Its name: `WebhooksReceived`.
    pub name: &'static str,
    /// How much.
    pub value: Value,
    /// What it is about.
    pub labels: Vec<(&'static str, &'a str)>,
}

/// How much.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value {
    /// Once more.
    Once,
    /// It took so long.
    Took(Duration),
}

impl<'a> Metric<'a> {
    /// It happened once more.
    #[must_use]
    pub fn once(name: &'static str, labels: &[(&'static str, &'a str)]) -> Self {
        Self { name, value: Value::Once, labels: labels.to_vec() }
    }

    /// It took so long.
    #[must_use]
    pub fn took(name: &'static str, took: Duration, labels: &[(&'static str, &'a str)]) -> Self {
        Self { name, value: Value::Took(took), labels: labels.to_vec() }
    }
}

/// Figures go nowhere.
#[derive(Clone, Copy, Debug)]
pub struct NoMetrics;

impl NoMetrics {
    /// Metrics that go nowhere.
    #[must_use]
    pub fn nowhere() -> Metrics {
        Arc::new(Self)
    }
}

impl Measure for NoMetrics {
    fn measure(&self, _: &Metric<'_>) {}
}
