//! The results of a part of the laboratory, for the table.

/// One row.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tally {
    /// An operation, or a kind of file.
    pub operation: String,
    /// Effects that the operation has.
    pub effects: u64,
    /// Disk images that were recovered.
    pub images: u64,
    /// System calls at which it was killed.
    pub kills: u64,
    /// Faults and damages that it met.
    pub faults: u64,
    /// The failures, one line each, with the way to repeat it.
    pub failures: Vec<String>,
}

impl Tally {
    /// An empty row.
    pub fn new(operation: impl Into<String>) -> Tally {
        Tally { operation: operation.into(), ..Tally::default() }
    }

    /// Counts a failure, if the outcome is one.
    pub fn note(&mut self, what: &str, outcome: Result<(), String>) {
        if let Err(why) = outcome {
            self.failures.push(format!("{what}: {why}"));
        }
    }

    /// Panics with all failures, if there are any.
    ///
    /// # Panics
    /// On purpose.
    #[track_caller]
    pub fn assert_none_failed(&self) {
        let (name, failures) = (&self.operation, &self.failures);
        assert!(failures.is_empty(), "{name}: {} failures:\n{}", failures.len(), failures.join("\n"));
    }
}
