//! Values that a forked child does not share with its parent.

use std::mem;

use once_cell::race::OnceBox;

use crate::sys::fork::generation;

/// One value for each process.
///
/// A forked child makes a value of its own and never touches the parent's: a thread that the child
/// does not have may hold a lock in there. For the same reason nothing here locks: of two values
/// that are made at once, one is dropped.
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
    /// Returns the value of the current process.
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

    fn is_own(&self) -> bool {
        self.generation == generation()
    }

    /// Returns the value, or `None` in another process than its own.
    pub(crate) fn get(&self) -> Option<&T> {
        self.value.as_ref().filter(|_| self.is_own())
    }
}

impl<T> Drop for OfProcess<T> {
    fn drop(&mut self) {
        if !self.is_own() {
            mem::forget(self.value.take());
        }
    }
}
