//! Two connected sockets of this process, by which a thread wakes an event loop.

pub(super) use system::{Descriptor, Socket, descriptor, pair};

#[cfg(unix)]
mod system {
    use std::io;
    use std::os::fd::AsRawFd;

    pub(crate) use std::os::fd::RawFd as Descriptor;
    pub(crate) use std::os::unix::net::UnixStream as Socket;

    /// Returns the number by which Python knows a socket.
    pub(crate) fn descriptor(socket: &Socket) -> Descriptor {
        socket.as_raw_fd()
    }

    /// Returns the end to read from and the end to write to. Neither blocks.
    pub(crate) fn pair() -> io::Result<(Socket, Socket)> {
        let (readable, writable) = Socket::pair()?;
        readable.set_nonblocking(true)?;
        writable.set_nonblocking(true)?;
        Ok((readable, writable))
    }
}

/// Windows has no pairs of sockets, and its event loops wait for nothing else.
#[cfg(windows)]
mod system {
    use std::io;
    use std::net::{Ipv4Addr, TcpListener};
    use std::os::windows::io::AsRawSocket;

    pub(crate) use std::net::TcpStream as Socket;
    pub(crate) use std::os::windows::io::RawSocket as Descriptor;

    /// Returns the number by which Python knows a socket.
    pub(crate) fn descriptor(socket: &Socket) -> Descriptor {
        socket.as_raw_socket()
    }

    /// Returns the end to read from and the end to write to. Neither blocks.
    pub(crate) fn pair() -> io::Result<(Socket, Socket)> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let writable = Socket::connect(listener.local_addr()?)?;
        let own_address = writable.local_addr()?;
        // Another program of this machine can connect first; its connection is dropped.
        let readable = loop {
            let (socket, address) = listener.accept()?;
            if address == own_address {
                break socket;
            }
        };
        // Without it, a second byte waits until the first one is acknowledged: up to 0.2 s.
        writable.set_nodelay(true)?;
        readable.set_nonblocking(true)?;
        writable.set_nonblocking(true)?;
        Ok((readable, writable))
    }
}
