//! Nothing that a daemon, `work` or `lock` was started with reaches a job by chance.

use std::path::Path;
use std::process::Command;

use recovery::queue::JobStatus;

use crate::common::Ran;
use crate::crash::scene::{Scene, read_json, wait_for};

/// What `script` printed as a job of its own, run by `work --once` with these variables, behind these words.
fn printed(scene: &Scene, id: &str, script: &str, variables: &[(&str, &str)], before: &[&str]) -> String {
    scene.submit(id, &[], script);
    Ran::of(&mut behind(scene, before, &["work", "--once"], variables)).ends_with(0);
    assert_eq!(scene.status(id), JobStatus::Succeeded);
    scene.run(&["jobs", "output", id]).ends_with(0).stdout
}

/// recoveryctl, started by another program.
fn behind(scene: &Scene, before: &[&str], arguments: &[&str], variables: &[(&str, &str)]) -> Command {
    let ours = scene.place.command();
    let mut command = match before.split_first() {
        None => Command::new(ours.get_program()),
        Some((program, words)) => {
            let mut command = Command::new(program);
            command.args(words).arg(ours.get_program());
            command
        }
    };
    command.env_clear().args(arguments).current_dir(scene.place.path(""));
    command.envs(ours.get_envs().filter_map(|(name, value)| Some((name, value?))));
    command.envs(variables.iter().copied());
    command
}

#[test]
fn environment_of_job_does_not_depend_on_its_starter() {
    let scene = Scene::new();
    let script = "env | grep -v -e ^RECOVERYCTL_ -e ^PWD= -e ^OLDPWD= -e ^_= -e ^SHLVL= | sort";
    let alien = [
        ("NOTIFY_SOCKET", "/run/none"),
        ("LISTEN_FDS", "1"),
        ("JOURNAL_STREAM", "8:1"),
        ("SECRET", "hunter2"),
        ("HOME", "/elsewhere"),
        ("LANG", "xx"),
        ("PATH", "/bin:/usr/bin:/opt/own"),
        ("TMPDIR", "/elsewhere"),
        ("RECOVERYCTL_JOBS_KILL_GRACE", "7s"),
    ];
    let plain = printed(&scene, "plain", script, &[], &[]);
    assert_eq!(printed(&scene, "alien", script, &alien, &[]), plain);
    let names: Vec<&str> =
        plain.lines().filter_map(|line| line.split_once('=')).map(|(name, _)| name).collect();
    assert_eq!(names, ["HOME", "LANG", "LOGNAME", "PATH", "SHELL", "USER", "W"]);
    // None of our variables about the daemon, or an outer job, reaches it either.
    let ours = printed(
        &scene,
        "ours",
        "env",
        &[("RECOVERYCTL_CONFIG_X", "1"), ("RECOVERYCTL_JOB_ID", "outer")],
        &[],
    );
    assert!(!ours.contains("RECOVERYCTL_CONFIG") && ours.contains("RECOVERYCTL_JOB_ID=ours\n"), "{ours}");
}

