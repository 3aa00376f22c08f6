//! What only the operating system can do. Each module holds a few lines of unsafe code, with the
//! reason for them.

#![allow(unsafe_code)]

pub(crate) mod fork;
pub(crate) mod privileges;
pub(crate) mod signals;
