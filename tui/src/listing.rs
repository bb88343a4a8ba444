//! The content of a view in a general form: a list with columns, and a document to read.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::sync::Arc;

use recovery::state::Timestamp;

use crate::action::Action;

/// The look of a text. Never the only sign of a state: there is always a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Tone {
    #[default]
    Plain,
    Strong,
    Quiet,
    Good,
    Busy,
    Warning,
    Bad,
}

/// A field of a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cell<'a> {
    /// The text as it comes; it is made safe where it is drawn.
    pub text: Cow<'a, str>,
    /// How it looks.
    pub tone: Tone,
}

impl<'a> Cell<'a> {
    /// A plain one.
    pub fn plain(text: impl Into<Cow<'a, str>>) -> Cell<'a> {
        Cell { text: text.into(), tone: Tone::Plain }
    }

    /// One in a tone.
    pub fn toned(text: impl Into<Cow<'a, str>>, tone: Tone) -> Cell<'a> {
        Cell { text: text.into(), tone }
    }
}

/// A column of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Column {
    /// Its heading.
    pub title: &'static str,
    /// The columns of the terminal that it needs.
    pub width: usize,
    /// Its share of the remaining width; 0: it does not grow.
    pub grow: usize,
    /// Whether its texts are aligned to the right.
    pub right: bool,
    /// Columns of a higher rank are left out first when there is no room; a column of rank 0 is never left
    /// out.
    pub rank: u8,
}

impl Column {
    /// A column of texts.
    pub const fn new(title: &'static str, width: usize, rank: u8) -> Column {
        Column { title, width, grow: 0, right: false, rank }
    }

    /// A column of numbers.
    pub const fn number(title: &'static str, width: usize, rank: u8) -> Column {
        Column { right: true, ..Column::new(title, width, rank) }
    }

    /// Takes this share of the remaining width.
    pub const fn growing(self, grow: usize) -> Column {
        Column { grow, ..self }
    }
}

/// Something that can be opened, and that is read again while it is open.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Object {
    /// A job, by its id.
    Job(String),
    /// The output of a job.
    Output(String),
    /// The evidence behind a verdict: `job:ID`, `lock:REPOSITORY`.
    Why(String),
    /// A startup, by its id.
    Startup(String),
}

/// What opening a line shows.
pub enum Open {
    /// An object that must be read.
    Object(Object),
    /// A document that needs no further read.
    Document(Arc<dyn Document>),
}

/// A list of one view, of one moment.
pub trait Listing: Send + Sync {
    /// Its columns; empty for a list that is drawn in another way.
    fn columns(&self) -> &'static [Column];
    /// How many lines.
    fn len(&self) -> usize;
    /// Whether there is no line.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// The identity of a line: the selection and the marks stay with it.
    fn key(&self, row: usize) -> Cow<'_, str>;
    /// The content of a field.
    fn cell(&self, row: usize, column: usize, now: Timestamp) -> Cell<'_>;
    /// The order of two lines by a column.
    fn compare(&self, a: usize, b: usize, column: usize) -> Ordering;
    /// Whether a line contains this text, which is in lower case.
    fn matches(&self, row: usize, needle: &str) -> bool {
        let mut columns = 0..self.columns().len();
        has(&self.key(row), needle)
            || columns.any(|c| has(&self.cell(row, c, Timestamp::default()).text, needle))
    }
    /// One line above the list.
    fn summary(&self, now: Timestamp) -> Vec<Cell<'_>>;
    /// The text of an empty list.
    fn empty(&self) -> &'static str;
    /// What opening a line shows.
    fn open(&self, row: usize) -> Option<Open>;
    /// The object of the evidence that `why` shows.
    fn why(&self, _row: usize) -> Option<Object> {
        None
    }
    /// The job whose output is shown.
    fn output(&self, _row: usize) -> Option<Object> {
        None
    }
    /// The actions on these lines.
    fn actions(&self, rows: &[usize]) -> Vec<Action>;
    /// The line that most likely matters, until the operator selects one.
    fn most_telling(&self) -> usize {
        0
    }
}

/// Whether a text contains another one, which is in lower case.
pub(crate) fn has(text: &str, needle: &str) -> bool {
    match text.is_ascii() && needle.is_ascii() {
        true => {
            let (text, needle) = (text.as_bytes(), needle.as_bytes());
            needle.is_empty() || text.windows(needle.len()).any(|w| w.eq_ignore_ascii_case(needle))
        }
        false => text.to_lowercase().contains(needle),
    }
}

/// A line of a document; it is broken where it is drawn.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DocumentLine {
    /// How it looks.
    pub tone: Tone,
    /// The text as it comes; it is made safe where it is drawn.
    pub text: String,
    /// The indentation of continuation lines.
    pub indent: usize,
}

impl DocumentLine {
    /// A plain line.
    pub fn plain(text: impl Into<String>) -> DocumentLine {
        DocumentLine { text: text.into(), ..DocumentLine::default() }
    }

    /// A line in a tone.
    pub fn toned(text: impl Into<String>, tone: Tone) -> DocumentLine {
        DocumentLine { text: text.into(), tone, indent: 0 }
    }

    /// A name and its value, one below the other with others of this kind.
    pub fn field(name: &str, value: impl AsRef<str>) -> DocumentLine {
        DocumentLine { text: format!("{name:<12}{}", value.as_ref()), tone: Tone::Plain, indent: 12 }
    }

    /// A piece of evidence.
    pub fn piece(text: impl AsRef<str>) -> DocumentLine {
        DocumentLine { text: format!("  - {}", text.as_ref()), tone: Tone::Plain, indent: 4 }
    }
}

/// Something to read.
pub trait Document: Send + Sync {
    /// The text above it.
    fn title(&self) -> String;
    /// Its lines.
    fn lines(&self, now: Timestamp) -> Vec<DocumentLine>;
    /// Whether its end is shown and followed until the operator scrolls.
    fn follows(&self) -> bool {
        false
    }
    /// The actions on its object.
    fn actions(&self) -> Vec<Action> {
        Vec::new()
    }
}

/// A document whose lines are known.
pub struct Text {
    /// The text above it.
    pub title: String,
    /// Its lines.
    pub lines: Vec<DocumentLine>,
    /// Its actions.
    pub actions: Vec<Action>,
}

impl Document for Text {
    fn title(&self) -> String {
        self.title.clone()
    }

    fn lines(&self, _now: Timestamp) -> Vec<DocumentLine> {
        self.lines.clone()
    }

    fn actions(&self) -> Vec<Action> {
        self.actions.clone()
    }
}
