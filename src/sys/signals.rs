//! Keeps the host's signals where the host expects them.

#[cfg(unix)]
pub(crate) use unix::{without_signals, without_sigpipe};

/// Runs `work` with all signals blocked, and so the threads that it starts for good: the host's
/// handlers do not expect to run there, and a host that waits for a signal must get it.
#[cfg(not(unix))]
pub(crate) fn without_signals<T>(work: impl FnOnce() -> T) -> T {
    work()
}

/// Runs `work`, in which a connection that the service closed early must not end the host.
#[cfg(not(unix))]
pub(crate) fn without_sigpipe<T>(work: impl FnOnce() -> T) -> T {
    work()
}

#[cfg(unix)]
mod unix {
    use std::mem::MaybeUninit;
    use std::ptr;
    use std::sync::atomic::{AtomicBool, Ordering};

    use libc::sigset_t;

    pub(crate) fn without_signals<T>(work: impl FnOnce() -> T) -> T {
        let mut all = MaybeUninit::uninit();
        let all = unsafe {
            libc::sigfillset(all.as_mut_ptr());
            // POSIX leaves open what a blocked one of these does when the thread itself raises it;
            // a crash handler of the host must run.
            for fault in [libc::SIGBUS, libc::SIGFPE, libc::SIGILL, libc::SIGSEGV] {
                libc::sigdelset(all.as_mut_ptr(), fault);
            }
            all.assume_init()
        };
        let _blocked = Blocked::new(&all);
        work()
    }

    /// Runs `work` with SIGPIPE blocked, unless the host ignores it. To ask takes one system call, to
    /// block three. The host may stop ignoring it at any time, so each call asks, until one has to
    /// block it. From then on all block it without asking.
    pub(crate) fn without_sigpipe<T>(work: impl FnOnce() -> T) -> T {
        static WAS_NOT_IGNORED: AtomicBool = AtomicBool::new(false);
        // No socket of ours raises it on Apple's systems.
        if cfg!(target_vendor = "apple")
            || !WAS_NOT_IGNORED.load(Ordering::Relaxed) && is_sigpipe_ignored()
        {
            return work();
        }
        WAS_NOT_IGNORED.store(true, Ordering::Relaxed);
        let _pending = PendingSigpipe(Blocked::new(&only_sigpipe()));
        work()
    }

    fn is_sigpipe_ignored() -> bool {
        let mut now = MaybeUninit::<libc::sigaction>::uninit();
        unsafe {
            libc::sigaction(libc::SIGPIPE, ptr::null(), now.as_mut_ptr()) == 0
                && now.assume_init().sa_sigaction == libc::SIG_IGN
        }
    }

    fn only_sigpipe() -> sigset_t {
        let mut set = MaybeUninit::uninit();
        unsafe {
            libc::sigemptyset(set.as_mut_ptr());
            libc::sigaddset(set.as_mut_ptr(), libc::SIGPIPE);
            set.assume_init()
        }
    }

    /// Signals blocked on this thread, with the mask that comes back in the end.
    struct Blocked(sigset_t);

    impl Blocked {
        fn new(signals: &sigset_t) -> Self {
            let mut before = MaybeUninit::uninit();
            unsafe {
                libc::pthread_sigmask(libc::SIG_BLOCK, signals, before.as_mut_ptr());
                Blocked(before.assume_init())
            }
        }
    }

    impl Drop for Blocked {
        fn drop(&mut self) {
            unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &self.0, ptr::null_mut()) };
        }
    }

    /// SIGPIPE, blocked. One that a connection raised meanwhile is taken before the mask comes back.
    struct PendingSigpipe(Blocked);

    impl Drop for PendingSigpipe {
        fn drop(&mut self) {
            let PendingSigpipe(Blocked(before)) = self;
            // A host that blocks the signal itself sees it as it would without us.
            #[cfg(not(target_vendor = "apple"))]
            if unsafe { libc::sigismember(before, libc::SIGPIPE) } == 0 {
                // Without waiting: one that was sent to the process may be taken by any thread.
                let now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
                unsafe { libc::sigtimedwait(&only_sigpipe(), ptr::null_mut(), &now) };
            }
            #[cfg(target_vendor = "apple")]
            let _ = before;
        }
    }
}
