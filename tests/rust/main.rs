//! The Rust face over real sockets.

mod attempts;
mod background;
mod bulk;
mod calls;
mod endings;
mod probe;
mod responses;
mod retries;
mod secrets;
mod support;
