//! What a forked child must have of its own.

use std::process;
use std::sync::OnceLock;

/// One value for each process.
///
/// A forked child gets one of its own behind the parent's, which it leaves alone: a lock in there
/// may be held by a thread that the child does not have.
pub(crate) struct PerProcess<T> {
    process: u32,
    value: T,
    of_child: OnceLock<Box<PerProcess<T>>>,
}

impl<T: Default> Default for PerProcess<T> {
    fn default() -> Self {
        PerProcess { process: process::id(), value: T::default(), of_child: OnceLock::new() }
    }
}

impl<T: Default> PerProcess<T> {
    /// The value of the process that asks.
    pub(crate) fn here(&self) -> &T {
        let process = process::id();
        let mut owner = self;
        while owner.process != process {
            owner = owner.of_child.get_or_init(Box::default);
        }
        &owner.value
    }
}
