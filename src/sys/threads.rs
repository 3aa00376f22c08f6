//! Threads: those of this library, and the ends of the host's.

use std::error::Error as StdError;
use std::{fmt, io, panic, thread};

use tokio::runtime::Handle;

use crate::sys::module::keep_loaded;
use crate::sys::signals::without_signals;

/// Starts a thread that blocks signals. The library stays loaded from then on.
///
/// # Errors
/// `NoThread`, if the system has none left.
pub(crate) fn start(name: &str, work: impl FnOnce() + Send + 'static) -> io::Result<()> {
    keep_loaded();
    let thread = thread::Builder::new().name(name.to_owned());
    without_signals(|| thread.spawn(work)).map_err(NoThread::wrapped)?;
    Ok(())
}

/// The system has no thread left.
#[derive(Debug)]
pub(crate) struct NoThread(io::Error);

impl NoThread {
    fn wrapped(problem: io::Error) -> io::Error {
        io::Error::new(problem.kind(), NoThread(problem))
    }
}

impl fmt::Display for NoThread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the system has no thread left: {}", self.0)
    }
}

impl StdError for NoThread {}

/// Runs `work` on this thread; on another one if this one is ending and its thread-local values are
/// gone, which an event loop needs. A host ends its threads in functions of `atexit`, in destructors
/// of static and thread-local objects, and in those of the keys of pthreads.
///
/// # Errors
/// If the system has no thread for it. Windows lets no thread start while one ends.
pub(crate) fn on_lasting_thread<T: Send>(work: impl FnOnce() -> T + Send) -> io::Result<T> {
    if !Handle::try_current().is_err_and(|error| error.is_thread_local_destroyed()) {
        return Ok(work());
    }
    if cfg!(windows) {
        return Err(io::Error::other("this thread is ending"));
    }
    thread::scope(|scope| {
        let other = thread::Builder::new().name("skypostal-end".to_owned());
        let other = without_signals(|| other.spawn_scoped(scope, work));
        let other = other.map_err(NoThread::wrapped)?;
        Ok(other.join().unwrap_or_else(|panic| panic::resume_unwind(panic)))
    })
}

/// Runs `work`, in which a `pthread_exit` stops this thread for ever, so that no frame of this library
/// is unwound. CPython before 3.14 ends a thread so that asks for the GIL when the interpreter ends.
#[cfg(feature = "python")]
pub(crate) fn without_exit<T>(work: impl FnOnce() -> T) -> T {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    let _stop = linux::StopAtExit::new();
    work()
}

#[cfg(all(feature = "python", any(target_os = "linux", target_os = "android")))]
mod linux {
    use std::ffi::c_void;
    use std::ptr;

    /// A cleanup handler of this thread, which is removed on drop.
    ///
    /// glibc calls a handler of this kind before it unwinds the first frame that is nearer to the
    /// start of the stack than the handler's memory; that on the heap is nearer than none. musl calls
    /// every handler and unwinds nothing. A destructor of Rust would come too late: the call of a
    /// function of C has none to run, and `catch_unwind` further out ends the process.
    pub(super) struct StopAtExit(Box<Handler>);

    /// Space for the handler of either library: glibc's has four words, musl's three.
    type Handler = [*mut c_void; 4];

    unsafe extern "C" {
        fn _pthread_cleanup_push(
            handler: *mut Handler,
            routine: extern "C" fn(*mut c_void),
            argument: *mut c_void,
        );
        fn _pthread_cleanup_pop(handler: *mut Handler, execute: libc::c_int);
    }

    impl StopAtExit {
        pub(super) fn new() -> Self {
            let mut handler = Box::new([ptr::null_mut(); 4]);
            unsafe { _pthread_cleanup_push(&mut *handler, stop, ptr::null_mut()) };
            StopAtExit(handler)
        }
    }

    impl Drop for StopAtExit {
        fn drop(&mut self) {
            unsafe { _pthread_cleanup_pop(&mut *self.0, 0) };
        }
    }

    extern "C" fn stop(_: *mut c_void) {
        loop {
            unsafe { libc::pause() };
        }
    }
}
