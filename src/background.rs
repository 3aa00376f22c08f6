//! Calls that nobody waits for on a thread of his own.
//!
//! One thread in the process drives all of them, started by the first. A forked child starts its
//! own with its own first call. It blocks all signals, and so do the look-up threads that it starts.

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::thread;

use once_cell::race::OnceBox;
use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;

use crate::call::SharedCallState;
use crate::error::{Delivery, Error};
use crate::http::lookup::MAX_LOOKUP_THREADS;
use crate::per_process::{OfProcess, PerProcess};
use crate::sys::signals;

static BACKGROUND_THREAD: OnceBox<PerProcess<OnceBox<BackgroundThread>>> = OnceBox::new();

thread_local! {
    static IS_BACKGROUND_THREAD: Cell<bool> = const { Cell::new(false) };
}

struct BackgroundThread {
    runtime_handle: Handle,
    /// Dropped, it ends the thread.
    _running: oneshot::Sender<()>,
}

impl BackgroundThread {
    fn start() -> io::Result<Self> {
        let runtime = Builder::new_current_thread()
            .enable_io()
            .enable_time()
            .max_blocking_threads(MAX_LOOKUP_THREADS)
            .build()?;
        let runtime_handle = runtime.handle().clone();
        let (running, stopped) = oneshot::channel();
        let drive = move || {
            IS_BACKGROUND_THREAD.set(true);
            let _ = runtime.block_on(stopped);
            runtime.shutdown_background();
        };
        let thread = thread::Builder::new().name("skypostal".to_owned());
        signals::without_signals(|| thread.spawn(drive))?;
        Ok(BackgroundThread { runtime_handle, _running: running })
    }
}

/// Whether this is the background thread, or in a child that was forked there the copy of it. What waits
/// there waits for itself.
pub(crate) fn is_this_thread() -> bool {
    IS_BACKGROUND_THREAD.get()
}

/// Refuses a call that would wait on the background thread, where a callback of a user may run.
pub(crate) fn refuse_to_wait() -> Result<(), Error> {
    if is_this_thread() {
        let problem = "must not wait on the background thread, which runs this callback and sends all \
                       updates; make this call on a thread of your own";
        return Err(Error::configuration("client", problem));
    }
    Ok(())
}

/// Drives `work` on the background thread. It must not block.
pub(crate) fn spawn(work: impl Future<Output = ()> + Send + 'static) -> io::Result<()> {
    let slot = BACKGROUND_THREAD.get_or_init(Box::default).get();
    slot.get_or_try_init(|| BackgroundThread::start().map(Box::new))?.runtime_handle.spawn(work);
    Ok(())
}

/// The outcome of `work`, which is an internal error if it panics.
pub(crate) async fn without_panic<T>(
    work: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    let mut work = pin!(work);
    poll_fn(|context| {
        Error::catch_panic(|| Ok(work.as_mut().poll(context)))
            .unwrap_or_else(|error: Error| Poll::Ready(Err(error)))
    })
    .await
}

/// A call that was begun. Dropping this ends it, and with it its connection; in a forked child the
/// call is the parent's, and goes on.
#[must_use = "dropping it ends the call"]
#[derive(Debug)]
pub struct PendingCall {
    _wanted: OfProcess<oneshot::Sender<()>>,
    call: Arc<SharedCallState>,
}

impl PendingCall {
    /// And what ends when it is dropped.
    pub(crate) fn new(call: Arc<SharedCallState>) -> (Self, oneshot::Receiver<()>) {
        let (wanted, dropped) = oneshot::channel();
        (PendingCall { _wanted: OfProcess::new(wanted), call }, dropped)
    }

    /// Ends the call at once. Returns whether the customer may have been changed, and how many
    /// attempts were begun.
    pub fn cancel(self) -> (Delivery, u32) {
        self.call.cancel()
    }
}
