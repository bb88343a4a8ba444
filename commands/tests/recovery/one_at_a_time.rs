//! Two daemons, a daemon and `recover`, two recoveries: one works, the other says who does and ends with 11.

use recovery::queue::JobStatus;

use super::{Running, Stop, after_a_crash};
use crate::common::until;

#[test]
fn the_second_one_is_told_who_is_at_it() {
    let scene = after_a_crash();
    let stop = Stop::in_phase(&scene, "queue");
    let first = Running::start(&scene, &["daemon"]);
    first.wait_for_phase(&scene, "queue");
    let pid = first.0.id().to_string();
    for second in [&["daemon"][..], &["recover"], &["work", "--once"], &["recover", "--rehearse"]] {
        let error = scene.json(second, 11)["error"].clone();
        assert!(error["message"].as_str().unwrap().contains(&pid), "{second:?}: {error}");
    }
    let error = scene.json(&["retry", "phase", "locks"], 11)["error"].clone();
    assert!(error["message"].as_str().unwrap().contains(&pid), "{error}");
    drop(stop);
    // The first one goes on undisturbed.
    scene.wait_for_status("waits", JobStatus::Succeeded);
    for second in ["daemon", "recover"] {
        let error = scene.json(&[second], 11)["error"].clone();
        assert!(error["message"].as_str().unwrap().contains(&pid), "{second}: {error}");
    }
    assert_eq!(scene.witnessed("waits"), ["ran"]);
}

#[test]
fn many_daemons_at_once_make_one() {
    let scene = after_a_crash();
    let daemons: Vec<Running> = (0..6).map(|_| Running::start(&scene, &["daemon", "--json"])).collect();
    scene.wait_for_status("waits", JobStatus::Succeeded);
    // The others may still be on their way to the lock.
    let mut left = daemons;
    until("one daemon is left", || {
        left.retain_mut(|daemon| match daemon.0.try_wait().unwrap() {
            None => true,
            Some(status) => {
                assert_eq!(status.code(), Some(11));
                false
            }
        });
        left.len() == 1
    });
    assert_eq!(scene.witnessed("waits").len(), 1);
}