/// Variables that `submit` had in its environment go with the job, whatever the daemon has.
#[test]
fn variables_that_were_exported_where_a_job_was_submitted_go_with_it() {
    let scene = Scene::new();
    let theirs = [
        ("TOOLS", "/opt/tools"),
        ("TZ", "theirs"),
        ("EDITOR", "theirs"),
        ("DEPLOY_TOKEN", "hunter2"),
        ("MIRROR", "https://user:hunter2@mirror.example"),
        // As in a hook of git, and in a rule of make.
        ("GIT_DIR", "."),
        ("MAKEFLAGS", " -j --jobserver-auth=3,4"),
        ("TERM", "xterm"),
        ("NOTIFY_SOCKET", "/run/none"),
        ("HOME", "/elsewhere"),
        ("USER", "stranger"),
        ("RECOVERYCTL_JOB_ID", "outer"),
    ];
    scene.place.write("config.toml", "[jobs]\nenvironment = [\"TZ=ours\"]\n");
    let script = "[ $HOME = /elsewhere ] && HOME=theirs || HOME=ours; \
                  echo $TOOLS,$TZ,$EDITOR,$DEPLOY_TOKEN,$MIRROR,$TERM,$NOTIFY_SOCKET,$HOME,$RECOVERYCTL_JOB_ID$GIT_DIR$MAKEFLAGS";
    let printed = |id: &str, options: &[&str]| {
        let mut words = vec!["submit", "--id", id];
        words.extend(options);
        words.extend(["--", "/bin/sh", "-c", script]);
        Ran::of(&mut behind(&scene, &[], &words, &theirs)).ends_with(0);
        let alien = [("TOOLS", "alien"), ("MIRROR", "alien"), ("EDITOR", "alien")];
        Ran::of(&mut behind(&scene, &[], &["work", "--once"], &alien)).ends_with(0);
        assert_eq!(scene.status(id), JobStatus::Succeeded);
        scene.run(&["jobs", "output", id]).ends_with(0).stdout
    };
    assert_eq!(printed("all", &[]), "/opt/tools,ours,theirs,,,,,theirs,all\n");
    assert_eq!(printed("given", &["--env", "EDITOR=given"]), "/opt/tools,ours,given,,,,,theirs,given\n");
    let named = printed("named", &["--export", "DEPLOY_TOKEN,TZ"]);
    assert_eq!(named, ",theirs,,hunter2,,,,ours,named\n");
    assert_eq!(printed("none", &["--export", "none"]), ",ours,,,,,,ours,none\n");
    let shown = scene.run(&["jobs", "show", "all", "--json"]).ends_with(0).stdout;
    assert!(shown.contains("TOOLS") && !shown.contains("/opt/tools"), "{shown}");
    scene.place.write("config.toml", "[jobs]\nexport = \"none\"\n");
    assert_eq!(printed("configured", &[]), ",,,,,,,ours,configured\n");
    scene.run(&["submit", "--export", "A=B", "--", "true"]).ends_with(2);
}

#[test]
fn configured_variables_umask_and_limits_are_what_a_job_gets() {
    let scene = Scene::new();
    let given = [("TZ", "Europe/Vienna"), ("SECRET", "x"), ("LANG", "xx")];
    let script = "echo $TZ,$SECRET,$EDITOR; umask; ulimit -Sn; ulimit -Sc; ulimit -Hn; ulimit -f";
    let before = ["sh", "-c", "umask 000; ulimit -Sn 333; ulimit -Sf 100000; exec \"$@\"", "sh"];
    let usual = printed(&scene, "usual", script, &given, &before);
    let lines: Vec<&str> = usual.lines().collect();
    assert_eq!(lines[..4], [",,", "0022", "1024", "0"], "{usual}");
    assert_ne!(lines[5], "100000", "{usual}");
    let config = "[jobs]\nenvironment = [\"TZ\", \"EDITOR=vi,m\"]\numask = \"077\"\nlimits = [\"nofile=400:500\", \"core=unlimited\"]\n";
    scene.place.write("config.toml", config);
    let configured = printed(&scene, "configured", script, &given, &before);
    let lines: Vec<&str> = configured.lines().collect();
    assert_eq!(lines[..3], ["Europe/Vienna,,vi,m", "0077", "400"], "{configured}");
    assert_eq!(lines[4], "500", "{configured}");
    let shown = scene.run(&["config", "show"]).ends_with(0).stdout;
    for line in ["jobs.environment", "jobs.umask", "jobs.limits"] {
        assert!(shown.contains(line), "{shown}");
    }
    for wrong in ["environment = [\"RECOVERYCTL_JOB_ID=x\"]", "umask = \"999\"", "limits = [\"files=1\"]"] {
        scene.place.write("config.toml", &format!("[jobs]\n{wrong}\n"));
        scene.run(&["config", "check"]).ends_with(2);
    }
}

