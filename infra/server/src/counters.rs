//! The counters of the process, in the text format of Prometheus.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, PoisonError};

use greenlight_core::metrics::{Measure, Metric, Value};

use crate::prometheus::escaped;

/// The counters since the start.
#[derive(Debug, Default)]
pub(crate) struct Counters(Mutex<BTreeMap<&'static str, Family>>);

/// The samples of one metric, by labels.
#[derive(Debug, Default)]
struct Family {
    /// Whether it is a time: exported as a sum of seconds and a count.
    is_time: bool,
    samples: BTreeMap<String, Sample>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Sample {
    count: u64,
    seconds: f64,
}

impl Counters {
    pub(crate) fn new() -> Arc<Self> {
        Arc::default()
    }

    pub(crate) fn to_text(&self) -> String {
        let families = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut text = String::new();
        for (name, Family { is_time, samples }) in &*families {
            let name = snake_case(name);
            let (kind, suffix) =
                if *is_time { ("summary", "_seconds") } else { ("counter", "_total") };
            let _ = writeln!(text, "# TYPE greenlight_{name}{suffix} {kind}");
            for (labels, Sample { count, seconds }) in samples {
                let _ = if *is_time {
                    writeln!(text, "greenlight_{name}_seconds_sum{labels} {seconds}").and_then(
                        |()| writeln!(text, "greenlight_{name}_seconds_count{labels} {count}"),
                    )
                } else {
                    writeln!(text, "greenlight_{name}_total{labels} {count}")
                };
            }
        }
        text
    }
}

impl Measure for Counters {
    fn measure(&self, metric: &Metric<'_>) {
        let labels =
            metric.labels.iter().map(|(name, value)| format!("{name}=\"{}\"", escaped(value)));
        let labels = format!("{{{}}}", labels.collect::<Vec<_>>().join(","));
        let mut families = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let family = families.entry(metric.name).or_default();
        let sample = family.samples.entry(labels).or_default();
        sample.count += 1;
        if let Value::Took(took) = metric.value {
            family.is_time = true;
            sample.seconds += took.as_secs_f64();
        }
    }
}

/// `EventToEffectLatency`: `event_to_effect_latency`.
fn snake_case(name: &str) -> String {
    let mut text = String::new();
    for letter in name.chars() {
        if letter.is_ascii_uppercase() && !text.is_empty() {
            text.push('_');
        }
        text.push(letter.to_ascii_lowercase());
    }
    text
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn figures_are_told_as_prometheus_wants_them() {
        let counters = Counters::default();
        for _ in 0..2 {
            counters.measure(&Metric::once("WebhooksReceived", &[("outcome", "a\"b")]));
        }
        counters.measure(&Metric::took(
            "EventToEffectLatency",
            Duration::from_millis(1_500),
            &[("flow", "f")],
        ));
        assert_eq!(
            counters.to_text(),
            "# TYPE greenlight_event_to_effect_latency_seconds summary\n\
             greenlight_event_to_effect_latency_seconds_sum{flow=\"f\"} 1.5\n\
             greenlight_event_to_effect_latency_seconds_count{flow=\"f\"} 1\n\
             # TYPE greenlight_webhooks_received_total counter\n\
             greenlight_webhooks_received_total{outcome=\"a\\\"b\"} 2\n"
        );
    }
}
