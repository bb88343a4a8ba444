//! The word that an unknown word was probably meant to be.

/// The closest word; `None` when none is close enough.
pub fn closest<'a>(written: &str, words: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let (distance, word) = words
        .into_iter()
        .map(|word| (strsim::damerau_levenshtein(written, word), word))
        .min_by_key(|(distance, _)| *distance)?;
    let allowed = (word.len().max(written.len()) / 3).clamp(1, 4);
    (distance <= allowed).then_some(word)
}

#[cfg(test)]
mod tests {
    use super::closest;

    #[test]
    fn suggests_only_close_words() {
        let words = ["heartbeat", "stale_after", "poll"];
        assert_eq!(closest("hartbeat", words), Some("heartbeat"));
        assert_eq!(closest("stale-after", words), Some("stale_after"));
        assert_eq!(closest("pool", words), Some("poll"));
        assert_eq!(closest("colour", words), None);
    }
}
