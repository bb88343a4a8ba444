//! A command line, given to a daemon.

use std::ffi::OsString;
use std::io::{self, IsTerminal, Read, Write};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use hyper::{Method, StatusCode};
use recovery::state::{check_file, check_way, human};
use serde_json::Value;

use super::connect::{Target, next_part};
use crate::cli::Command;
use crate::error::{CliError, ErrorKind, exposed};
use crate::globals::Globals;
use crate::http::frames::{CommandRequest, QUESTION, STATUS, STDERR, STDOUT};
use crate::output::Output;

/// Options that say which daemon is asked; the daemon is not told.
const OURS: [&str; 5] = ["--url", "--socket", "--token-file", "--state-dir", "--config"];

/// How long a daemon may take to say how it is.
const LOOK_TIME: Duration = Duration::from_secs(10);

/// Gives the command to the daemon that the globals name; its exit status.
///
/// # Errors
/// When no daemon takes it.
pub(crate) fn forward(
    output: &mut Output,
    globals: &Globals,
    command: &Command,
    arguments: &[OsString],
) -> Result<ExitCode, CliError> {
    let target = target(globals)?;
    if !command.is_for_a_daemon() {
        let message = format!("'{}' works where it is given, not through a daemon", command.word());
        return Err(CliError::new(ErrorKind::Usage, message)
            .code("not-through-a-daemon")
            .hint("leave --url and --socket out"));
    }
    let (mut words, input) = to_send(&arguments[1..])?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build();
    let runtime = runtime.map_err(|e| CliError::new(ErrorKind::Failed, e))?;
    loop {
        let asked = request(&words, output)?;
        let mut body = asked;
        body.extend_from_slice(&input);
        let answered = runtime.block_on(in_time(&target, command, carry_out(&target, body)))?;
        match answered {
            Answered::Ended(status) => return Ok(ExitCode::from(status)),
            Answered::Asked(question) if !words.iter().any(|word| word == "--yes") => {
                if !agreed(&question) {
                    return Err(CliError::new(ErrorKind::Failed, "not confirmed; nothing was changed")
                        .code("declined"));
                }
                words.insert(0, "--yes".to_owned());
            }
            Answered::Asked(_) => {
                return Err(CliError::new(ErrorKind::Failed, "the daemon asks again and again"));
            }
        }
    }
}

/// Which daemon.
pub(super) fn target(globals: &Globals) -> Result<Target, CliError> {
    if let Some(socket) = &globals.socket {
        // Those who can replace the socket hear everything, and answers what they like.
        check_way(socket).map_err(|by| exposed(&format!("the socket {}", socket.display()), &by))?;
        return Ok(Target::Socket(socket.clone()));
    }
    let url = globals.url.as_deref().unwrap_or_default();
    let wrong = |why: &str| CliError::new(ErrorKind::Usage, format!("'{url}' is no daemon's address: {why}"));
    let rest = match url.split_once("://") {
        Some(("http", rest)) => rest,
        Some(("https", _)) => {
            return Err(wrong(
                "HTTPS ends at a proxy; ask the daemon itself, through SSH if it is elsewhere",
            ));
        }
        _ => return Err(wrong("it begins with http://")),
    };
    let rest = rest.trim_end_matches('/');
    let (authority, base) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    if authority.is_empty() || rest.contains(['?', '#', '@']) || rest.bytes().any(|b| !b.is_ascii_graphic()) {
        return Err(wrong("it is http://HOST:PORT, behind a proxy with the path below which that offers it"));
    }
    let has_port = authority.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
    let authority = if has_port { authority.to_owned() } else { format!("{authority}:80") };
    let file = globals.token_file.as_deref().ok_or_else(|| {
        CliError::new(ErrorKind::Usage, "--url needs --token-file")
            .hint("the daemon keeps its tokens in daemon/admin.token and daemon/viewer.token")
    })?;
    Ok(Target::Tcp { authority, base: base.to_owned(), token: read_token(file)? })
}

