//! The output of jobs is for admins, unless the configuration says otherwise.

use serde_json::json;

use crate::common::Ran;
use crate::crash::scene::wait_for;
use crate::http::client::{Reply, Served};

const SECRET: &str = "hunter2";

fn with_a_job(served: Served) -> Served {
    served.submit(&json!({ "id": "loud", "command": ["sh", "-c", format!("echo {SECRET}; exit 3")] }));
    served.wait_for("loud", "failed");
    served
}

fn as_viewer(served: &Served, path: &str) -> Reply {
    let token = format!("Bearer {}", served.token("viewer"));
    served.ask_with("GET", path, None, &[("Authorization", &token)])
}

fn by_command(served: &Served, role: &str, words: &[&str]) -> Ran {
    let mut command = served.scene.place.bare_command();
    command.arg(format!("--url=http://{}", served.address)).arg("--token-file");
    command.arg(served.scene.place.state().join(format!("daemon/{role}.token")));
    Ran::of(command.args(words))
}

#[test]
fn viewers_see_everything_but_what_jobs_print() {
    let served = with_a_job(Served::new());
    let refused = as_viewer(&served, "/api/jobs/loud/output").problem(403, "output-not-for-viewers");
    assert!(refused["detail"].as_str().unwrap().contains("daemon.viewer_output"), "{refused}");
    assert!(refused["next"].as_str().unwrap().contains("viewer_output = true"), "{refused}");
    // The request is refused by its head, so that it does not show whether such a job exists.
    as_viewer(&served, "/api/jobs/gone/output?tail=1KiB").problem(403, "output-not-for-viewers");
    // Both roles ask again and again at the same time: nobody gets the other's answer.
    std::thread::scope(|scope| {
        for role in ["admin", "viewer", "viewer"] {
            let served = &served;
            scope.spawn(move || {
                let token = format!("Bearer {}", served.token(role));
                for _ in 0..50 {
                    let path = "/api/admin/recovery/jobs/failed";
                    let report =
                        served.ask_with("GET", path, None, &[("Authorization", &token)]).is(200).json();
                    let (tail, withheld) = (&report["jobs"][0]["output_tail"], &report["output_withheld"]);
                    let wanted =
                        if role == "admin" { (format!("{SECRET}\n"), false) } else { (String::new(), true) };
                    assert_eq!(
                        (tail.as_str().unwrap(), withheld),
                        (wanted.0.as_str(), &json!(wanted.1)),
                        "{role}"
                    );
                }
            });
        }
    });
    // No other report contains any of the output.
    for path in [
        "/api/jobs/loud",
        "/api/jobs",
        "/api/admin/why?object=job:loud",
        "/api/admin/recovery/dashboard-data",
        "/api/admin/recovery/status",
        "/api/admin/findings",
        "/metrics",
    ] {
        let reply = as_viewer(&served, path).is(200);
        // Its own command line is in the job.
        let text = String::from_utf8_lossy(&reply.body).replace(&format!("echo {SECRET}"), "");
        assert!(!text.contains(SECRET), "{path}: {text}");
    }
    for words in [
        &["jobs", "output", "loud"][..],
        &["jobs", "output", "loud", "-f"],
        &["--json", "jobs", "output", "loud"],
    ] {
        let ran = by_command(&served, "viewer", words).ends_with(17);
        assert!(
            !ran.stdout.contains(SECRET) && format!("{}{}", ran.stdout, ran.stderr).contains("viewer_output")
        );
    }
    let ran = by_command(&served, "viewer", &["jobs", "failed"]).ends_with(0);
    assert!(!ran.stdout.contains(SECRET) && ran.stderr.contains("daemon.viewer_output"), "{ran:?}");
    assert!(by_command(&served, "admin", &["jobs", "failed"]).ends_with(0).stdout.contains(SECRET));
    assert!(by_command(&served, "admin", &["jobs", "output", "loud"]).ends_with(0).stdout.contains(SECRET));
    served.over_socket("GET", "/api/jobs/loud/output").is(200);
}

#[test]
fn viewers_see_the_output_where_the_configuration_says_so_and_only_as_long() {
    let served = with_a_job(Served::showing_viewers_the_output());
    assert_eq!(as_viewer(&served, "/api/jobs/loud/output").is(200).json()["output"], format!("{SECRET}\n"));
    let failed = as_viewer(&served, "/api/admin/recovery/jobs/failed").is(200).json();
    assert_eq!(failed["jobs"][0]["output_tail"], format!("{SECRET}\n"), "{failed}");
    served.submit(&json!({ "id": "long", "command": ["sh", "-c", "echo begun; sleep 600"] }));
    let seen = served.scene.place.path("seen");
    let mut follow = served.scene.place.bare_command();
    follow.arg(format!("--url=http://{}", served.address)).arg("--token-file");
    follow.arg(served.scene.place.state().join("daemon/viewer.token"));
    follow.args(["jobs", "output", "-f", "long"]).stderr(std::process::Stdio::null());
    let mut follow = follow.stdout(std::fs::File::create(&seen).unwrap()).spawn().unwrap();
    wait_for("the output to come", || std::fs::read_to_string(&seen).unwrap() == "begun\n");
    // After the reload, viewers may not see it any more; a viewer that follows the output is disconnected.
    served.scene.place.write("config.toml", "[daemon]\nlisten = \"127.0.0.1:0\"\n");
    let pid = rustix::process::Pid::from_raw(i32::try_from(served.pid()).unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::HUP).unwrap();
    wait_for("the reload", || as_viewer(&served, "/api/jobs/loud/output").status == 403);
    wait_for("the follower to be sent away", || follow.try_wait().unwrap().is_some());
    served.cancel("long");
}
