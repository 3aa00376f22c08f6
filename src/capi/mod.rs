//! The C ABI. Its manual is the header that cbindgen writes from the comments here.
//!
//! Each function checks its pointers, calls the core, and turns what it returns into a result code.
//! Beside `src/sys/` this is the only unsafe code of the library.

// Each function here is unsafe for one reason: it trusts the pointers of its caller, as the header
// says. Blocks inside would repeat that; the few operations that need a look are in `handle`.
#![allow(unsafe_code, unsafe_op_in_unsafe_fn, non_camel_case_types, clippy::missing_safety_doc)]

mod handle;

mod log;

// The header has the functions in this order. The empty lines keep rustfmt from sorting it.
mod options;

mod update;

mod client;

mod bulk;

mod personal_info;

mod error;

#[cfg(fuzzing)]
pub use {bulk::*, client::*, error::*, options::*, personal_info::*, update::*};

#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::ffi::{CStr, CString, c_char, c_int};
use std::ptr;

use crate::Value;

/// A text of C's; `None` for NULL.
unsafe fn c_str<'a>(text: *const c_char) -> Option<&'a CStr> {
    (!text.is_null()).then(|| CStr::from_ptr(text))
}

/// The value of a field or option; NULL unsets it.
unsafe fn text_value<'a>(text: *const c_char) -> Value<'a> {
    let Some(text) = c_str(text) else { return Value::Unset };
    text.to_str().map_or(Value::Invalid("is not valid UTF-8"), Value::Text)
}

/// A text for C, ended by NUL.
fn c_text(text: Option<String>) -> Option<CString> {
    let without_nul = |text: String| match without_nul(&text) {
        Cow::Borrowed(_) => text,
        Cow::Owned(replaced) => replaced,
    };
    text.map(|text| CString::new(without_nul(text)).expect("no NUL is left"))
}

/// Returns the text with U+FFFD for each NUL, which would end it early without a trace.
fn without_nul(text: &str) -> Cow<'_, str> {
    match text.as_bytes().contains(&0) {
        true => text.replace('\0', "\u{fffd}").into(),
        false => text.into(),
    }
}

/// The pointer by which C reads a text that a handle owns.
fn borrowed(text: &Option<CString>) -> *const c_char {
    text.as_ref().map_or(ptr::null(), |text| text.as_ptr())
}

/// Returns the version of the library that is loaded, such as `"0.1.0"`. Static, never NULL. Any
/// thread.
#[unsafe(no_mangle)]
pub extern "C" fn skypostal_version() -> *const c_char {
    const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), "\0");
    VERSION.as_ptr().cast()
}

/// Returns the version of the library that is loaded: major * 1000000 + minor * 1000 + patch. Any
/// thread.
///
/// It may be greater than `SKYPOSTAL_VERSION_NUMBER`, the version of the header that a program was
/// compiled with: functions and numbers are only added as long as the library's file is named
/// `libskypostal.so.0`. A smaller one may lack a function.
#[unsafe(no_mangle)]
pub extern "C" fn skypostal_version_number() -> c_int {
    let part = |text: &str| text.parse::<c_int>().unwrap_or(0);
    part(env!("CARGO_PKG_VERSION_MAJOR")) * 1_000_000
        + part(env!("CARGO_PKG_VERSION_MINOR")) * 1_000
        + part(env!("CARGO_PKG_VERSION_PATCH"))
}
