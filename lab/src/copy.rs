//! A world whose state directory is a copy: its record names another folder, the `original` beside it.
//!
//! Disks are made in many folders. Where the record is kept it is rewritten for its folder, with its other
//! members unchanged.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use serde_json::{Value, json};

use crate::Error;

/// Where the original of a copy is, in the world.
const ORIGINAL: &str = "original";

/// Makes a copy of the world's state directory: another folder has its identity, and is the recorded one.
pub(crate) fn make(world: &Path) -> Result<(), Error> {
    let (state, original) = (world.join("state"), world.join(ORIGINAL));
    std::fs::create_dir(&original)?;
    std::fs::copy(state.join("state.json"), original.join("state.json"))?;
    let record = std::fs::read(state.join("place.json"))?;
    let mut record: Value = serde_json::from_slice(&record)?;
    record["paths"] = json!([original]);
    std::fs::write(state.join("place.json"), serde_json::to_vec(&record)?)?;
    let here = here(&std::fs::read(state.join("place.json"))?, &state)?.ok_or("it is no copy's record")?;
    std::fs::write(state.join("place.json"), here)?;
    Ok(())
}

/// The record of a copy, for the folder that it lies in now; `None` when it is not a copy's.
pub(crate) fn here(record: &[u8], state: &Path) -> Result<Option<Vec<u8>>, Error> {
    let Ok(mut record) = serde_json::from_slice::<Value>(record) else { return Ok(None) };
    let is_copy = record["paths"][0].as_str().is_some_and(|path| Path::new(path).ends_with(ORIGINAL));
    if !is_copy {
        return Ok(None);
    }
    let metadata = std::fs::metadata(state)?;
    let original = state.parent().unwrap_or(state).join(ORIGINAL);
    record["paths"] = json!([std::fs::canonicalize(original)?]);
    (record["device"], record["inode"]) = (json!(metadata.dev()), json!(metadata.ino() + 1));
    record["born"] = json!("1.000000001");
    // The first version has no checksum.
    record["version"] = json!(1);
    record.as_object_mut().and_then(|members| members.remove("checksum"));
    Ok(Some(serde_json::to_vec(&record)?))
}
