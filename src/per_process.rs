//! What a forked child must have of its own, and what it must leave alone.

use std::mem;

use once_cell::race::OnceBox;

use crate::sys::fork::generation;

/// One value for each process.
///
/// A forked child gets one of its own behind the parent's, which it leaves alone: a lock in there
/// may be held by a thread that the child does not have. For the same reason nothing here locks:
/// of two that begin at once, one is dropped.
pub(crate) struct PerProcess<T> {
    generation: usize,
    value: T,
    child: OnceBox<PerProcess<T>>,
}

impl<T: Default> Default for PerProcess<T> {
    fn default() -> Self {
        PerProcess { generation: generation(), value: T::default(), child: OnceBox::new() }
    }
}

impl<T: Default> PerProcess<T> {
    /// The value of the process that asks.
    pub(crate) fn get(&self) -> &T {
        let generation = generation();
        let mut owner = self;
        while owner.generation != generation {
            owner = owner.child.get_or_init(Box::default);
        }
        &owner.value
    }
}

/// A value of the process that made it. A forked child neither uses nor drops it.
#[derive(Debug)]
pub(crate) struct OfProcess<T> {
    generation: usize,
    /// Taken on drop only.
    value: Option<T>,
}

impl<T> OfProcess<T> {
    pub(crate) fn new(value: T) -> Self {
        OfProcess { generation: generation(), value: Some(value) }
    }

    fn is_here(&self) -> bool {
        self.generation == generation()
    }

    /// The value, in its process.
    pub(crate) fn get(&self) -> Option<&T> {
        self.value.as_ref().filter(|_| self.is_here())
    }
}

impl<T> Drop for OfProcess<T> {
    fn drop(&mut self) {
        if !self.is_here() {
            mem::forget(self.value.take());
        }
    }
}
