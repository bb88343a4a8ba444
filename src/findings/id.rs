//! The ids of findings, for `findings ack`.

/// The id of a finding of this kind about this object; with a sentence, when each sentence is another finding.
pub(super) fn id_of(code: &str, object: &str, sentence: Option<&str>) -> String {
    numbered_id(code, object, sentence, 0)
}

/// The same; `number` tells several losses of the same kind, object and sentence apart.
pub(crate) fn numbered_id(code: &str, object: &str, sentence: Option<&str>, number: usize) -> String {
    let mut hasher = crc32fast::Hasher::new();
    for part in [code, object, sentence.unwrap_or_default()] {
        hasher.update(part.as_bytes());
        hasher.update(&[0]);
    }
    hasher.update(&number.to_le_bytes());
    format!("{:08x}", hasher.finalize())
}
