//! Who may ask what: tokens and their rotation, the socket, hosts, other sites.

use serde_json::{Value, json};

use crate::crash::scene::{Scene, read_json};
use crate::http::client::{Served, exchange};

/// Every path of the description, with its method.
fn operations() -> Vec<(String, String, bool)> {
    let file = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/openapi.json");
    let described = read_json(&file);
    let mut all = Vec::new();
    for (path, operations) in described["paths"].as_object().unwrap() {
        for (method, operation) in operations.as_object().unwrap() {
            let is_open = operation["security"].as_array().is_some_and(Vec::is_empty);
            let path = path.replace("{id}", "x").replace("{repo}", "x");
            all.push((method.to_uppercase(), path, is_open));
        }
    }
    assert!(all.len() > 45, "{}", all.len());
    all
}

#[test]
fn without_a_token_nothing_but_probes_is_told() {
    let served = Served::new();
    let wrong = format!("Bearer {}", "0".repeat(64));
    for (method, path, is_open) in operations() {
        let asked =
            |headers: &[(&str, &str)]| exchange(&served.address, &method, &path, None, headers).unwrap();
        if is_open {
            assert_eq!(asked(&[]).status, 200, "{method} {path}");
            continue;
        }
        for headers in [&[][..], &[("Authorization", wrong.as_str())], &[("Authorization", "Basic abc")]] {
            let reply = asked(headers);
            assert_eq!(
                reply.header("www-authenticate"),
                Some("Bearer realm=\"recoveryctl\""),
                "{method} {path}"
            );
            reply.problem(401, "not-authorised");
        }
    }
}

#[test]
fn a_viewer_looks_and_changes_nothing() {
    let served = Served::new();
    let token = format!("Bearer {}", served.token("viewer"));
    for (method, path, is_open) in operations() {
        if is_open || path.ends_with("/events") {
            continue;
        }
        let reply = served.ask_with(&method, &path, None, &[("Authorization", &token)]);
        match method.as_str() {
            "GET" if path.ends_with("/output") => drop(reply.problem(403, "output-not-for-viewers")),
            "GET" => assert!(matches!(reply.status, 200 | 404 | 422), "{path}: {}", reply.status),
            _ => drop(reply.problem(403, "not-authorised")),
        }
    }
    assert_eq!(served.get("/api/jobs").is(200).json()["total"], 0);
}

#[test]
fn a_rotated_token_counts_no_more_at_once() {
    let served = Served::new();
    let old = format!("Bearer {}", served.token("admin"));
    let report = served.scene.json(&["token", "rotate", "admin"], 0);
    assert_eq!(report["tokens"][0]["role"], "admin");
    assert!(!report.to_string().contains(&served.token("admin")), "the token itself is never shown");
    served.ask_with("GET", "/api/jobs", None, &[("Authorization", &old)]).problem(401, "not-authorised");
    served.get("/api/jobs").is(200);
    let trail = served.get("/api/admin/audit?action=token%20rotate").is(200).json();
    assert_eq!(trail["entries"][0]["object"], "token:admin", "{trail}");
    for role in ["admin", "viewer"] {
        let file = served.scene.place.state().join(format!("daemon/{role}.token"));
        let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&file).unwrap().permissions());
        assert_eq!(mode & 0o777, 0o600, "{}", file.display());
    }
    // A token that others could read counts as known to them.
    let file = served.scene.place.state().join("daemon/viewer.token");
    let viewer = format!("Bearer {}", served.token("viewer"));
    std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
    served.ask_with("GET", "/api/jobs", None, &[("Authorization", &viewer)]).problem(401, "not-authorised");
}

#[test]
fn the_socket_needs_no_token_and_is_its_owners() {
    let served = Served::new();
    assert_eq!(served.over_socket("GET", "/api/jobs").is(200).json()["total"], 0);
    served.over_socket("POST", "/api/jobs/gone/cancel").problem(404, "no-such-job");
    let socket = served.scene.place.state().join("daemon/admin.sock");
    let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(socket).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn a_page_of_another_site_reaches_nothing() {
    let served = Served::new();
    let token = format!("Bearer {}", served.token("admin"));
    let ask = |headers: &[(&str, &str)]| {
        let all: Vec<_> = headers.iter().copied().chain([("Authorization", token.as_str())]).collect();
        served.ask_with("GET", "/api/jobs", None, &all)
    };
    ask(&[("Host", "evil.example")]).problem(421, "wrong-host");
    ask(&[("Host", "127.0.0.1.evil.example:80")]).problem(421, "wrong-host");
    ask(&[("Host", "localhost:1")]).is(200);
    ask(&[("Host", "localhost"), ("Origin", "http://evil.example")]).problem(403, "wrong-origin");
    ask(&[("Host", "localhost:7"), ("Origin", "http://localhost:7")]).is(200);
    exchange(&served.address, "GET", "/livez", None, &[("Host", "evil.example")]).unwrap().is(421);
}

#[test]
fn listening_for_others_is_a_finding() {
    let scene = Scene::new();
    scene.place.write("config.toml", "[daemon]\nlisten = \"0.0.0.0:0\"\nhosts = [\"batch.example\"]\n");
    let _daemon = scene.daemon(1);
    let status = scene.json(&["status"], 0);
    let codes: Vec<&Value> = status["findings"].as_array().unwrap().iter().map(|f| &f["code"]).collect();
    assert!(codes.contains(&&json!("daemon-exposed")), "{status}");
    let address = status["daemon"]["address"].as_str().unwrap().replace("0.0.0.0", "127.0.0.1");
    exchange(&address, "GET", "/livez", None, &[("Host", "batch.example")]).unwrap().is(200);
    let listed = scene.json(&["findings", "--code", "daemon-exposed"], 0);
    assert_eq!(listed["total"], 1);
}

#[test]
fn nothing_secret_is_answered() {
    let served = Served::new();
    served.submit(&json!({
        "id": "quiet", "command": ["true"], "env": { "PASSWORD": "hunter2" },
        "callbacks": ["http://ana:hunter2@127.0.0.1:1/x"],
    }));
    let tokens = [served.token("admin"), served.token("viewer")];
    for (method, path, _) in operations() {
        if method != "GET" || path.ends_with("/events") {
            continue;
        }
        let reply = served.get(&path.replace("/jobs/x", "/jobs/quiet"));
        let text = String::from_utf8_lossy(&reply.body).into_owned();
        assert!(!text.contains("hunter2"), "{path}: {text}");
        assert!(tokens.iter().all(|token| !text.contains(token)), "{path}");
    }
}
