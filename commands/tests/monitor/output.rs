//! What is kept of a job: its output, up to a limit, and what it used.

use std::os::unix::fs::MetadataExt;

use recovery::queue::JobStatus;

use crate::crash::scene::{Scene, read_json, wait_for};

const LIMIT: u64 = 64 << 10;

#[test]
fn the_oldest_output_goes_and_a_note_says_so() {
    let scene = Scene::new();
    scene.place.write("config.toml", "[jobs]\noutput_limit = \"64KiB\"\n");
    let _daemon = scene.daemon(1);
    let script =
        "seq 1 60000; echo began >> $W/it; until [ -e $W/open ]; do sleep 0.05; done; seq 60001 60100";
    scene.submit("it", &[], script);
    scene.wait_for_witness("it");
    let file = scene.job_file("it", "output.log");
    // While the job runs, the disk space is freed, and the command goes on writing at the end.
    wait_for("the room to be given back", || {
        std::fs::metadata(&file).unwrap().blocks() * 512 <= LIMIT + 8192
    });
    let kept = scene.run(&["jobs", "output", "it"]).ends_with(0).stdout;
    assert!(kept.starts_with("[recoveryctl: the first ") && kept.ends_with("\n60000\n"), "{}", &kept[..200]);
    scene.open_gate("open");
    scene.wait_for_status("it", JobStatus::Succeeded);
    let kept = scene.run(&["jobs", "output", "it"]).ends_with(0).stdout;
    let (note, rest) = kept.split_once('\n').unwrap();
    assert!(note.contains("bytes were dropped: jobs.output_limit is 64KiB]"), "{note}");
    assert!(kept.len() as u64 <= LIMIT, "{}", kept.len());
    let numbers: Vec<u32> = rest.lines().map(|n| n.parse().unwrap()).collect();
    assert!(
        numbers.len() > 1000 && numbers.windows(2).all(|w| w[1] == w[0] + 1),
        "whole lines, none missing"
    );
    assert_eq!(numbers.last(), Some(&60100));
    let dropped: u64 = note.split(' ').find_map(|word| word.parse().ok()).unwrap();
    let all: u64 = (1..=60100u32).map(|n| n.to_string().len() as u64 + 1).sum();
    assert_eq!(dropped + rest.len() as u64, all, "each byte is shown or accounted for");
}

#[test]
fn what_a_job_used_is_on_record() {
    let scene = Scene::new();
    let _daemon = scene.daemon(1);
    // A loop for the processor; tail keeps all it reads in memory.
    let script = "i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done; head -c 60000000 /dev/zero | tail -c 50000000 | wc -c";
    scene.submit("it", &[], script);
    scene.wait_for_status("it", JobStatus::Succeeded);
    let exit = read_json(&scene.job_file("it", "exit.json"));
    let number = |name: &str| exit[name].as_u64().unwrap_or_else(|| panic!("{name}: {exit}"));
    assert!(number("cpu_user_ms") > 20, "{exit}");
    assert_eq!(number("cpu_ms"), number("cpu_user_ms") + number("cpu_system_ms"));
    assert!((50_000_000..500_000_000).contains(&number("memory_peak_bytes")), "{exit}");
    assert_eq!((&exit["exit_code"], &exit["signal"]), (&0.into(), &serde_json::Value::Null), "{exit}");
}
