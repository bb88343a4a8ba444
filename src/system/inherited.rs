//! Resets what a process inherits from the program that started it: descriptors, the signal mask, ignored
//! signals, timers, the session keyring.
//!
//! Call these functions at the very start of a program, while it has one thread and has opened nothing itself.
//! Each call concerns this process only. Anything that the system refuses to reset (an old kernel, a filter of
//! system calls) stays as inherited.

#![allow(unsafe_code)]

use std::ptr;

use libc::{c_int, c_uint};

/// The first descriptor after standard input, output and error.
const FIRST: c_uint = 3;
/// The highest number of a signal on Linux.
const LAST_SIGNAL: c_int = 64;
/// `KEYCTL_JOIN_SESSION_KEYRING`, `KEYCTL_LINK` and two special keyrings; see keyctl(2).
const JOIN_SESSION_KEYRING: c_int = 1;
const LINK: c_int = 8;
const SESSION_KEYRING: c_int = -3;
const USER_KEYRING: c_int = -4;

/// Closes every inherited descriptor above 2.
pub fn close_descriptors() {
    // SAFETY: the caller has opened nothing yet (see the module), so nothing in this process owns one of these.
    if unsafe { libc::syscall(libc::SYS_close_range, FIRST, c_uint::MAX, 0) } != 0 {
        for fd in open_descriptors() {
            // SAFETY: as above. A number that is closed by now is refused, which does no harm.
            unsafe { libc::close(fd) };
        }
    }
}

/// Keeps every inherited descriptor above 2 open in this process, but not in the programs that it starts: a lock
/// that was taken for this process (`flock --no-fork`) lasts exactly as long as the process does.
pub fn keep_descriptors_from_children() {
    // SAFETY: only a flag of descriptors is set.
    if unsafe { libc::syscall(libc::SYS_close_range, FIRST, c_uint::MAX, libc::CLOSE_RANGE_CLOEXEC) } == 0 {
        return;
    }
    // The kernel is older than 5.11.
    for fd in open_descriptors() {
        // SAFETY: only a flag of the descriptor is set; a number that is closed by now is refused.
        unsafe { libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC) };
    }
}

fn open_descriptors() -> Vec<c_int> {
    let entries = std::fs::read_dir("/proc/self/fd").into_iter().flatten().flatten();
    let numbers = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<c_int>().ok());
    numbers.filter(|fd| *fd >= FIRST as c_int).collect()
}

/// Whether this signal is ignored.
pub(crate) fn is_ignored(signal: c_int) -> bool {
    let mut action = DEFAULT_ACTION;
    // SAFETY: the call only reads the present action into the memory that it is given, which is large enough.
    let got = unsafe {
        let nothing = ptr::null::<KernelAction>();
        libc::syscall(libc::SYS_rt_sigaction, signal, nothing, &raw mut action, KERNEL_SET)
    };
    got == 0 && action[0] == libc::SIG_IGN as u64
}

/// The kernel's form of an action: the handler first, then flags, perhaps a restorer, and a set of signals.
/// The C library's call does not accept the two signals that it reserves for itself.
type KernelAction = [u64; 4];
/// The default action.
static DEFAULT_ACTION: KernelAction = [libc::SIG_DFL as u64, 0, 0, 0];
/// Bytes of a set of signals in the kernel.
const KERNEL_SET: usize = 8;

/// Unblocks all signals and ignores none, except those in `kept` and SIGPIPE: the runtime of this program ignores
/// SIGPIPE itself, and restores it for its children.
pub fn reset_signals(kept: &[c_int]) {
    for signal in 1..=LAST_SIGNAL {
        if signal != libc::SIGPIPE && !kept.contains(&signal) && is_ignored(signal) {
            let nothing = ptr::null_mut::<KernelAction>();
            // SAFETY: no handler is installed or replaced: an ignored signal gets its default action.
            unsafe {
                libc::syscall(libc::SYS_rt_sigaction, signal, &raw const DEFAULT_ACTION, nothing, KERNEL_SET)
            };
        }
    }
    // SAFETY: the set is plain data, emptied before it is used; the mask of this thread alone is replaced.
    unsafe {
        let mut none: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut none);
        libc::pthread_sigmask(libc::SIG_SETMASK, &raw const none, ptr::null_mut());
    }
}

/// Ends the timers that exec leaves running: alarm(2) and setitimer(2).
pub fn cancel_timers() {
    for timer in [libc::ITIMER_REAL, libc::ITIMER_VIRTUAL, libc::ITIMER_PROF] {
        // SAFETY: the structure is plain data; zeros stop the timer.
        unsafe {
            let stopped: libc::itimerval = std::mem::zeroed();
            libc::setitimer(timer, &raw const stopped, ptr::null_mut());
        }
    }
}

/// Gives this process and its children a session keyring of its own, linked to the user's keyring, in place
/// of that of the session that started it.
pub fn leave_session_keyring() {
    // SAFETY: a null name asks for a new keyring without a name; nothing is read from or written to memory.
    unsafe {
        if libc::syscall(libc::SYS_keyctl, JOIN_SESSION_KEYRING, ptr::null::<u8>()) > 0 {
            libc::syscall(libc::SYS_keyctl, LINK, USER_KEYRING, SESSION_KEYRING);
        }
    }
}
