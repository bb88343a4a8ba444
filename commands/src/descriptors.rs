//! Open files. A daemon has many: one for each connection, and one for each thing that it watches. The limit
//! that it starts with is often the 1,024 that old programs can work with (`select`), and programs that need
//! more may raise it; jobs get the limit that the daemon was started with.

use std::sync::OnceLock;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// As many as a daemon with all its connections can use.
const ENOUGH: u64 = 65_536;

static BEFORE: OnceLock<u64> = OnceLock::new();

/// Raises this process's limit as far as it may be raised.
pub(crate) fn raise() {
    let limit = getrlimit(Resource::Nofile);
    let wanted = limit.maximum.map_or(ENOUGH, |most| most.min(ENOUGH));
    if let Some(before) = limit.current.filter(|now| *now < wanted)
        && setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), ..limit }).is_ok()
    {
        // The first value counts, because this is called once.
        let _ = BEFORE.set(before);
    }
}

/// The limit before it was raised, if it was.
pub(crate) fn before() -> Option<u64> {
    BEFORE.get().copied()
}

/// Gives this process, and all that it starts, this limit.
pub(crate) fn lower(to: u64) {
    let limit = getrlimit(Resource::Nofile);
    // The limit was this low before, and lower than the maximum, so it cannot be refused.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: Some(to), ..limit });
}
