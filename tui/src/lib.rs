//! The terminal view of a recovery: phases, progress, findings.
//!
//! [`Model`] is what there is to see, [`view::draw`] draws it and changes nothing, [`run_live`] is the loop
//! between a terminal and a recovery that runs elsewhere. Colours are the terminal's sixteen, and every
//! state has a glyph and a word besides its colour.

mod live;
mod model;
mod plain;
mod terminal;
mod text;
pub mod view;

pub use live::{Ask, LiveEnd, LiveOptions, run_live};
pub use model::{Key, Model};
pub use plain::final_text;
