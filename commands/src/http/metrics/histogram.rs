//! How long things take, counted since the daemon started.

use std::collections::BTreeMap;

/// The bounds of the buckets in seconds: from a script of milliseconds to a job of a day.
const BOUNDS: [f64; 14] =
    [0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0, 14_400.0, 43_200.0, 86_400.0];

/// A histogram of durations.
#[derive(Debug, Clone, Default)]
pub(super) struct Histogram {
    buckets: [u64; BOUNDS.len()],
    count: u64,
    sum: f64,
}

impl Histogram {
    /// Counts one; a negative one, of a clock that went back, as none at all.
    pub(super) fn observe_ms(&mut self, ms: i64) {
        #[allow(clippy::cast_precision_loss)] // Milliseconds of 285,000 years are exact.
        let seconds = ms.max(0) as f64 / 1000.0;
        if let Some(bucket) = BOUNDS.iter().position(|bound| seconds <= *bound) {
            self.buckets[bucket] += 1;
        }
        self.count += 1;
        self.sum += seconds;
    }

    /// Each bound with how many were not longer, the last without one.
    pub(super) fn cumulative(&self) -> Vec<(String, u64)> {
        let mut so_far = 0;
        let bounded = BOUNDS.iter().zip(self.buckets).map(|(bound, n)| {
            so_far += n;
            (bound.to_string(), so_far)
        });
        let mut all: Vec<(String, u64)> = bounded.collect();
        all.push(("+Inf".to_owned(), self.count));
        all
    }

    pub(super) fn sum(&self) -> f64 {
        self.sum
    }

    pub(super) fn count(&self) -> u64 {
        self.count
    }
}

/// Histograms by the value of a label.
pub(super) type ByLabel = BTreeMap<String, Histogram>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_bucket_counts_all_that_is_not_longer() {
        let mut histogram = Histogram::default();
        [5, 10, 70, 90_000_000, -3].into_iter().for_each(|ms| histogram.observe_ms(ms));
        let all = histogram.cumulative();
        let of = |bound: &str| all.iter().find(|(b, _)| b == bound).unwrap().1;
        assert_eq!((of("0.01"), of("0.1"), of("86400"), of("+Inf")), (3, 4, 4, 5));
        assert!((histogram.sum() - 90_000.085).abs() < 1e-6);
    }
}
