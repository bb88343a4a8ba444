//! Written records are read back, and the fast path for submissions agrees with the full parser.

use crate::queue::Claim;
use std::collections::BTreeMap;
use std::path::PathBuf;

use proptest::prelude::*;

use super::super::callback::Callback;
use super::super::open::Replayed;
use super::super::raw_submission::RawSubmission;
use super::super::spec::{CrashPolicy, JobSpec};
use super::super::state::QueueState;
use super::*;

/// Strings that look like the borders that the fast path searches for.
fn odd() -> impl Strategy<Value = String> {
    let pieces = prop::sample::select(
        &[
            ",\"spec\":{",
            "\"",
            "\\",
            "\\\"",
            "}",
            "{",
            ",",
            ":",
            "spec",
            "\"spec\":{}",
            "\n",
            "\u{0}",
            "\u{1f}",
            "é",
            "𝄞",
            "\u{2028}",
            " ",
            "a",
            "\\u0022",
            ",\\\"spec\\\":{",
            "\"op\":\"submit\",",
            "/",
            "null",
        ][..],
    );
    prop_oneof![
        4 => prop::collection::vec(pieces, 0..8).prop_map(|p| p.concat()),
        1 => any::<String>(),
    ]
}

fn host() -> impl Strategy<Value = Host> {
    (odd(), odd(), any::<u64>(), prop::option::of(any::<u64>())).prop_map(
        |(boot_id, host, pid_namespace, booted_at)| Host {
            boot_id,
            machine_id: String::new(),
            host,
            pid_namespace,
            booted_at,
        },
    )
}

fn name() -> impl Strategy<Value = JobId> {
    let given = odd().prop_filter_map("a name that can be a file name", |n| n.parse().ok());
    prop_oneof![1 => any::<u128>().prop_map(|n| uuid::Uuid::from_u128(n).to_string().parse().unwrap()), 3 => given]
}

fn spec() -> impl Strategy<Value = JobSpec> {
    let texts = || prop::collection::vec(odd(), 0..3);
    let env = prop::collection::vec((odd(), odd()), 0..3);
    let rest =
        (any::<Option<u64>>(), any::<u32>(), prop::option::of(texts()), texts(), prop::option::of(odd()));
    (texts(), env, prop::option::of(odd()), any::<bool>(), rest).prop_map(
        |(command, env, cwd, auto_cleanup, (timeout_ms, max_attempts, resume_command, urls, title))| {
            JobSpec {
                command,
                env: env.into_iter().collect::<BTreeMap<_, _>>(),
                cwd: cwd.map(PathBuf::from),
                timeout_ms,
                on_crash: if auto_cleanup { CrashPolicy::Requeue } else { CrashPolicy::Hold },
                max_attempts,
                resume_command,
                callbacks: urls.into_iter().map(Callback::to).collect(),
                auto_cleanup,
                title,
            }
        },
    )
}

fn submission_of() -> impl Strategy<Value = Submission> {
    (name(), any::<i32>(), prop::option::of(odd()), spec())
        .prop_map(|(job, priority, repository, spec)| Submission { job, priority, repository, spec })
}

fn actor() -> impl Strategy<Value = Actor> {
    (odd(), prop::option::of(odd())).prop_map(|(by, why)| Actor { by, why })
}

fn time() -> impl Strategy<Value = Timestamp> {
    let times = ["2026-03-01T09:30:00.000Z", "1970-01-01T00:00:00.000Z", "9999-12-01T23:59:59.999Z"];
    prop::sample::select(times.map(|t| t.parse::<Timestamp>().unwrap()).to_vec())
}

fn other_operation() -> impl Strategy<Value = Operation> {
    let after = (time(), 0..4u8).prop_map(|(not_before, n)| match n {
        0 => None,
        1 => Some(AfterCrash::Hold),
        2 => Some(AfterCrash::Fail),
        _ => Some(AfterCrash::Requeue { not_before }),
    });
    let outcomes = [
        AttemptOutcome::Exited,
        AttemptOutcome::Signaled,
        AttemptOutcome::TimedOut,
        AttemptOutcome::Crashed,
        AttemptOutcome::Interrupted,
    ];
    let how = (prop::sample::select(outcomes.to_vec()), any::<Option<i32>>(), any::<Option<i32>>(), after);
    let by = (time(), odd(), any::<Option<i32>>(), any::<Option<u32>>())
        .prop_map(|(at, by, signal, pid)| EndedBy { at, by, signal, pid, uid: pid });
    let from_outside = (prop::option::of(by), any::<bool>());
    let times = (prop::option::of(time()), prop::option::of(time()));
    let end = (name(), any::<u32>(), any::<u64>(), how, times, prop::option::of(odd()), from_outside)
        .prop_map(|(job, attempt, claim, how, (ended_at, started_at), reason, (ended_by, by_itself))| {
            let (outcome, exit_code, signal, after_crash) = how;
            Operation::End(End {
                job,
                attempt,
                claim: Claim::of_record(claim),
                outcome,
                exit_code,
                signal,
                ended_at,
                reason,
                after_crash,
                started_at,
                ended_by,
                by_itself,
                evidence: if by_itself { Vec::new() } else { vec!["lock: free".to_owned()] },
            })
        });
    let document = submission_of().prop_map(|s| {
        let mut state = QueueState::default();
        let id = s.job.clone();
        let record =
            Record { at: Timestamp::default(), actor: Actor::default(), operation: Operation::Submit(s) };
        state.apply(1, record).unwrap();
        Operation::Restore {
            document: Box::new(state.get(&id).unwrap().to_document()),
            keeps_place: id.is_uuid(),
        }
    });
    prop_oneof![
        prop::collection::vec(submission_of(), 0..3).prop_map(|jobs| Operation::SubmitBatch { jobs }),
        (name(), any::<u32>(), prop::option::of(host())).prop_map(|(job, attempt, host)| Operation::Claim {
            job,
            attempt,
            host: host.map(std::sync::Arc::new)
        }),
        (name(), any::<u32>(), any::<u64>()).prop_map(|(job, attempt, claim)| Operation::Found {
            job,
            attempt,
            claim: Claim::of_record(claim)
        }),
        (name(), any::<u64>(), odd(), prop::option::of(time()), any::<bool>()).prop_map(
            |(job, claim, reason, not_before, failed_start)| {
                Operation::Unclaim { job, claim: Claim::of_record(claim), reason, not_before, failed_start }
            }
        ),
        end,
        name().prop_map(|job| Operation::Cancel { job }),
        (name(), any::<bool>(), prop::option::of(any::<u32>()))
            .prop_map(|(job, fresh, attempt)| Operation::Resume { job, fresh, attempt }),
        document,
        (name(), prop::collection::vec(odd(), 0..3)).prop_map(|(job, from)| Operation::Rebuilt { job, from }),
        prop::collection::vec(name(), 0..4).prop_map(|jobs| Operation::Remove { jobs }),
    ]
}

