//! Files that a daemon writes for HTTP clients: tokens, and answers to requests with a key.

use std::os::unix::fs::OpenOptionsExt;
use std::time::{Duration, SystemTime};

use recovery::daemon::{IdempotencyStore, PriorRequest, Role, StoredAnswer, make_tokens};
use recovery::state::{Clock, StateDir};
use recovery::webhooks::make_own_secret;
use serde_json::json;

use super::{Operation, Stage, nothing};
use crate::Error;
use crate::facts::Fact;

/// The first start makes the tokens.
pub(super) const TOKENS: Operation = Operation { name: "tokens", prepare: nothing, run: tokens };

/// A later start finds both tokens, and relies on names that it must make durable itself: the process that
/// made them may have died before.
pub(super) const TOKENS_FOUND: Operation =
    Operation { name: "tokens-found", prepare: made_tokens, run: tokens };

fn made_tokens(stage: &Stage) -> Result<(), Error> {
    make_tokens(&stage.dir()?)?;
    Ok(())
}

fn tokens(stage: &Stage) -> Result<(), Error> {
    let dir = stage.dir()?;
    make_tokens(&dir)?;
    for role in Role::ALL {
        stage.acknowledge(content(&dir, &role.file(&dir))?);
    }
    Ok(())
}

/// The first delivery, or `init`, makes the secret that deliveries are signed with.
pub(super) const SIGNING_SECRET: Operation =
    Operation { name: "signing-secret", prepare: nothing, run: signing_secret };

/// A later delivery finds the secret, and relies on a name that it must make durable itself.
pub(super) const SIGNING_SECRET_FOUND: Operation =
    Operation { name: "signing-secret-found", prepare: made_secret, run: signing_secret };

fn made_secret(stage: &Stage) -> Result<(), Error> {
    make_own_secret(&stage.dir()?)?;
    Ok(())
}

fn signing_secret(stage: &Stage) -> Result<(), Error> {
    let dir = stage.dir()?;
    make_own_secret(&dir)?;
    stage.acknowledge(content(&dir, &dir.paths.signing_secret())?);
    Ok(())
}

fn content(dir: &StateDir, path: &std::path::Path) -> Result<Fact, Error> {
    let text = std::fs::read_to_string(path)?;
    Ok(Fact::Content { path: path.strip_prefix(dir.paths.root())?.into(), any_of: vec![text] })
}

/// A request with a key is begun, another one answered; an answer that is too old goes.
pub(super) const ANSWERS: Operation = Operation { name: "answers", prepare: old_answer, run: answers };

fn old_answer(stage: &Stage) -> Result<(), Error> {
    let dir = stage.dir()?;
    std::fs::create_dir_all(dir.paths.answered())?;
    let path = dir.paths.answered().join("old.json");
    let mut options = std::fs::OpenOptions::new();
    let file = options.write(true).create(true).truncate(true).mode(0o600).open(path)?;
    // Two days after 1970 began, whatever the clock says now.
    Ok(file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(172_800))?)
}

fn answers(stage: &Stage) -> Result<(), Error> {
    // A request that is tried again writes the same content, time included.
    let dir = StateDir { clock: Clock::fixed("2026-03-01T09:30:00.000Z".parse()?), ..stage.dir()? };
    let book = IdempotencyStore::open(&dir)?;
    for (key, is_answered) in [("begun", false), ("answered", true)] {
        let open = book.take(key, b"request").ok_or("the key is in use")?;
        // A failed sync may be tried again: the stored request is then this one.
        if matches!(open.known()?, PriorRequest::OtherRequest) {
            return Err("the key belongs to another request".into());
        }
        let pins = json!({ "job_id": key });
        open.begin(&pins)?;
        if is_answered {
            let (content_type, body) = ("application/json".to_owned(), "{}\n".to_owned());
            open.answer(&pins, &StoredAnswer { status: 200, content_type, body, location: None })?;
        }
        drop(open);
        stage.acknowledge(newest(&dir)?);
    }
    Ok(())
}

/// Returns the file that was written last, as a fact.
fn newest(dir: &StateDir) -> Result<Fact, Error> {
    let mut newest = None;
    for entry in std::fs::read_dir(dir.paths.answered())? {
        let entry = entry?;
        newest = newest.max(Some((entry.metadata()?.modified()?, entry.path())));
    }
    let (_, path) = newest.ok_or("no answer was kept")?;
    content(dir, &path)
}
