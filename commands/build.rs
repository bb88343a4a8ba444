//! How the program is linked. A supervisor and what becomes the command are started once a job, and `submit` from
//! shells and hooks, so the time until `main` counts.

#![allow(clippy::print_stdout, clippy::disallowed_methods)] // It talks to cargo, and writes nothing that must last.

use std::path::Path;
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let is = |name: &str, value: &str| std::env::var(name).is_ok_and(|found| found == value);
    if !is("CARGO_CFG_TARGET_OS", "linux") || !is("CARGO_CFG_TARGET_ENV", "gnu") {
        return;
    }
    // At a fixed address: elsewhere the dynamic linker would write 54,000 addresses into 170 pages at each start, which
    // takes as long as all of /bin/true, and every supervisor would keep these pages for itself. Stack, heap and shared
    // libraries have random addresses all the same.
    println!("cargo::rustc-link-arg-bins=-no-pie");
    // The unwinder becomes part of the program: one library less to find, map and initialise.
    if std::env::var("HOST").ok() == std::env::var("TARGET").ok() && has_static_unwinder() {
        let folder = std::env::var("OUT_DIR").unwrap_or_default();
        if std::fs::write(Path::new(&folder).join("libgcc_s.so"), "INPUT(-lgcc_eh)\n").is_ok() {
            println!("cargo::rustc-link-search=native={folder}");
        }
    }
}

/// Whether the C compiler, by which everything is linked, has it as a static library.
fn has_static_unwinder() -> bool {
    let asked = Command::new("cc").arg("-print-file-name=libgcc_eh.a").output();
    asked.is_ok_and(|told| Path::new(String::from_utf8_lossy(&told.stdout).trim()).is_absolute())
}