/// A line applied as replay does it.
fn replayed(line: &[u8]) -> Replayed {
    let mut replayed = Replayed::default();
    replayed.apply(1, line);
    replayed
}

fn jobs_of(state: &QueueState) -> (Vec<String>, Vec<Option<JobSpec>>) {
    let text = state.jobs().map(|j| serde_json::to_string(&j.to_document()).unwrap()).collect();
    (text, state.jobs().map(|j| j.spec().ok()).collect())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn fast_path_agrees_with_parser(s in submission_of(), actor in actor(), at in time()) {
        let record = Record { at, actor, operation: Operation::Submit(s.clone()) };
        let payload = record.to_line().unwrap();
        prop_assert!(!payload.contains(&b'\n'));
        let raw = RawSubmission::parse(&payload).expect("every submission takes the short cut");
        prop_assert_eq!(serde_json::from_str::<JobSpec>(raw.spec).unwrap(), s.spec.clone());
        prop_assert_eq!((raw.at, &raw.job, raw.priority), (at, &s.job, s.priority));
        prop_assert_eq!(raw.repository.as_deref(), s.repository.as_deref());
        let short = replayed(&payload);
        prop_assert!(short.refused.is_empty() && short.undecodable.is_empty(), "{:?}", short.undecodable);
        let short = jobs_of(&short.state);
        let mut full = QueueState::default();
        full.apply(1, Record::from_line(&payload).unwrap()).unwrap();
        prop_assert_eq!(&short, &jobs_of(&full));
        prop_assert_eq!(short.1, [Some(s.spec)]);
    }

    #[test]
    fn record_round_trip_every_operation(operation in other_operation(), actor in actor(), at in time()) {
        let record = Record { at, actor, operation };
        let line = record.to_line().unwrap();
        prop_assert!(!line.contains(&b'\n'));
        prop_assert!(RawSubmission::parse(&line).is_none(), "only submissions take the short cut");
        let back = Record::from_line(&line).unwrap();
        prop_assert_eq!(format!("{back:?}"), format!("{record:?}"));
        prop_assert_eq!(back.to_line().unwrap(), line);
    }

    #[test]
    fn record_any_bytes(mut line in submission_of().prop_map(|s| {
        let actor = Actor::default();
        Record { at: Timestamp::default(), actor, operation: Operation::Submit(s) }.to_line().unwrap()
    }), at in any::<prop::sample::Index>(), byte in any::<u8>(), cut in any::<bool>()) {
        let at = at.index(line.len());
        if cut { line.truncate(at) } else { line[at] = byte }
        replayed(&line);
        let _ = Record::from_line(&line);
    }
}

#[test]
fn record_other_member_order() {
    let line = br#"{"op":"submit","at":"2026-03-01T09:30:00Z","by":"x","spec":{"command":["a"]},"job":"j"}"#;
    assert!(RawSubmission::parse(line).is_none());
    let replayed = replayed(line);
    let (documents, specs) = jobs_of(&replayed.state);
    assert_eq!((documents.len(), replayed.undecodable.len()), (1, 0));
    assert_eq!(specs[0].as_ref().unwrap().command, ["a"]);
}

#[test]
fn record_of_later_version_is_undecodable() {
    let lines: [&[u8]; 4] = [
        br#"{"at":"2026-03-01T09:30:00.000Z","op":"teleport","by":"x","job":"j"}"#,
        br#"{"at":"2026-03-01T09:30:00.000Z","op":"claim","by":"x","job":"j"}"#,
        br#"{"at":"2026-03-01T09:30:00.000Z","op":"submit","by":"x","spec":{}}"#,
        b"no JSON",
    ];
    for line in lines {
        let mut replayed = Replayed::default();
        replayed.apply(5, line);
        let Replayed { refused, undecodable, state, .. } = replayed;
        assert_eq!((refused.len(), undecodable.len(), state.last_seq()), (0, 1, 5));
    }
}
