//! `daemon --socket FILE`: takes the name of a socket that nobody serves, and of nothing else.

use std::os::unix::fs::{FileTypeExt, PermissionsExt, symlink};
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::path::Path;
use std::process::Stdio;

use super::{STRANGER, give, is_root};
use crate::common::Ran;
use crate::crash::scene::{Daemon, Scene, wait_for};

/// A daemon that is to listen on this socket, and must not come up.
#[track_caller]
fn refused(scene: &Scene, socket: &Path, status: i32, code: &str) {
    let mut command = scene.place.command();
    command.args(["--json", "daemon", "--listen", "none", "--socket"]).arg(socket);
    command.stdout(Stdio::piped()).stderr(Stdio::null());
    let mut daemon = Daemon { child: command.spawn().unwrap() };
    let mut ended = None;
    wait_for("the daemon to end by itself", || {
        ended = daemon.child.try_wait().unwrap();
        assert!(
            !scene.place.state().join("daemon/daemon.json").exists(),
            "it listens on {}",
            socket.display()
        );
        ended.is_some()
    });
    let stdout = std::io::read_to_string(daemon.child.stdout.take().unwrap()).unwrap();
    let ran = Ran { stdout, stderr: String::new(), status: ended.unwrap().code().unwrap_or(-1) };
    let error = ran.ends_with(status).error();
    assert_eq!(error["code"], code, "{error}");
    let message = error["message"].as_str().unwrap();
    assert!(message.contains(socket.to_str().unwrap()), "{error}");
    assert!(error["hint"].as_str().unwrap().contains("--socket"), "{error}");
}

/// A daemon on this socket comes up; clients are answered there.
#[track_caller]
fn serves(scene: &Scene, socket: &Path) {
    let mut command = scene.place.command();
    command.args(["daemon", "--listen", "none", "--socket"]).arg(socket);
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let daemon = Daemon { child: command.spawn().unwrap() }.ready_in(&scene.place.state());
    let found = std::fs::symlink_metadata(socket).unwrap();
    assert!(found.file_type().is_socket() && found.permissions().mode() & 0o777 == 0o600);
    Ran::of(scene.place.bare_command().arg("--socket").arg(socket).arg("status")).ends_with(0);
    assert_eq!(daemon.terminate(), Some(0));
}

#[test]
fn socket_that_nobody_serves_is_replaced_and_what_is_served_is_not() {
    let scene = Scene::new();
    let socket = scene.place.path("own.sock");
    serves(&scene, &socket);
    assert!(socket.exists(), "what a daemon leaves");
    serves(&scene, &socket);
    std::fs::remove_file(&socket).unwrap();
    let other = UnixListener::bind(&socket).unwrap();
    refused(&scene, &socket, 11, "socket-in-use");
    // A process that is too busy to accept the connection serves the socket all the same.
    let full: Vec<_> = (0..).map_while(|_| connect_now(&socket)).collect();
    refused(&scene, &socket, 11, "socket-in-use");
    assert!(socket.exists());
    drop((other, full));
    serves(&scene, &socket);
}

/// Connects at once or not at all: a socket with a full line would block.
fn connect_now(
    socket: &Path,
) -> Option<std::thread::JoinHandle<std::io::Result<std::os::unix::net::UnixStream>>> {
    let (path, (tell, told)) = (socket.to_owned(), std::sync::mpsc::channel());
    let connecting = std::thread::spawn(move || {
        let connected = std::os::unix::net::UnixStream::connect(path);
        let _ = tell.send(());
        connected
    });
    told.recv_timeout(std::time::Duration::from_millis(500)).ok().map(|()| connecting)
}

#[test]
fn anything_else_that_has_the_name_is_left_alone() {
    let scene = Scene::new();
    let path = |name: &str| scene.place.path(name);
    let file = scene.place.write("file", "thesis");
    refused(&scene, &file, 12, "not-a-socket");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "thesis");
    std::fs::create_dir(path("folder")).unwrap();
    refused(&scene, &path("folder"), 12, "not-a-socket");
    symlink(&file, path("link")).unwrap();
    refused(&scene, &path("link"), 12, "not-a-socket");
    // Also one that leads to a socket that nobody serves.
    drop(UnixListener::bind(path("left")).unwrap());
    symlink(path("left"), path("led")).unwrap();
    refused(&scene, &path("led"), 12, "not-a-socket");
    recovery::durable::Disk::real().create_fifo(&path("pipe")).unwrap();
    refused(&scene, &path("pipe"), 12, "not-a-socket");
    let _datagrams = UnixDatagram::bind(path("datagrams")).unwrap();
    refused(&scene, &path("datagrams"), 11, "socket-in-use");
    for name in ["file", "folder", "link", "left", "led", "pipe", "datagrams"] {
        assert!(path(name).symlink_metadata().is_ok(), "{name}");
    }
}

#[test]
fn socket_or_folder_of_another_user_is_refused() {
    let scene = Scene::new();
    let folder = scene.place.path("run");
    std::fs::create_dir(&folder).unwrap();
    let socket = folder.join("own.sock");
    std::fs::set_permissions(&folder, PermissionsExt::from_mode(0o777)).unwrap();
    refused(&scene, &socket, 12, "path-exposed");
    assert!(!socket.exists());
    std::fs::set_permissions(&folder, PermissionsExt::from_mode(0o1777)).unwrap();
    serves(&scene, &socket);
    if is_root() {
        give(&socket, (STRANGER, STRANGER), 0o600);
        refused(&scene, &socket, 12, "path-exposed");
        // In a folder where only root can have put it.
        give(&folder, (0, 0), 0o755);
        refused(&scene, &socket, 12, "socket-of-another-user");
        assert!(socket.exists());
        give(&folder, (STRANGER, STRANGER), 0o755);
        refused(&scene, &socket, 12, "path-exposed");
    }
}

/// The daemon starts without its default socket.
#[test]
fn daemon_does_without_its_own_socket_where_something_else_has_the_name() {
    let scene = Scene::new();
    scene.place.write("state/daemon/admin.sock", "mine");
    scene.place.write("config.toml", "[daemon]\nlisten = \"127.0.0.1:0\"\n");
    let served = crate::http::client::Served::started(scene, 1);
    served.get("/api/jobs").is(200);
    let state = served.scene.place.state();
    assert_eq!(std::fs::read_to_string(state.join("daemon/admin.sock")).unwrap(), "mine");
    assert!(crate::crash::scene::read_json(&state.join("daemon/daemon.json"))["socket"].is_null());
}
