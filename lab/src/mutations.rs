//! Faults of the library that are switched on to see whether the laboratory notices them.

use recovery::durable::mutation::{self, Mutation};

use crate::Error;

/// Switches a fault on in this process; an empty name switches none on.
pub(crate) fn switch_on(name: &str) -> Result<(), Error> {
    if name.is_empty() {
        mutation::switch_on(None);
        return Ok(());
    }
    let found = Mutation::ALL.iter().copied().find(|m| m.name() == name);
    mutation::switch_on(Some(found.ok_or_else(|| format!("no such mutation: {name}"))?));
    Ok(())
}
