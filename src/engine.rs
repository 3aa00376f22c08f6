//! Calls that nobody waits for on a thread of his own.
//!
//! One thread in the process drives all of them, started by the first. A forked child starts its
//! own with its own first call. It blocks all signals, and so do the look-up threads that it starts.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::pin;
use std::task::Poll;
use std::thread;

use once_cell::race::OnceBox;
use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;

use crate::error::Error;
use crate::lane::LOOKUP_THREADS;
use crate::per_process::{OfProcess, PerProcess};
use crate::sys::signals;

static ENGINE: OnceBox<PerProcess<OnceBox<Engine>>> = OnceBox::new();

struct Engine {
    loop_: Handle,
    /// Dropped, it ends the thread.
    _running: oneshot::Sender<()>,
}

impl Engine {
    fn start() -> io::Result<Self> {
        let runtime = Builder::new_current_thread()
            .enable_io()
            .enable_time()
            .max_blocking_threads(LOOKUP_THREADS)
            .build()?;
        let loop_ = runtime.handle().clone();
        let (running, stopped) = oneshot::channel();
        let drive = move || {
            let _ = runtime.block_on(stopped);
            runtime.shutdown_background();
        };
        let thread = thread::Builder::new().name("skypostal".to_owned());
        signals::without_signals(|| thread.spawn(drive))?;
        Ok(Engine { loop_, _running: running })
    }
}

/// Drives `work` on the engine's thread. It must not block.
pub(crate) fn spawn(work: impl Future<Output = ()> + Send + 'static) -> io::Result<()> {
    let slot = ENGINE.get_or_init(Box::default).here();
    slot.get_or_try_init(|| Engine::start().map(Box::new))?.loop_.spawn(work);
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
pub struct Begun {
    _wanted: OfProcess<oneshot::Sender<()>>,
}

impl Begun {
    /// And what ends when it is dropped.
    pub(crate) fn new() -> (Self, oneshot::Receiver<()>) {
        let (wanted, dropped) = oneshot::channel();
        (Begun { _wanted: OfProcess::new(wanted) }, dropped)
    }
}