fn read_token(file: &Path) -> Result<String, CliError> {
    let cannot = |e: io::Error| {
        let message = format!("cannot read the token in {}: {e}", file.display());
        CliError::new(ErrorKind::NotAuthorised, message)
    };
    let opened = recovery::durable::plain::open(file).map_err(cannot)?;
    let found = opened.metadata().map_err(cannot)?;
    let what = format!("the token file {}", file.display());
    check_way(file).and_then(|()| check_file(file, &found)).map_err(|by| exposed(&what, &by))?;
    let text = io::read_to_string(opened).map_err(cannot)?;
    let token = text.trim();
    // It becomes a header: nothing else may come in with it.
    if token.is_empty() || !token.bytes().all(|b| b.is_ascii_graphic()) {
        let message = format!("there is no token in {}", file.display());
        return Err(CliError::new(ErrorKind::NotAuthorised, message));
    }
    Ok(token.to_owned())
}

/// The words for the daemon, and what the command reads: a file that is named here is read here.
fn to_send(arguments: &[OsString]) -> Result<(Vec<String>, Vec<u8>), CliError> {
    let (mut words, mut input) = (Vec::new(), Vec::new());
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        let word = argument.to_str().ok_or_else(|| {
            CliError::new(ErrorKind::Usage, format!("'{}' is no UTF-8", argument.to_string_lossy()))
        })?;
        if word == "--" {
            words.push(word.to_owned());
            for behind in rest.by_ref() {
                let behind = behind.to_str().ok_or_else(|| {
                    CliError::new(ErrorKind::Usage, format!("'{}' is no UTF-8", behind.to_string_lossy()))
                })?;
                words.push(behind.to_owned());
            }
            break;
        }
        let (name, joined) = word.split_once('=').map_or((word, None), |(name, value)| (name, Some(value)));
        if OURS.contains(&name) {
            if joined.is_none() {
                rest.next();
            }
            continue;
        }
        if name == "--from" {
            let file = match joined {
                Some(file) => file.to_owned(),
                None => rest.next().map(|file| file.to_string_lossy().into_owned()).unwrap_or_default(),
            };
            input = read_input(&file)?;
            words.push("--from=-".to_owned());
            continue;
        }
        words.push(word.to_owned());
    }
    Ok((words, input))
}

fn read_input(file: &str) -> Result<Vec<u8>, CliError> {
    let read = match file {
        "-" => {
            let mut bytes = Vec::new();
            io::stdin().lock().read_to_end(&mut bytes).map(|_| bytes)
        }
        path => recovery::durable::plain::read(path),
    };
    read.map_err(|e| CliError::new(ErrorKind::Failed, format!("cannot read {file}: {e}")).code("input"))
}

/// The line before the input.
fn request(words: &[String], output: &Output) -> Result<Vec<u8>, CliError> {
    let asked = CommandRequest {
        arguments: words.to_vec(),
        folder: std::env::current_dir().ok(),
        terminals: [io::stdin().is_terminal(), io::stdout().is_terminal(), io::stderr().is_terminal()],
        colors: output.colors(),
    };
    let mut line = serde_json::to_vec(&asked).map_err(|e| CliError::new(ErrorKind::Failed, e))?;
    line.push(b'\n');
    Ok(line)
}

/// How a command came back.
enum Answered {
    Ended(u8),
    /// It is to be agreed to first.
    Asked(String),
}

/// A look is made in a moment: where none comes, the daemon does not turn. Other commands may take their time.
async fn in_time(
    target: &Target,
    command: &Command,
    answer: impl Future<Output = Result<Answered, CliError>>,
) -> Result<Answered, CliError> {
    if !command.is_a_look() {
        return answer.await;
    }
    match tokio::time::timeout(LOOK_TIME, answer).await {
        Ok(answered) => answered,
        Err(_) => Err(target.unreachable(&io::Error::new(
            io::ErrorKind::TimedOut,
            format!("no answer within {}", human::span(LOOK_TIME)),
        ))),
    }
}

