//! The web dashboard in a real browser (headless Chromium, driven by chromedriver), over real daemons and real jobs.
//! No test may leave anything in the browser's log that it does not expect: no error of a script, nothing that the
//! page's policy forbade.
//!
//! `RECOVERYCTL_DASHBOARD_PICTURE=FILE cargo test -p recoveryctl --test suite web::picture` makes docs/images/dashboard.png.
#![allow(clippy::disallowed_methods)] // Tests write their own files.
#![allow(unreachable_pub)] // One program of several files.

#[allow(dead_code)] // Shared with the tests of HTTP.
mod browser;
mod changes;
mod connection;
mod door;
mod hostile;
mod looks;
mod picture;
mod proxies;
mod recovery;
mod served;
mod webdriver;