#[test]
fn inherited_descriptors_reach_neither_supervisor_nor_job() {
    let scene = Scene::new();
    let held = scene.place.path("held");
    let opened = format!("exec 8>'{0}' 9>>'{0}'; exec \"$@\"", held.display());
    let script = "ls /proc/self/fd; readlink /proc/$PPID/fd/*; for p in /proc/[0-9]*; do \
                  tr '\\0' ' ' < $p/cmdline 2>/dev/null | grep -q 'supervise.*--job it ' && readlink $p/fd/*; done; true";
    let seen = printed(&scene, "it", script, &[], &["sh", "-c", &opened, "sh"]);
    assert!(seen.contains("output.log") || seen.contains("pipe:["), "{seen}");
    assert!(!seen.contains(held.to_str().unwrap()), "{seen}");
    // The standard three, and the folder that is listed.
    assert!(seen.starts_with("0\n1\n2\n3\n") && !seen.starts_with("0\n1\n2\n3\n4\n"), "{seen}");
}

#[test]
fn lock_that_daemon_was_started_under_is_free_when_it_is_dead() {
    let scene = Scene::new();
    let lock = scene.place.path("watchdog");
    let lock = lock.to_str().unwrap();
    let is_free = || Command::new("flock").args(["-n", lock, "true"]).status().unwrap().success();
    let mut command =
        behind(&scene, &["flock", "-n", "--no-fork", lock], &["daemon", "--listen", "none"], &[]);
    let mut daemon = crate::common::Background::start(&mut command);
    scene.submit("it", &[], "echo began >> $W/it; sleep 600");
    scene.wait_for_witness("it");
    assert!(!is_free(), "it is the daemon's as long as it lives");
    daemon.kill();
    wait_for("the lock to be free", is_free);
    assert_eq!(scene.status("it"), JobStatus::Running);
}

#[test]
fn blocked_and_ignored_signals_are_not_inherited() {
    let scene = Scene::new();
    let script = "grep -E '^Sig(Blk|Ign)' /proc/self/status";
    let all = ["env", "--ignore-signal", "--block-signal"];
    let masks = printed(&scene, "it", script, &[], &all);
    assert_eq!(masks, "SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\n");
    // A command under `lock` still ignores SIGHUP, because nohup asks for that, and ignores no other signal.
    let ran = Ran::of(&mut behind(
        &scene,
        &all,
        &["lock", "web", "--", "sh", "-c", &format!("{script}; exit 7")],
        &[],
    ));
    let ran = ran.ends_with(7);
    // The C library ignores two signals of its own in what it starts.
    let (blocked, ignored) = ran.stdout.trim_end().split_once("\nSigIgn:\t").unwrap();
    let ignored = u64::from_str_radix(ignored, 16).unwrap() & !(0b11 << 31);
    assert_eq!((blocked, ignored), ("SigBlk:\t0000000000000000", 1));
}

#[test]
fn deaf_starter_leaves_daemon_and_jobs_with_their_ears() {
    let scene = Scene::new();
    let deaf = ["env", "--block-signal=TERM,HUP,CHLD", "--ignore-signal=INT,RTMIN"];
    let mut command = behind(&scene, &deaf, &["daemon", "--listen", "none"], &[]);
    let daemon = crate::common::Background::start(&mut command);
    scene.submit("it", &[], "echo began >> $W/it; sleep 600");
    scene.wait_for_witness("it");
    scene.run(&["jobs", "cancel", "it"]).ends_with(0);
    scene.wait_for_status("it", JobStatus::Cancelled);
    scene.submit("ends", &[], "exit 42");
    scene.wait_for_status("ends", JobStatus::Failed);
    assert_eq!(read_json(&scene.job_file("ends", "exit.json"))["exit_code"], 42);
    signal(daemon.pid());
    assert_eq!(daemon.wait(), 0);
}

#[test]
fn inherited_alarm_ends_nobody() {
    let scene = Scene::new();
    if !Path::new("/usr/bin/perl").exists() {
        return crate::common::skipped("there is no perl to set an alarm with");
    }
    let alarm = ["perl", "-e", "alarm 1; exec @ARGV"];
    let ran = Ran::of(&mut behind(&scene, &alarm, &["lock", "web", "--", "sleep", "1.5"], &[]));
    ran.ends_with(0);
}

fn signal(pid: u32) {
    let process = recovery::system::ProcessIdentity::of(pid).unwrap();
    recovery::system::signal_process(process, rustix::process::Signal::TERM).unwrap();
}
