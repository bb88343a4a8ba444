//! A terminal that a test can type into and read from.

use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use crate::common::{Place, skipped, until};

/// A tmux server with one pane, in which a shell runs; ended when it goes out of scope.
pub struct Terminal {
    socket: String,
}

static NUMBER: AtomicU32 = AtomicU32::new(0);

impl Terminal {
    /// A terminal of 80 × 24 with a shell in a place; `None`, said, where there is no tmux.
    pub fn open(place: &Place) -> Option<Terminal> {
        if Command::new("tmux").arg("-V").stdout(Stdio::null()).status().is_err() {
            skipped("tmux is not installed");
            return None;
        }
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let terminal = Terminal { socket: format!("recoveryctl-{}-{number}", std::process::id()) };
        let mut tmux = terminal.command();
        // The server keeps the environment of the process that starts it.
        let ours = place.command();
        tmux.env_clear().envs(ours.get_envs().filter_map(|(name, value)| Some((name, value?))));
        tmux.env("LANG", "C.UTF-8").env("TMUX_TMPDIR", place.path(""));
        tmux.args(["-f", "/dev/null", "new-session", "-d", "-x", "80", "-y", "24", "sh"]);
        assert!(tmux.status().unwrap().success(), "tmux starts");
        let terminal = Terminal {
            socket: place.path(&format!("tmux-{}/{}", uid(), terminal.socket)).display().to_string(),
        };
        // As it is typed it is no prompt yet.
        terminal.enter("PS1='rea''dy> '");
        terminal.wait_for("ready>");
        Some(terminal)
    }

    fn command(&self) -> Command {
        let mut tmux = Command::new("tmux");
        let flag = if self.socket.contains('/') { "-S" } else { "-L" };
        tmux.args([flag, &self.socket]).stdin(Stdio::null()).stderr(Stdio::null());
        tmux
    }

    fn tmux(&self, arguments: &[&str]) -> String {
        let output = self.command().args(arguments).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    }

    /// Presses keys, by their names in tmux; a name that it does not know is typed.
    pub fn press(&self, keys: &[&str]) {
        self.tmux(&[&["send-keys"], keys].concat());
    }

    /// Types a text.
    pub fn type_text(&self, text: &str) {
        self.tmux(&["send-keys", "-l", "--", text]);
    }

    /// Types a line into the shell.
    pub fn enter(&self, line: &str) {
        self.type_text(line);
        self.press(&["Enter"]);
    }

    /// Starts the dashboard and waits until it has read.
    pub fn start(&self, arguments: &str) {
        self.enter(&format!("{} {arguments}; echo ended with $?", env!("CARGO_BIN_EXE_recoveryctl")));
        self.wait_for("1Overview");
        self.wait_for_no("READING");
    }

    /// What is on the screen.
    pub fn screen(&self) -> String {
        self.tmux(&["capture-pane", "-p"])
    }

    /// The same with the sequences for colours and for bold, faint and reversed text.
    pub fn styled_screen(&self) -> String {
        self.tmux(&["capture-pane", "-p", "-e"])
    }

    /// What tmux knows of the pane: `pane_title`, `mouse_any_flag`.
    pub fn knows(&self, what: &str) -> String {
        self.tmux(&["display-message", "-p", &format!("#{{{what}}}")]).trim().to_owned()
    }

    /// Waits until a text is on the screen.
    #[track_caller]
    pub fn wait_for(&self, text: &str) -> String {
        self.wait(text, |screen| screen.contains(text))
    }

    /// Waits until a text is not on the screen any more.
    #[track_caller]
    pub fn wait_for_no(&self, text: &str) -> String {
        self.wait(&format!("no {text}"), |screen| !screen.contains(text))
    }

    #[track_caller]
    fn wait(&self, what: &str, is_so: impl Fn(&str) -> bool) -> String {
        let begun = std::time::Instant::now();
        loop {
            let asked = std::time::Instant::now();
            let screen = self.screen();
            if is_so(&screen) {
                return screen;
            }
            assert!(
                begun.elapsed() < crate::common::PATIENCE,
                "waited too long: {what}; on the screen:\n{screen}"
            );
            crate::common::rest_after(asked);
        }
    }

    /// Changes the size.
    pub fn resize(&self, columns: u16, rows: u16) {
        self.tmux(&["resize-window", "-x", &columns.to_string(), "-y", &rows.to_string()]);
    }

    /// Presses a key and changes the size at once.
    pub fn press_and_resize(&self, key: &str, columns: u16, rows: u16) {
        let (columns, rows) = (columns.to_string(), rows.to_string());
        self.tmux(&["send-keys", key, ";", "resize-window", "-x", &columns, "-y", &rows]);
    }

    /// The process that the shell waits for.
    pub fn foreground(&self) -> u32 {
        let shell = self.tmux(&["display-message", "-p", "#{pane_pid}"]);
        let children = format!("/proc/{0}/task/{0}/children", shell.trim());
        let mut child = None;
        until("the shell has a child", || {
            let children = std::fs::read_to_string(&children).unwrap_or_default();
            child = children.split_whitespace().next().and_then(|pid| pid.parse().ok());
            child.is_some()
        });
        child.unwrap()
    }

    /// That the shell has the terminal as it was: normal screen, cursor, echo, lines.
    #[track_caller]
    pub fn assert_given_back(&self) {
        assert_eq!(
            self.tmux(&["display-message", "-p", "#{alternate_on} #{cursor_flag} #{mouse_any_flag}"]).trim(),
            "0 1 0"
        );
        self.enter("clear; stty -a");
        let modes = self.wait_for("icanon");
        let has = |mode: &str| modes.split_whitespace().any(|word| word.trim_end_matches(';') == mode);
        assert!(has("icanon") && has("echo") && has("isig") && has("icrnl"), "{modes}");
    }

    /// Takes the terminal away from all processes in it.
    pub fn close(&self) {
        self.tmux(&["kill-server"]);
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        self.close();
    }
}

fn uid() -> u32 {
    rustix::process::getuid().as_raw()
}
