//! Threads: those of this library, and the ends of the host's.

use std::error::Error as StdError;
use std::panic::{self, AssertUnwindSafe};
use std::{fmt, io, thread};

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
    on_lasting_thread(|| without_signals(|| thread.spawn(work)))?.map_err(NoThread::wrapped)?;
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

/// Runs `work` on this thread, or on a new one and waits for it, if this one is ending. An event loop
/// needs thread-local values. They may be gone in a function of `atexit`, in the destructor of a static
/// or thread-local object, and in that of a key of pthreads.
///
/// # Errors
/// If the system has no thread for it. Windows lets no thread start while one ends.
pub(crate) fn on_lasting_thread<T: Send>(work: impl FnOnce() -> T + Send) -> io::Result<T> {
    if !Handle::try_current().is_err_and(|error| error.is_thread_local_destroyed()) {
        return Ok(work());
    }
    let (mut work, mut outcome) = (Some(work), None);
    run_on_new_thread(&mut || {
        outcome = work.take().map(|work| panic::catch_unwind(AssertUnwindSafe(work)));
    })?;
    let outcome = outcome.expect("the new thread has run it");
    Ok(outcome.unwrap_or_else(|panic| panic::resume_unwind(panic)))
}

/// Runs `work`, which must not panic, on a new thread, and waits for it. The standard library of Rust
/// 1.85 panics where an ending thread starts another one.
#[cfg(unix)]
fn run_on_new_thread(mut work: &mut (dyn FnMut() + Send)) -> io::Result<()> {
    use std::ffi::c_void;
    use std::mem::MaybeUninit;
    use std::ptr;

    /// As the standard library has it; musl's own would be too small.
    const STACK_BYTES: usize = 2 * 1024 * 1024;

    extern "C" fn run(work: *mut c_void) -> *mut c_void {
        let work = unsafe { &mut *work.cast::<&mut (dyn FnMut() + Send)>() };
        work();
        ptr::null_mut()
    }

    let work = (&raw mut work).cast();
    let mut attributes = MaybeUninit::uninit();
    let mut thread = MaybeUninit::uninit();
    unsafe {
        libc::pthread_attr_init(attributes.as_mut_ptr());
        libc::pthread_attr_setstacksize(attributes.as_mut_ptr(), STACK_BYTES);
        let result = without_signals(|| {
            libc::pthread_create(thread.as_mut_ptr(), attributes.as_ptr(), run, work)
        });
        libc::pthread_attr_destroy(attributes.as_mut_ptr());
        if result != 0 {
            return Err(NoThread::wrapped(io::Error::from_raw_os_error(result)));
        }
        libc::pthread_join(thread.assume_init(), ptr::null_mut());
    }
    Ok(())
}

#[cfg(windows)]
fn run_on_new_thread(_: &mut (dyn FnMut() + Send)) -> io::Result<()> {
    Err(io::Error::other("this thread is ending"))
}

/// Runs `work`, in which a `pthread_exit` stops this thread for ever, so that no frame of this library
/// is unwound. When the interpreter ends, CPython before 3.14 calls it in a thread that asks for the
/// GIL.
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
    /// glibc calls such a handler before it unwinds a frame whose address is above the handler's. One on
    /// the heap is below all frames, so it is called before any is unwound. musl calls every handler and
    /// unwinds nothing. A destructor of Rust would come too late: the call of a function of C has none to
    /// run, and `catch_unwind` further out ends the process.
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
