//! `/metrics`, held against the rules of Prometheus' own linter (`promtool check metrics`), which is not everywhere.

use std::collections::{BTreeMap, BTreeSet};

use recovery::queue::JobStatus;

use super::client::Served;

/// Abbreviated and derived units that names must not have.
const NOT_BASE_UNITS: [&str; 14] = [
    "ms",
    "us",
    "ns",
    "s",
    "sec",
    "kb",
    "mb",
    "gb",
    "b",
    "milliseconds",
    "minutes",
    "hours",
    "days",
    "percent",
];

/// Families by name: type, help, and the names of their samples.
fn families(text: &str) -> BTreeMap<String, (String, String, Vec<String>)> {
    let mut all: BTreeMap<String, (String, String, Vec<String>)> = BTreeMap::new();
    let mut current = String::new();
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, help) = rest.split_once(' ').unwrap_or_else(|| panic!("no help: {line}"));
            assert!(!all.contains_key(name), "{name} is there twice");
            current = name.to_owned();
            all.insert(current.clone(), (String::new(), help.to_owned(), Vec::new()));
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap();
            assert_eq!(name, current, "type and help belong together");
            all.get_mut(name).unwrap().0 = kind.to_owned();
        } else {
            let (sample, value) = line.rsplit_once(' ').unwrap();
            assert!(value.parse::<f64>().is_ok(), "{line}");
            assert!(sample.starts_with(&current), "a sample of another family: {line}");
            all.get_mut(&current).unwrap().2.push(sample.to_owned());
        }
    }
    all
}

fn check(text: &str) -> BTreeMap<String, (String, String, Vec<String>)> {
    let all = families(text);
    let mut helps = BTreeSet::new();
    for (name, (kind, help, samples)) in &all {
        assert!(
            name.starts_with("recoveryctl_") && name.chars().all(|c| c.is_ascii_lowercase() || c == '_'),
            "{name}"
        );
        assert_eq!(kind == "counter", name.ends_with("_total"), "{name} is a {kind}");
        assert!(!name.split('_').any(|word| NOT_BASE_UNITS.contains(&word)), "{name}");
        assert!(
            !["counter", "gauge", "histogram", "summary"].iter().any(|word| name.contains(word)),
            "{name}"
        );
        assert!(help.len() > 10 && helps.insert(help.clone()), "{name}: '{help}' says nothing of its own");
        let names: BTreeSet<&String> = samples.iter().collect();
        assert_eq!(names.len(), samples.len(), "{name}: a sample is there twice: {samples:?}");
        let is_reserved =
            |s: &String| s.contains("quantile=") || (kind != "histogram" && s.contains("le=\""));
        assert!(!samples.iter().any(is_reserved), "{samples:?}");
    }
    all
}

fn value(text: &str, sample: &str) -> f64 {
    let line = text.lines().find(|line| line.rsplit_once(' ').is_some_and(|(name, _)| name == sample));
    line.and_then(|line| line.rsplit_once(' ')?.1.parse().ok())
        .unwrap_or_else(|| panic!("no {sample} in {text}"))
}

#[test]
fn metrics_follow_the_rules_and_count_what_happens() {
    let served = Served::new();
    let scene = &served.scene;
    let text = |path: &str| String::from_utf8(served.get(path).is(200).body.clone()).unwrap();
    check(&text("/metrics"));
    for id in ["one", "two"] {
        scene.submit(id, &[], "true");
        scene.wait_for_status(id, JobStatus::Succeeded);
    }
    crate::common::until("the ends are counted", || {
        text("/metrics").contains("recoveryctl_job_run_seconds_count{outcome=\"exited\"} 2\n")
    });
    let now = text("/metrics");
    let all = check(&now);
    assert_eq!(value(&now, "recoveryctl_job_wait_seconds_count"), 2.0);
    assert_eq!(value(&now, "recoveryctl_job_wait_seconds_bucket{le=\"+Inf\"}"), 2.0);
    assert_eq!(value(&now, "recoveryctl_state{state=\"healthy\"}"), 1.0);
    assert_eq!(value(&now, "recoveryctl_queue_oldest_waiting_seconds"), 0.0);
    assert!(value(&now, "recoveryctl_disk_free_bytes") > 0.0);
    for name in
        ["webhooks_oldest_seconds", "locks_oldest_held_seconds", "cleanups_oldest_open_seconds", "locks_held"]
    {
        assert!(all.contains_key(&format!("recoveryctl_{name}")), "{name}");
    }
    // One version longer, for those who ask.
    let former = text("/metrics?former=true");
    assert!(former.contains("recoveryctl_queue_run_ms{of=\"p50\"}") && !now.contains("_ms"), "{former}");
}
