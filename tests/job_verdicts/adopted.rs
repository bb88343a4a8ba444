//! Jobs that were taken over from another server while they ran.

use recovery::jobs::{CancelOutcome, Verdict, cancel};
use recovery::queue::{Adopted, Job, JobDocument, JobSpec, JobStatus, Operation, append};
use recovery::state::Timestamp;
use recovery::system::{Host, ProcessIdentity};

use super::{Living, NOW, World, actor, settings};

fn adopted(world: &mut World, id: &str, adopted: Adopted) -> Job {
    let spec = serde_json::value::to_raw_value(&JobSpec::default()).unwrap();
    let run = recovery::queue::RunState { adopted: Some(adopted), ..Default::default() };
    let document = JobDocument {
        job_id: id.parse().unwrap(),
        status: JobStatus::Running,
        attempt: 1,
        place: recovery::queue::QueuePosition { seq: 0, index: 0 },
        priority: 0,
        repository: None,
        submitted_at: Timestamp::from_millis(NOW),
        not_before: None,
        run_state: Some(Box::new(run)),
        spec,
    };
    append(&world.dir, &actor(), &[Operation::Restore { document: Box::new(document), keeps_place: false }])
        .unwrap();
    world.queue.refresh().unwrap();
    world.job(id)
}

#[test]
fn a_job_that_was_taken_over_is_known_by_pid_start_and_boot() {
    let mut world = World::new();
    let output = world.dir.paths.root().join("output");
    let process = Living::unmarked();
    let ProcessIdentity { pid, start_time } = process.identity();
    let boot_id = Host::this().boot_id;
    let by = |start_time, boot_id: &str| Adopted {
        pid,
        start_time,
        boot_id: boot_id.to_owned(),
        booted_at: None,
        output: output.clone(),
    };
    let living = adopted(&mut world, "living", by(start_time, &boot_id));
    let reused = adopted(&mut world, "reused", by(start_time + 1, &boot_id));
    let rebooted = adopted(&mut world, "rebooted", by(start_time, "another"));
    assert_eq!(world.judge(&living).verdict, Verdict::Adopted { process: process.identity() });
    assert_eq!(world.judge(&reused).verdict, Verdict::Crashed);
    assert_eq!(world.judge(&rebooted).verdict, Verdict::DeadByReboot);
    std::fs::write(&output, "did it\nExit code: 7\n").unwrap();
    world.reattach();
    let status = |id: &str| (world.job(id).status, world.job(id).run_state().exit_code);
    assert_eq!(status("living"), (JobStatus::Running, None));
    assert_eq!(status("reused"), (JobStatus::Failed, Some(7)));
    assert_eq!(status("rebooted"), (JobStatus::Failed, Some(7)));
    let ids = [living.id.clone()];
    let cancelled = std::thread::scope(|scope| {
        // Its parent reaps it, as a shell does.
        let reaper = scope.spawn(|| {
            let mut process = process;
            process.0.wait().unwrap();
        });
        let cancelled = cancel(&world.dir, &mut world.queue, &ids, &settings()).unwrap();
        reaper.join().unwrap();
        cancelled
    });
    // Its output has an exit line by now.
    assert_eq!(cancelled[0].outcome, CancelOutcome::Ended);
    assert_eq!(world.job("living").status, JobStatus::Cancelled);
}
