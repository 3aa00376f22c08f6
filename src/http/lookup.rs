//! Name look-ups, on threads that block signals.

use std::io;
use std::net::{SocketAddr, ToSocketAddrs};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use tokio::task::JoinSet;

use crate::sys::{module, signals};

/// The threads of one event loop that a name look-up may block at once.
pub(crate) const MAX_LOOKUP_THREADS: usize = 4;

/// The system's look-up, on a thread of the event loop that needs it.
///
/// reqwest's own starts its threads with the caller's signal mask, so they take the signals that the
/// host waits for. To block signals around each call would cost more.
pub(crate) struct Lookup;

impl Resolve for Lookup {
    fn resolve(&self, name: Name) -> Resolving {
        // A look-up that has not started is dropped with its call.
        let mut lookup = JoinSet::new();
        module::keep_loaded();
        signals::without_signals(|| lookup.spawn_blocking(move || addresses(&name)));
        Box::pin(async move {
            let found = lookup.join_next().await.expect("it was spawned");
            Ok(Box::new(found??) as Addrs)
        })
    }
}

/// The connector sets the port.
fn addresses(name: &Name) -> io::Result<std::vec::IntoIter<SocketAddr>> {
    (name.as_str(), 0).to_socket_addrs()
}
