//! Guards a mapped file against being shortened by another program: reading the lost part would end the
//! process with SIGBUS, and checking the length first leaves a window.
//!
//! A fault in a guarded page maps an empty page of the process's own in its place and marks the mapping as
//! lost for good: from then on it reads as zeros, which is no valid page, and other processes see nothing
//! that is written. A user of the mapping asks [`PageGuard::is_lost`] before relying on being seen. Every
//! other fault goes to the previous handler.

#![allow(unsafe_code)]

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use libc::{c_int, c_void, siginfo_t};

/// Mappings that are guarded at a time. Further mappings are not guarded: a fault in one ends the process, which
/// loses nothing.
const MOST: usize = 256;
/// Marks an unused slot: no mapping has this address.
const FREE: usize = 0;
const TAKEN: usize = 1;

struct Slot {
    base: AtomicUsize,
    is_lost: AtomicBool,
}

static SLOTS: [Slot; MOST] =
    [const { Slot { base: AtomicUsize::new(FREE), is_lost: AtomicBool::new(false) } }; MOST];
/// The previous handler of the signal.
static BEFORE: OnceLock<libc::sigaction> = OnceLock::new();

/// The guard of one page.
#[derive(Debug)]
pub(super) struct PageGuard(Option<usize>);

impl PageGuard {
    /// Bytes that are guarded.
    const LEN: usize = 4096;

    /// Guards the page that is mapped at this address until the guard is dropped, which must happen before the
    /// unmapping.
    pub(super) fn of(base: *mut u8) -> PageGuard {
        install();
        let take = |slot: &Slot| slot.base.compare_exchange(FREE, TAKEN, Ordering::SeqCst, Ordering::SeqCst);
        let free = SLOTS.iter().position(|slot| take(slot).is_ok());
        if let Some(slot) = free.map(|at| &SLOTS[at]) {
            slot.is_lost.store(false, Ordering::SeqCst);
            slot.base.store(base as usize, Ordering::SeqCst);
        }
        PageGuard(free)
    }

    /// Whether the page no longer shows the file.
    pub(super) fn is_lost(&self) -> bool {
        self.0.is_some_and(|at| SLOTS[at].is_lost.load(Ordering::SeqCst))
    }
}

impl Drop for PageGuard {
    fn drop(&mut self) {
        if let Some(at) = self.0 {
            SLOTS[at].base.store(FREE, Ordering::SeqCst);
        }
    }
}

fn install() {
    BEFORE.get_or_init(|| {
        // SAFETY: both structures are plain data; the handler does only what a handler may.
        unsafe {
            let mut before: libc::sigaction = std::mem::zeroed();
            let mut ours: libc::sigaction = std::mem::zeroed();
            ours.sa_sigaction = on_fault as *const () as usize;
            ours.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
            libc::sigaction(libc::SIGBUS, &raw const ours, &raw mut before);
            before
        }
    });
}

/// Calls only `mmap`, `sigaction` and the previous handler, and never blocks.
extern "C" fn on_fault(signal: c_int, info: *mut siginfo_t, context: *mut c_void) {
    // SAFETY: the kernel passes a whole `siginfo_t`; for SIGBUS it contains an address.
    let address = unsafe { (*info).si_addr() } as usize;
    let guarded = SLOTS.iter().find(|slot| {
        let base = slot.base.load(Ordering::SeqCst);
        base > TAKEN && (base..base + PageGuard::LEN).contains(&address)
    });
    if guarded.is_some_and(put_empty_page) {
        return;
    }
    forward(signal, info, context);
}

fn put_empty_page(slot: &Slot) -> bool {
    let base = slot.base.load(Ordering::SeqCst) as *mut c_void;
    slot.is_lost.store(true, Ordering::SeqCst);
    // SAFETY: the address is that of a mapping of ours of just this length, which is looked at only as atomics,
    // for which any content is valid.
    let mapped = unsafe {
        let how = libc::MAP_FIXED | libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        libc::mmap(base, PageGuard::LEN, libc::PROT_READ | libc::PROT_WRITE, how, -1, 0)
    };
    mapped == base
}

fn forward(signal: c_int, info: *mut siginfo_t, context: *mut c_void) {
    let before = BEFORE.get().map_or((libc::SIG_DFL, 0), |b| (b.sa_sigaction, b.sa_flags));
    match before {
        (libc::SIG_DFL | libc::SIG_IGN, _) => {
            // SAFETY: plain data. The fault recurs when this returns, and ends the process as it would have
            // without a guard.
            unsafe {
                let mut default: libc::sigaction = std::mem::zeroed();
                default.sa_sigaction = libc::SIG_DFL;
                libc::sigaction(signal, &raw const default, std::ptr::null_mut());
            }
        }
        (handler, flags) if flags & libc::SA_SIGINFO != 0 => {
            // SAFETY: registered with SA_SIGINFO, so it is a function of this form.
            let handler = unsafe {
                std::mem::transmute::<usize, extern "C" fn(c_int, *mut siginfo_t, *mut c_void)>(handler)
            };
            handler(signal, info, context);
        }
        (handler, _) => {
            // SAFETY: registered without SA_SIGINFO, so it is a function of this form.
            let handler = unsafe { std::mem::transmute::<usize, extern "C" fn(c_int)>(handler) };
            handler(signal);
        }
    }
}
