//! The fork generation: a number that tells a process from its ancestors.
//!
//! A process number does not: a child in a new PID namespace has the number of its parent, and a
//! number comes again when its process is gone. To read the generation takes no system call.

use std::ptr;
use std::sync::atomic::{AtomicPtr, AtomicUsize, Ordering};

/// The generation of this process, or 0 if it was not read since the fork.
static CURRENT: AtomicPtr<AtomicUsize> = AtomicPtr::new(ptr::null_mut());

/// The last generation that this process or an ancestor had.
static LAST: AtomicUsize = AtomicUsize::new(0);

/// Returns the generation of this process. It differs from that of each ancestor whose values this
/// process has; an unrelated process may have the same.
pub(crate) fn generation() -> usize {
    let current = unsafe { CURRENT.load(Ordering::Acquire).as_ref() };
    let current = current.unwrap_or_else(watch);
    match current.load(Ordering::Relaxed) {
        0 => {
            let next = LAST.fetch_add(1, Ordering::Relaxed) + 1;
            // Of two threads that come first, one sets it.
            let set = current.compare_exchange(0, next, Ordering::Relaxed, Ordering::Relaxed);
            set.map_or_else(|other| other, |_| next)
        }
        generation => generation,
    }
}

/// Makes each later fork set the generation to 0. Takes no lock, which a fork could leave locked: of
/// two threads that come first, one leaks its page.
fn watch() -> &'static AtomicUsize {
    static FALLBACK: AtomicUsize = AtomicUsize::new(0);
    at_fork();
    let ours = ptr::from_ref(wiped_by_fork().unwrap_or(&FALLBACK)).cast_mut();
    let none = ptr::null_mut();
    let set = CURRENT.compare_exchange(none, ours, Ordering::AcqRel, Ordering::Acquire);
    unsafe { &*set.map_or_else(|other| other, |_| ours) }
}

/// Registers a handler for `fork`. A raw `clone` calls none.
#[cfg(unix)]
fn at_fork() {
    extern "C" fn in_child() {
        if let Some(current) = unsafe { CURRENT.load(Ordering::Acquire).as_ref() } {
            current.store(0, Ordering::Relaxed);
        }
    }
    // It fails only without memory.
    let result = unsafe { libc::pthread_atfork(None, None, Some(in_child)) };
    assert_eq!(result, 0, "no memory to register a handler for forks");
}

#[cfg(not(unix))]
fn at_fork() {}

/// Returns memory that the kernel clears in every child, even after a raw `clone` (Linux 4.14).
#[cfg(any(target_os = "linux", target_os = "android"))]
fn wiped_by_fork() -> Option<&'static AtomicUsize> {
    const INVALID_ADVICE: libc::c_int = -1;
    unsafe {
        let size = usize::try_from(libc::sysconf(libc::_SC_PAGESIZE)).ok()?;
        let access = libc::PROT_READ | libc::PROT_WRITE;
        let kind = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        let page = libc::mmap(ptr::null_mut(), size, access, kind, -1, 0);
        if page == libc::MAP_FAILED {
            return None;
        }
        // Old versions of qemu-user take any advice and follow none (seen by s2n-tls).
        let takes_any = libc::madvise(page, size, INVALID_ADVICE) == 0;
        if takes_any || libc::madvise(page, size, libc::MADV_WIPEONFORK) != 0 {
            libc::munmap(page, size);
            return None;
        }
        Some(&*page.cast::<AtomicUsize>())
    }
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn wiped_by_fork() -> Option<&'static AtomicUsize> {
    None
}
