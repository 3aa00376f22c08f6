//! Name look-ups, on threads that block signals.

use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::Arc;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use tokio::sync::{Semaphore, oneshot};

use crate::sys::{descriptors, threads};

/// The threads that the name look-ups of one event loop may block at once.
const MAX_LOOKUP_THREADS: usize = 4;

/// The system's name look-up. Each one runs on a thread of its own.
///
/// reqwest's own starts its threads with the caller's signal mask, so they take the signals that the
/// host waits for; to block signals around each call would cost more. And tokio, which starts them,
/// panics where the system has no thread left.
#[derive(Clone)]
pub(crate) struct Lookup {
    permits: Arc<Semaphore>,
}

impl Default for Lookup {
    fn default() -> Self {
        Lookup { permits: Arc::new(Semaphore::new(MAX_LOOKUP_THREADS)) }
    }
}

impl Resolve for Lookup {
    fn resolve(&self, name: Name) -> Resolving {
        let permits = self.permits.clone();
        Box::pin(async move {
            // A look-up that hangs keeps its permit after its call has ended.
            let permit = permits.acquire_owned().await?;
            // For the look-up, and for the connection after it.
            descriptors::hold_standard_streams();
            let (sender, found) = oneshot::channel();
            let look_up = move || {
                let _permit = permit;
                let _ = sender.send(addresses(&name));
            };
            threads::start("skypostal-names", look_up)?;
            Ok(Box::new(found.await??) as Addrs)
        })
    }
}

/// The connector sets the port.
fn addresses(name: &Name) -> io::Result<std::vec::IntoIter<SocketAddr>> {
    (name.as_str(), 0).to_socket_addrs()
}
