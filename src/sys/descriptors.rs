//! File descriptors: those of the standard streams, and the lack of any.

use std::io;

/// Occupies the descriptors 0 to 2 where the host closed them. The system gives a new connection the
/// lowest free number, and what the host prints would go to the service.
///
/// A host may close them at any time, so this is called before each connection: before its host's
/// name is looked up, or before each request to a host without a name.
#[cfg(unix)]
pub(crate) fn hold_standard_streams() {
    let is_open = |descriptor| unsafe { libc::fcntl(descriptor, libc::F_GETFD) } != -1;
    if (0..=2).all(is_open) {
        return;
    }
    loop {
        match placeholder() {
            0..=2 => {}
            -1 => return,
            other => {
                unsafe { libc::close(other) };
                return;
            }
        }
    }
}

#[cfg(not(unix))]
pub(crate) fn hold_standard_streams() {}

/// Returns a descriptor that can be neither read nor written, and that no other program inherits: for
/// the host it is as good as closed. It needs no file, so it works after `chroot`.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn placeholder() -> libc::c_int {
    unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) }
}

#[cfg(all(unix, not(any(target_os = "linux", target_os = "android"))))]
fn placeholder() -> libc::c_int {
    unsafe { libc::open(c"/dev/null".as_ptr(), libc::O_RDWR | libc::O_CLOEXEC) }
}

/// Returns whether the process or the machine has no descriptor left.
pub(crate) fn is_lack(error: &io::Error) -> bool {
    #[cfg(unix)]
    const LACKS: [i32; 2] = [libc::EMFILE, libc::ENFILE];
    #[cfg(not(unix))]
    const LACKS: [i32; 1] = [10024]; // WSAEMFILE
    error.raw_os_error().is_some_and(|number| LACKS.contains(&number))
}
