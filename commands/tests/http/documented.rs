//! The examples of `docs/http.md`, each run as it stands there.

use std::path::Path;
use std::process::Command;

use serde_json::json;

use crate::common::Ran;
use crate::http::client::Served;

#[test]
fn every_example_runs() {
    if Command::new("curl").arg("--version").output().is_err() {
        assert!(std::env::var_os("RECOVERYCTL_TESTS_MUST_RUN").is_none(), "curl is not installed");
        return crate::common::skipped("curl is not installed");
    }
    let served = Served::new();
    served.submit(&json!({ "id": "before", "command": ["true"] }));
    served.wait_for("before", "succeeded");
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/http.md");
    let text = std::fs::read_to_string(page).unwrap();
    let program = Path::new(env!("CARGO_BIN_EXE_recoveryctl")).parent().unwrap();
    let mut run = 0;
    for block in text.split("```sh\n").skip(1) {
        let script = block.split("```").next().unwrap();
        let ran = Ran::of(
            Command::new("sh")
                .args(["-e", "-c", script])
                .env_clear()
                .env("PATH", format!("{}:/usr/bin:/bin", program.display()))
                .env("URL", format!("http://{}", served.address))
                .env("STATE", served.scene.place.state()),
        );
        assert_eq!(ran.status, 0, "{script}\n{}\n{}", ran.stdout, ran.stderr);
        run += 1;
        if run == 2 {
            served.wait_for("nightly", "succeeded");
        }
    }
    assert!(run >= 6, "{run}");
}
