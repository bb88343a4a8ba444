//! Order, side by side, and what is refused before anything runs.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, Mutex};

use recovery::recovery::{
    GraphError, Phase, PhaseGraph, PhaseOutcome, RecoveryOutcome, RunOptions, read_history, run,
};

use super::{fine, graph, noting, options, run_all, state};

#[test]
fn each_phase_comes_after_all_that_it_waits_for() {
    let (_folder, dir) = state();
    let notes = Arc::new(Mutex::new(Vec::new()));
    let phases = vec![
        noting("d", &notes).after(&["c", "b"]),
        noting("c", &notes).after(&["b"]),
        noting("b", &notes).after(&["a"]),
        noting("a", &notes),
    ];
    let record = run_all(&dir, phases);
    assert_eq!(*notes.lock().unwrap(), ["a", "b", "c", "d"]);
    assert_eq!(record.snapshot.outcome, RecoveryOutcome::Completed);
    assert_eq!((record.snapshot.phases_done, record.snapshot.phases_total), (4, 4));
}

#[test]
fn independent_phases_run_side_by_side() {
    let (_folder, dir) = state();
    let meeting = Arc::new(Barrier::new(2));
    let meets = |name| {
        let meeting = Arc::clone(&meeting);
        // Neither can go on without the other: in sequence they would hang.
        Phase::new(name, "items", move |_| {
            meeting.wait();
            Ok(PhaseOutcome::default())
        })
    };
    let record = run_all(&dir, vec![Phase::new("queue", "records", fine), meets("locks"), meets("jobs")]);
    assert_eq!(record.snapshot.outcome, RecoveryOutcome::Completed);
}

#[test]
fn no_more_phases_at_once_than_allowed() {
    let (_folder, dir) = state();
    let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let counting = |name| {
        let (now, most) = (Arc::clone(&now), Arc::clone(&most));
        Phase::new(name, "items", move |_| {
            most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            std::thread::yield_now();
            now.fetch_sub(1, Ordering::SeqCst);
            Ok(PhaseOutcome::default())
        })
    };
    let phases = graph(["a", "b", "c", "d"].map(counting).into());
    run(&dir, &phases, &RunOptions { side_by_side: 1, ..options() }).unwrap();
    assert_eq!(most.load(Ordering::SeqCst), 1);
}

#[test]
fn a_circle_is_refused_by_name() {
    let phases = vec![
        Phase::new("free", "items", fine),
        Phase::new("behind", "items", fine).after(&["a"]),
        Phase::new("a", "items", fine).after(&["free", "b"]),
        Phase::new("b", "items", fine).after(&["c"]),
        Phase::new("c", "items", fine).after(&["a"]),
    ];
    let error = PhaseGraph::new(phases).unwrap_err();
    assert_eq!(error, GraphError::Cycle { phases: vec!["a", "b", "c"] });
    assert_eq!(error.to_string(), "phases wait for one another: a → b → c → a");
    let own_tail = PhaseGraph::new(vec![Phase::new("a", "items", fine).after(&["a"])]).unwrap_err();
    assert_eq!(own_tail, GraphError::Cycle { phases: vec!["a"] });
}

#[test]
fn unknown_and_double_names_are_refused() {
    let unknown = PhaseGraph::new(vec![Phase::new("a", "items", fine).after(&["z"])]).unwrap_err();
    assert_eq!(unknown, GraphError::Unknown { phase: "a", missing: "z" });
    let double = vec![Phase::new("a", "items", fine), Phase::new("a", "items", fine)];
    assert_eq!(PhaseGraph::new(double).unwrap_err(), GraphError::Duplicate { name: "a" });
}

#[test]
fn a_part_of_the_sequence_is_a_phase_and_what_waits_for_it() {
    let (_folder, dir) = state();
    let notes = Arc::new(Mutex::new(Vec::new()));
    let phases = vec![
        noting("startup", &notes),
        noting("cleanup", &notes).after(&["jobs"]),
        noting("locks", &notes).after(&["startup"]),
        noting("jobs", &notes).after(&["startup"]),
    ];
    let graph = graph(phases);
    let only = || RunOptions { only: vec!["jobs".into()], ..options() };
    // There was no recovery yet: nothing can be carried over.
    run(&dir, &graph, &only()).unwrap();
    assert_eq!(std::mem::take(&mut *notes.lock().unwrap()).len(), 4);
    let record = run(&dir, &graph, &only()).unwrap();
    assert_eq!(*notes.lock().unwrap(), ["jobs", "cleanup"]);
    let carried = |name| record.snapshot.phase(name).unwrap().carried_over;
    assert_eq!(["startup", "cleanup", "locks", "jobs"].map(carried), [true, false, true, false]);
    assert_eq!((record.snapshot.phases_done, record.snapshot.phases_total), (4, 4));
    let last = read_history(&dir).unwrap().pop().unwrap();
    assert_eq!(last.only, ["jobs"]);
    assert_eq!(last.phases.iter().map(|p| p.phase.as_str()).collect::<Vec<_>>(), ["cleanup", "jobs"]);
}
