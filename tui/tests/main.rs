//! The dashboard's model, update and views. One program: linking is most of what a change costs.

mod actions;
mod pages;
mod support;
mod terminal;
mod update;
mod view;
