//! The words of reports: names of states and verdicts, which this program has as constants.
//!
//! A report of another process (a daemon, over HTTP) is read back into the same structs. Its words are then
//! looked up among those read before, so that each is stored once and a list of 100,000 jobs needs no memory
//! for them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};

use serde::de::Error;
use serde::{Deserialize, Deserializer};

/// A word of a report. A word that was read is kept for the life of the process.
pub type Word = &'static str;

/// A server that sends more words, or longer ones, sends no reports.
const MOST: usize = 1_000;
const LONGEST: usize = 100;

static KNOWN: Mutex<BTreeSet<Word>> = Mutex::new(BTreeSet::new());

fn known<E: Error>(text: &str) -> Result<Word, E> {
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(word) = known.get(text) {
        return Ok(word);
    }
    if known.len() >= MOST || text.len() > LONGEST {
        return Err(E::custom("these are no words of a report"));
    }
    let word: Word = String::leak(text.to_owned());
    known.insert(word);
    Ok(word)
}

pub(crate) fn word<'de, D: Deserializer<'de>>(from: D) -> Result<Word, D::Error> {
    known(&std::borrow::Cow::<str>::deserialize(from)?)
}

pub(crate) fn maybe_word<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Word>, D::Error> {
    Option::<String>::deserialize(from)?.map(|text| known(&text)).transpose()
}

pub(crate) fn named_words<'de, D: Deserializer<'de>>(from: D) -> Result<BTreeMap<String, Word>, D::Error> {
    let named = BTreeMap::<String, String>::deserialize(from)?;
    named.into_iter().map(|(name, text)| Ok((name, known(&text)?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Deserialize)]
    struct Report {
        #[serde(deserialize_with = "word")]
        status: Word,
        #[serde(deserialize_with = "maybe_word", default)]
        verdict: Option<Word>,
    }

    #[test]
    fn word_is_interned() {
        let read = |text: &str| serde_json::from_str::<Report>(text);
        let first = read(r#"{"status":"dormant","verdict":null}"#).unwrap();
        let second = read(r#"{"status":"dormant","verdict":"dormant"}"#).unwrap();
        assert_eq!((first.status, first.verdict), ("dormant", None));
        assert!(std::ptr::eq(first.status, second.status) && second.verdict == Some("dormant"));
        assert!(read(r#"{"status":7}"#).is_err());
        assert!(read(&format!(r#"{{"status":"{}"}}"#, "x".repeat(LONGEST + 1))).is_err());
    }
}
