//! Bounded parts of the laboratory; `cargo xtask crash-lab --full` does all of it. One program: linking is most of what
//! a change costs.

mod images;
mod seeded_bugs;
mod shutdown;
