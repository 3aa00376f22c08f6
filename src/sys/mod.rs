//! Functions of the operating system. Each module has a few lines of unsafe code, with the reason.

#![allow(unsafe_code)]

pub(crate) mod descriptors;
pub(crate) mod fork;
pub(crate) mod module;
pub(crate) mod privileges;
pub(crate) mod signals;
pub(crate) mod threads;
