//! The few calls to the operating system that the standard library does not wrap: the only unsafe
//! code of the program, one call a function.

use std::io;
use std::os::unix::process::CommandExt;
use std::process::Command;

/// A signal that this program sends to a process of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// PostgreSQL's fast shutdown.
    Interrupt,
    /// PostgreSQL's immediate shutdown: recovers at the next start.
    Quit,
    /// A node's graceful end.
    Terminate,
    /// Ends at once.
    Kill,
}

impl Signal {
    const fn number(self) -> libc::c_int {
        match self {
            Self::Interrupt => libc::SIGINT,
            Self::Quit => libc::SIGQUIT,
            Self::Terminate => libc::SIGTERM,
            Self::Kill => libc::SIGKILL,
        }
    }
}

/// Sends a signal to one process.
#[expect(
    unsafe_code,
    reason = "the standard library signals only children it holds"
)]
pub fn send(pid: u32, signal: Signal) -> io::Result<()> {
    let pid = libc::pid_t::try_from(pid).map_err(io::Error::other)?;
    // Zero and less name whole process groups.
    if pid <= 0 {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    // SAFETY: takes two integers and touches no memory of this process.
    match unsafe { libc::kill(pid, signal.number()) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// The user that this process acts as.
#[expect(
    unsafe_code,
    reason = "the standard library does not tell the user's id"
)]
pub fn effective_user() -> u32 {
    // SAFETY: takes nothing, always succeeds.
    unsafe { libc::geteuid() }
}

/// Makes the child stop (PostgreSQL: a fast shutdown) when the thread that starts it ends, however
/// that comes about. Linux only; elsewhere the next start stops what was left behind.
#[expect(
    unsafe_code,
    reason = "only code between fork and exec can set the parent-death signal"
)]
pub fn stop_with_parent(command: &mut Command) {
    let parent = std::process::id();
    let before_exec = move || {
        #[cfg(target_os = "linux")]
        {
            // Set here, after the standard library has changed the user: that change clears it.
            // SAFETY: prctl with this option takes one integer; getppid takes nothing.
            let (set, now) = unsafe {
                (
                    libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGINT),
                    libc::getppid(),
                )
            };
            if set != 0 {
                return Err(io::Error::last_os_error());
            }
            // The parent may have died before the signal was set.
            if u32::try_from(now) != Ok(parent) {
                return Err(io::Error::from_raw_os_error(libc::ESRCH));
            }
        }
        #[cfg(not(target_os = "linux"))]
        let _ = parent;
        Ok(())
    };
    // SAFETY: the closure only makes async-signal-safe calls and allocates nothing.
    unsafe {
        command.pre_exec(before_exec);
    }
}

/// Gives the child a session of its own, so that Ctrl-C at the terminal does not reach it.
#[expect(
    unsafe_code,
    reason = "only code between fork and exec can leave the session"
)]
pub fn own_session(command: &mut Command) {
    // SAFETY: setsid is async-signal-safe and takes nothing; nothing is allocated.
    unsafe {
        command.pre_exec(|| match libc::setsid() {
            -1 => Err(io::Error::last_os_error()),
            _ => Ok(()),
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_of_processes_are_never_signalled() {
        assert!(send(0, Signal::Interrupt).is_err());
        assert!(send(u32::MAX, Signal::Interrupt).is_err());
    }

    #[test]
    fn a_child_is_signalled() {
        let mut child = Command::new("sleep").arg("60").spawn().expect("sleep");
        send(child.id(), Signal::Kill).expect("sent");
        assert!(!child.wait().expect("ended").success());
    }

    #[test]
    fn a_child_with_both_habits_runs() {
        let mut command = Command::new("true");
        own_session(&mut command);
        stop_with_parent(&mut command);
        assert!(command.status().expect("true is everywhere").success());
    }
}
