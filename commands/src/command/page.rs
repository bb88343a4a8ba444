//! Which part of a list a command shows.

pub(crate) use recovery::operations::PageRequest as PageArgs;
