//! Which daemon `--url` and `--socket` name, and the token to show.

use std::io;
use std::path::Path;

use recovery::state::{check_file, check_way};

use super::connect::Target;
use crate::error::{CliError, ErrorKind, exposed};
use crate::globals::Globals;

/// The daemon that the globals name.
pub(crate) fn target(globals: &Globals) -> Result<Target, CliError> {
    if let Some(socket) = &globals.socket {
        // Those who can replace the socket hear everything, and can answer as they like.
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
    // The token becomes a header: nothing else may come in with it.
    if token.is_empty() || !token.bytes().all(|b| b.is_ascii_graphic()) {
        let message = format!("there is no token in {}", file.display());
        return Err(CliError::new(ErrorKind::NotAuthorised, message));
    }
    Ok(token.to_owned())
}