async fn carry_out(target: &Target, body: Vec<u8>) -> Result<Answered, CliError> {
    let response = target.ask(Method::POST, "/api/admin/command", body).await?;
    let status = response.status();
    let mut body = response.into_body();
    if status != StatusCode::OK {
        let mut bytes = Vec::new();
        while let Some(part) = next_part(target, &mut body).await? {
            bytes.extend_from_slice(&part);
        }
        return Err(refused(target, status, &bytes));
    }
    let (mut waiting, mut question) = (Vec::new(), None);
    while let Some(part) = next_part(target, &mut body).await? {
        waiting.extend_from_slice(&part);
        while let Some((kind, content)) = take_frame(&mut waiting) {
            match (kind, &question) {
                (STATUS, None) => return Ok(Answered::Ended(content.first().copied().unwrap_or(1))),
                (STATUS, Some(_)) => return Ok(Answered::Asked(question.unwrap_or_default())),
                (QUESTION, _) => question = Some(String::from_utf8_lossy(&content).into_owned()),
                (STDOUT, None) if !written(&mut io::stdout(), &content) => {
                    // The reader of our output has seen enough.
                    return Ok(Answered::Ended(0));
                }
                (STDERR, None) => {
                    written(&mut io::stderr(), &content);
                }
                _ => {}
            }
        }
    }
    let message = format!("the daemon at {} went away before the command ended", target.name());
    Err(CliError::new(ErrorKind::DaemonUnreachable, message)
        .hint("whether it was done, the audit trail says"))
}

fn written(stream: &mut dyn Write, bytes: &[u8]) -> bool {
    stream.write_all(bytes).and_then(|()| stream.flush()).is_ok()
}

/// A whole frame from the front of what has come.
fn take_frame(waiting: &mut Vec<u8>) -> Option<(u8, Vec<u8>)> {
    let head: [u8; 5] = waiting.get(..5)?.try_into().ok()?;
    let length = usize::try_from(u32::from_be_bytes([head[1], head[2], head[3], head[4]])).ok()?;
    if waiting.len() < 5 + length {
        return None;
    }
    let content = waiting[5..5 + length].to_vec();
    waiting.drain(..5 + length);
    Some((head[0], content))
}

/// The daemon took no command.
pub(super) fn refused(target: &Target, status: StatusCode, body: &[u8]) -> CliError {
    let problem: Value = serde_json::from_slice(body).unwrap_or_default();
    let detail = problem["detail"].as_str().unwrap_or("it says no more");
    let message = format!("the daemon at {} refused ({}): {detail}", target.name(), status.as_u16());
    let kind = match status.as_u16() {
        401 | 403 => ErrorKind::NotAuthorised,
        502..=504 => ErrorKind::DaemonUnreachable,
        _ => ErrorKind::Failed,
    };
    let error = CliError::new(kind, message);
    match problem["next"].as_str() {
        Some(next) => next.lines().map(str::to_owned).fold(error, CliError::hint),
        None => error,
    }
}

fn agreed(question: &str) -> bool {
    let mut answer = String::new();
    written(&mut io::stderr(), question.as_bytes());
    io::stdin().read_line(&mut answer).is_ok()
        && matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_daemon_is_not_told_how_it_is_reached() {
        let line = "--url http://h:1 submit --token-file=/t --repo web -- x --url y";
        let arguments: Vec<OsString> = line.split(' ').map(OsString::from).collect();
        let (words, input) = to_send(&arguments).unwrap();
        assert_eq!(words, ["submit", "--repo", "web", "--", "x", "--url", "y"]);
        assert!(input.is_empty());
    }

    #[test]
    fn frames_are_taken_when_they_are_whole() {
        let mut waiting = vec![b'o', 0, 0, 0, 2, b'h'];
        assert_eq!(take_frame(&mut waiting), None);
        waiting.extend([b'i', b'x', 0, 0, 0, 1, 3]);
        assert_eq!(take_frame(&mut waiting), Some((b'o', b"hi".to_vec())));
        assert_eq!(take_frame(&mut waiting), Some((b'x', vec![3])));
        assert_eq!(take_frame(&mut waiting), None);
    }
}
