//! Text in the exposition format of Prometheus.

use std::fmt::Write as _;

use super::histogram::Histogram;

/// What a metric is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Counter,
    Gauge,
    Histogram,
}

impl Kind {
    const fn as_str(self) -> &'static str {
        match self {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        }
    }
}

/// The text so far.
#[derive(Debug, Default)]
pub(super) struct Text(pub(super) String);

impl Text {
    /// Begins a metric: what follows are its samples.
    pub(super) fn metric(&mut self, name: &str, kind: Kind, help: &str) {
        let kind = kind.as_str();
        let _ = writeln!(self.0, "# HELP recoveryctl_{name} {help}\n# TYPE recoveryctl_{name} {kind}");
    }

    pub(super) fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: &str) {
        let escaped = |text: &str| text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
        let labels: Vec<String> =
            labels.iter().map(|(name, value)| format!("{name}=\"{}\"", escaped(value))).collect();
        let labels = if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
        let _ = writeln!(self.0, "recoveryctl_{name}{labels} {value}");
    }

    /// A metric with one sample.
    pub(super) fn single(&mut self, name: &str, kind: Kind, help: &str, value: &str) {
        self.metric(name, kind, help);
        self.sample(name, &[], value);
    }

    /// The samples of a histogram with these labels.
    pub(super) fn histogram(&mut self, name: &str, labels: &[(&str, &str)], histogram: &Histogram) {
        for (bound, count) in histogram.cumulative() {
            let with = [labels, &[("le", &*bound)]].concat();
            self.sample(&format!("{name}_bucket"), &with, &count.to_string());
        }
        self.sample(&format!("{name}_sum"), labels, &histogram.sum().to_string());
        self.sample(&format!("{name}_count"), labels, &histogram.count().to_string());
    }
}
