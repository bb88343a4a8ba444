//! System calls that fail as under a container's profile, an old kernel or a certain file system.
#![allow(unsafe_code)] // Between fork and exec only.

use std::io;
use std::os::unix::process::CommandExt;
use std::process::Command;

/// A system call that fails; with `argument`, only when that is not 0.
#[derive(Debug, Clone, Copy)]
pub struct Refused {
    pub call: libc::c_long,
    pub argument: Option<u32>,
    pub error: i32,
}

impl Refused {
    pub const fn always(call: libc::c_long, error: i32) -> Refused {
        Refused { call, argument: None, error }
    }

    /// renameat2 with flags.
    pub const fn rename_flags(error: i32) -> Refused {
        Refused { call: libc::SYS_renameat2, argument: Some(4), error }
    }
}

const LOAD: u16 = 0x20;
const JUMP_IF_EQUAL: u16 = 0x15;
const RETURN: u16 = 0x06;
const ALLOW: u32 = 0x7FFF_0000;
const ERRNO: u32 = 0x0005_0000;

fn step(code: u16, jt: u8, jf: u8, k: u32) -> libc::sock_filter {
    libc::sock_filter { code, jt, jf, k }
}

fn program(refused: &[Refused]) -> Vec<libc::sock_filter> {
    let mut steps = Vec::new();
    for Refused { call, argument, error } in refused {
        let call = u32::try_from(*call).unwrap();
        let refuse = step(RETURN, 0, 0, ERRNO | u32::try_from(*error).unwrap());
        steps.push(step(LOAD, 0, 0, 0));
        match argument {
            None => steps.extend([step(JUMP_IF_EQUAL, 0, 1, call), refuse]),
            // The lower half of the argument.
            Some(n) => steps.extend([
                step(JUMP_IF_EQUAL, 0, 3, call),
                step(LOAD, 0, 0, 16 + 8 * n),
                step(JUMP_IF_EQUAL, 1, 0, 0),
                refuse,
            ]),
        }
    }
    steps.push(step(RETURN, 0, 0, ALLOW));
    steps
}

/// Makes these calls fail for the command and all that it starts.
pub fn refuse(command: &mut Command, refused: &[Refused]) {
    let mut steps = program(refused);
    let install = move || {
        let program =
            libc::sock_fprog { len: u16::try_from(steps.len()).unwrap_or(0), filter: steps.as_mut_ptr() };
        // SAFETY: two prctl(2) with arguments of the kinds that they take; the program outlives them.
        let done = unsafe {
            libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
                && libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program) == 0
        };
        if done { Ok(()) } else { Err(io::Error::last_os_error()) }
    };
    // SAFETY: what runs there allocates nothing and takes no lock.
    unsafe { command.pre_exec(install) };
}
