//! The background thread, which runs asynchronous calls and bulks.
//!
//! A process has one, started by the first such call or by the second idle connection of a pool. A
//! forked child starts its own. The thread blocks all signals, and so do the look-up threads that it
//! starts.

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;

use once_cell::race::OnceBox;
use tokio::runtime::Builder;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::sync::oneshot;

use crate::call::SharedCallState;
use crate::error::{Delivery, Error};
use crate::http::pool::with_descriptors;
use crate::per_process::{OfProcess, PerProcess};
use crate::sys::{descriptors, threads};

static BACKGROUND_THREAD: OnceBox<PerProcess<OnceBox<BackgroundThread>>> = OnceBox::new();

thread_local! {
    static IS_BACKGROUND_THREAD: Cell<bool> = const { Cell::new(false) };
}

struct BackgroundThread {
    /// Wakes the thread only if it waits, which saves most system calls where many calls start at
    /// once. tokio's own queue wakes it for each. The thread ends when this is dropped.
    tasks: UnboundedSender<Task>,
}

type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

impl BackgroundThread {
    fn start() -> io::Result<Self> {
        descriptors::hold_standard_streams();
        let runtime = Builder::new_current_thread().enable_io().enable_time().build()?;
        let (tasks, mut started) = unbounded_channel::<Task>();
        let drive = move || {
            IS_BACKGROUND_THREAD.set(true);
            runtime.block_on(async {
                while let Some(task) = started.recv().await {
                    tokio::spawn(task);
                }
            });
            runtime.shutdown_background();
        };
        threads::start("skypostal", drive)?;
        Ok(BackgroundThread { tasks })
    }
}

/// Returns true if this process has started its background thread.
pub(crate) fn is_running() -> bool {
    BACKGROUND_THREAD.get().is_some_and(|slot| slot.get().get().is_some())
}

/// Returns true on the background thread, and on its copy in a child that was forked there. A wait
/// there would be a wait for itself.
pub(crate) fn is_current_thread() -> bool {
    IS_BACKGROUND_THREAD.get()
}

/// Refuses a call that would wait on the background thread, where a callback of a user may run.
pub(crate) fn refuse_to_wait() -> Result<(), Error> {
    if is_current_thread() {
        let problem = "must not wait on the background thread, which runs this callback and sends all \
                       updates; make this call on a thread of your own";
        return Err(Error::configuration("client", problem));
    }
    Ok(())
}

/// Runs `work` on the background thread. It must not block.
pub(crate) fn spawn(work: impl Future<Output = ()> + Send + 'static) -> io::Result<()> {
    let slot = BACKGROUND_THREAD.get_or_init(Box::default).get();
    let start = || with_descriptors(BackgroundThread::start).map(Box::new);
    let thread = slot.get_or_try_init(start)?;
    let _ = thread.tasks.send(Box::pin(work)); // the thread receives for as long as this sender is
    Ok(())
}

/// Returns the output of `work`, or an internal error if it panics.
pub(crate) fn without_panic<T>(
    mut work: Pin<&mut impl Future<Output = Result<T, Error>>>,
) -> impl Future<Output = Result<T, Error>> {
    poll_fn(move |context| {
        Error::catch_panic(|| Ok(work.as_mut().poll(context)))
            .unwrap_or_else(|error: Error| Poll::Ready(Err(error)))
    })
}

/// A call in flight on the background thread. Dropping this ends the call and closes its connection;
/// in a forked child the call is the parent's, and continues there.
#[must_use = "dropping it ends the call"]
#[derive(Debug)]
pub struct PendingCall {
    /// Ends the call when it is dropped.
    _running: OfProcess<oneshot::Sender<()>>,
    call: Arc<SharedCallState>,
}

impl PendingCall {
    /// Returns the call, and a receiver that completes when it is dropped.
    pub(crate) fn new(call: Arc<SharedCallState>) -> (Self, oneshot::Receiver<()>) {
        let (running, dropped) = oneshot::channel();
        (PendingCall { _running: OfProcess::new(running), call }, dropped)
    }

    /// Ends the call at once. Returns whether the customer may have been changed, and the number of
    /// attempts that were started.
    pub fn cancel(self) -> (Delivery, u32) {
        self.call.cancel()
    }
}
