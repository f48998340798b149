//! Metrics in CloudWatch's embedded metric format: JSON lines on standard output, from which
//! CloudWatch Logs extracts the metrics without an API call.
//!
//! Format: "Embedded metric format specification" in the CloudWatch user guide.

use std::io::Write;

use greenlight_core::metrics::{Measure, Metric, Metrics, Value};
use greenlight_core::ports::Clock;
use serde_json::{Map, json};

use crate::SystemClock;

/// The namespace of all metrics.
const NAMESPACE: &str = "greenlight";

/// Writes metrics to standard output.
#[derive(Clone, Debug)]
pub struct EmbeddedMetrics {
    function: String,
}

impl EmbeddedMetrics {
    /// The function's name, from Lambda's environment.
    #[must_use]
    pub fn of_this_function() -> Metrics {
        let function = std::env::var("AWS_LAMBDA_FUNCTION_NAME").unwrap_or_default();
        std::sync::Arc::new(Self { function })
    }

    /// Returns the line. One set of dimensions per label, and one without: alarms do not sum over
    /// dimensions, and every set is a metric with a price.
    fn line(&self, metric: &Metric<'_>, now: i64) -> String {
        let (value, unit) = match metric.value {
            Value::Once => (1, "Count"),
            Value::Took(took) => {
                (u64::try_from(took.as_millis()).unwrap_or(u64::MAX), "Milliseconds")
            }
        };
        let names: Vec<_> = metric.labels.iter().map(|(name, _)| *name).collect();
        let mut sets = vec![vec!["FunctionName"]];
        sets.extend(names.iter().map(|name| vec!["FunctionName", name]));
        let mut line = Map::new();
        line.insert(
            "_aws".to_owned(),
            json!({"Timestamp": now, "CloudWatchMetrics": [{
                "Namespace": NAMESPACE,
                "Dimensions": sets,
                "Metrics": [{"Name": metric.name, "Unit": unit}],
            }]}),
        );
        line.insert("FunctionName".to_owned(), self.function.as_str().into());
        for (name, label) in &metric.labels {
            line.insert((*name).to_owned(), (*label).into());
        }
        line.insert(metric.name.to_owned(), value.into());
        serde_json::Value::Object(line).to_string()
    }
}

impl Measure for EmbeddedMetrics {
    fn measure(&self, metric: &Metric<'_>) {
        let line = self.line(metric, SystemClock.now().as_millis());
        // Standard output is closed: there is no reader of the metrics.
        let _ = writeln!(std::io::stdout().lock(), "{line}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_the_documented_shape() {
        let metrics = EmbeddedMetrics { function: "receiver".into() };
        let metric =
            Metric::once("WebhooksReceived", &[("outcome", "rejected"), ("reason", "too_large")]);
        let line: serde_json::Value = serde_json::from_str(&metrics.line(&metric, 7)).unwrap();
        assert_eq!(
            line,
            json!({
                "_aws": {"Timestamp": 7, "CloudWatchMetrics": [{
                    "Namespace": "greenlight",
                    "Dimensions": [["FunctionName"], ["FunctionName", "outcome"], ["FunctionName", "reason"]],
                    "Metrics": [{"Name": "WebhooksReceived", "Unit": "Count"}],
                }]},
                "FunctionName": "receiver", "outcome": "rejected", "reason": "too_large", "WebhooksReceived": 1,
            })
        );
    }
}
