//! Metrics for dashboards and alarms. Labels come from the configuration or from a fixed set, never
//! from an event or a form: their number is bounded.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// Records metrics.
pub trait Measure: fmt::Debug + Send + Sync {
    /// Records `metric`. Never fails: a lost metric must not fail a request.
    fn measure(&self, metric: &Metric<'_>);
}

/// A shared recorder of metrics.
pub type Metrics = Arc<dyn Measure>;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Metric<'a> {
    /// Its name: `WebhooksReceived`.
    pub name: &'static str,
    pub value: Value,
    /// The labels, as (name, value).
    pub labels: Vec<(&'static str, &'a str)>,
}

/// The value of a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value {
    /// A counter goes up by one.
    Once,
    /// A duration.
    Took(Duration),
}

impl<'a> Metric<'a> {
    /// A counter that goes up by one.
    #[must_use]
    pub fn once(name: &'static str, labels: &[(&'static str, &'a str)]) -> Self {
        Self { name, value: Value::Once, labels: labels.to_vec() }
    }

    /// A duration.
    #[must_use]
    pub fn took(name: &'static str, took: Duration, labels: &[(&'static str, &'a str)]) -> Self {
        Self { name, value: Value::Took(took), labels: labels.to_vec() }
    }
}

/// Discards all metrics.
#[derive(Clone, Copy, Debug)]
pub struct NoMetrics;

impl NoMetrics {
    /// A recorder that discards all metrics.
    #[must_use]
    pub fn nowhere() -> Metrics {
        Arc::new(Self)
    }
}

impl Measure for NoMetrics {
    fn measure(&self, _: &Metric<'_>) {}
}
