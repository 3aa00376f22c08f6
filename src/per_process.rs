//! What a forked child must have of its own.

use std::process;

use once_cell::race::OnceBox;

/// One value for each process.
///
/// A forked child gets one of its own behind the parent's, which it leaves alone: a lock in there
/// may be held by a thread that the child does not have. For the same reason nothing here locks:
/// of two that begin at once, one is dropped.
pub(crate) struct PerProcess<T> {
    process: u32,
    value: T,
    of_child: OnceBox<PerProcess<T>>,
}

impl<T: Default> Default for PerProcess<T> {
    fn default() -> Self {
        PerProcess { process: process::id(), value: T::default(), of_child: OnceBox::new() }
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
