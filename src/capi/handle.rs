//! Handles: what C holds in place of an object of the library.
//!
//! This file alone casts, reads and writes the pointers of handles.

#![warn(unsafe_op_in_unsafe_fn)]

use std::io::{self, Write};
use std::panic::{self, AssertUnwindSafe};
use std::ptr;

use super::error::Failure;

/// A type of handle.
pub trait Handle {
    type Content;
    /// Tells this type from the others. The lowest three bits differ and are not all 0.
    const TAG: u64;
    /// The name of its parameter.
    const NAME: &'static str;
}

/// The memory behind a handle. Its tag tells apart handles of different types, borrowed ones and
/// freed ones.
#[repr(C, align(8))]
struct HandleBox<T> {
    tag: u64,
    content: T,
}

/// Set in the tag of a handle that another handle owns.
const BORROWED: u64 = 0x100;

/// Checks a handle and returns its content. A debug build looks the handle up in `registry`. A release
/// build reads its tag, perhaps from memory that was freed.
pub unsafe fn get<'a, H: Handle>(handle: *const H) -> Result<&'a H::Content, Failure> {
    let handle_box = handle.cast::<HandleBox<H::Content>>();
    if handle_box.is_null() {
        return Err(Failure::Misuse(H::NAME, "is NULL"));
    }
    let has_tag = || unsafe { (*handle_box).tag } & !BORROWED == H::TAG;
    let is_live = || if cfg!(debug_assertions) { registry::holds(handle) } else { has_tag() };
    if !handle_box.is_aligned() || !is_live() {
        let problem = "was freed, or is a handle of another type";
        warn_developer::<H>(problem);
        return Err(Failure::Misuse(H::NAME, problem));
    }
    Ok(unsafe { &(*handle_box).content })
}

pub unsafe fn get_mut<'a, H: Handle>(handle: *mut H) -> Result<&'a mut H::Content, Failure> {
    unsafe { get(handle.cast_const()) }?;
    Ok(unsafe { &mut (*handle.cast::<HandleBox<H::Content>>()).content })
}

/// Writes misuse to the standard error of a debug build: the functions that return no result code
/// have no other way to report it.
fn warn_developer<H: Handle>(problem: &str) {
    if cfg!(all(debug_assertions, not(fuzzing))) {
        let _ = writeln!(io::stderr(), "skypostal: {} {problem}", H::NAME);
    }
}

/// Makes a handle, which its receiver frees.
pub fn into_handle<H: Handle>(content: H::Content) -> *mut H {
    new_handle(H::TAG, content)
}

fn new_handle<H: Handle>(tag: u64, content: H::Content) -> *mut H {
    let handle = Box::into_raw(Box::new(HandleBox { tag, content })).cast();
    if cfg!(debug_assertions) {
        registry::add::<H>(handle);
    }
    handle
}

/// Frees a handle that its caller owns. Does nothing for any other.
pub unsafe fn free<H: Handle>(handle: *mut H) {
    let _ = panic::catch_unwind(AssertUnwindSafe(|| {
        if handle.is_null() || unsafe { get(handle.cast_const()) }.is_err() {
            return;
        }
        if unsafe { (*handle.cast::<HandleBox<H::Content>>()).tag } & BORROWED != 0 {
            return warn_developer::<H>("is borrowed: its owner frees it");
        }
        unsafe { release(handle) };
    }));
}

/// Frees a live handle, be it borrowed or not.
unsafe fn release<H: Handle>(handle: *mut H) {
    if cfg!(debug_assertions) && !registry::remove(handle) {
        return;
    }
    let handle_box = handle.cast::<HandleBox<H::Content>>();
    // A second free sees it as long as the memory is not used again.
    unsafe { ptr::write_volatile(&raw mut (*handle_box).tag, 0) };
    drop(unsafe { Box::from_raw(handle_box) });
}

/// A handle that C may read and not free. It dies with its owner, another handle.
pub struct BorrowedHandle<H: Handle>(*mut H);

impl<H: Handle> BorrowedHandle<H> {
    pub fn new(content: H::Content) -> Self {
        BorrowedHandle(new_handle(H::TAG | BORROWED, content))
    }

    pub fn as_ptr(&self) -> *const H {
        self.0
    }
}

impl<H: Handle> Drop for BorrowedHandle<H> {
    fn drop(&mut self) {
        unsafe { release(self.0) }
    }
}

/// A place of the caller's for a handle that a function gives. NULL is written there first.
pub struct Out<H>(*mut *mut H);

impl<H: Handle> Out<H> {
    /// `out` may be NULL: then nothing is given.
    pub unsafe fn new(out: *mut *mut H) -> Self {
        if !out.is_null() {
            unsafe { *out = ptr::null_mut() };
        }
        Out(out)
    }

    /// `out` must not be NULL.
    pub unsafe fn required(out: *mut *mut H) -> Result<Self, Failure> {
        if out.is_null() {
            return Err(Failure::Misuse("out", "is NULL"));
        }
        Ok(unsafe { Out::new(out) })
    }

    pub fn give(&self, content: impl Into<H::Content>) {
        if !self.0.is_null() {
            unsafe { *self.0 = into_handle(content.into()) };
        }
    }
}

/// The live handles. Debug builds alone keep this list: it recognises a stale or foreign handle for
/// certain, without a look at memory that may have another use by now.
///
/// It has no lock, since one that another thread holds at a fork would stay locked in the child.
/// Its slots are used again, and never freed.
pub mod registry {
    use std::iter;
    use std::ptr;
    use std::sync::atomic::{AtomicPtr, AtomicUsize, Ordering::SeqCst};

    use super::Handle;

    struct Slot {
        /// 0 when it is free.
        entry: AtomicUsize,
        next: Option<&'static Slot>,
    }

    static FIRST: [AtomicPtr<Slot>; 256] = [const { AtomicPtr::new(ptr::null_mut()) }; 256];

    /// The address, and in its lowest bits, which alignment leaves free, the type.
    fn entry<H: Handle>(handle: *const H) -> usize {
        handle.addr() | (H::TAG & 7) as usize
    }

    fn first(entry: usize) -> &'static AtomicPtr<Slot> {
        &FIRST[entry / 16 % FIRST.len()]
    }

    fn change(entry: usize, from: usize, to: usize) -> bool {
        let mut slots = iter::successors(
            unsafe { first(entry).load(SeqCst).as_ref() },
            |slot: &&'static Slot| slot.next,
        );
        slots.any(|slot| slot.entry.compare_exchange(from, to, SeqCst, SeqCst).is_ok())
    }

    pub fn add<H: Handle>(handle: *const H) {
        let entry = entry(handle);
        if change(entry, 0, entry) {
            return;
        }
        let slot = Box::leak(Box::new(Slot { entry: entry.into(), next: None }));
        let _ = first(entry).fetch_update(SeqCst, SeqCst, |next| {
            slot.next = unsafe { next.as_ref() };
            Some(slot)
        });
    }

    pub fn holds<H: Handle>(handle: *const H) -> bool {
        let entry = entry(handle);
        change(entry, entry, entry)
    }

    /// Returns whether it was there: of two threads that free one handle, one gets false.
    pub fn remove<H: Handle>(handle: *const H) -> bool {
        let entry = entry(handle);
        change(entry, entry, 0)
    }
}
