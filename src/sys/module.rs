//! The file that the library is part of: on Windows, the DLL or the program.

/// Keeps the library loaded until the process ends, whatever its host unloads: a thread of ours may
/// still run its code. On Linux the linker gets an option for that (`build.rs`).
#[cfg(windows)]
pub(crate) fn keep_loaded() {
    use std::ptr;

    use windows_sys::Win32::System::LibraryLoader::{
        GET_MODULE_HANDLE_EX_FLAG_FROM_ADDRESS, GET_MODULE_HANDLE_EX_FLAG_PIN, GetModuleHandleExW,
    };

    static ADDRESS_IN_LIBRARY: u8 = 0;
    let flags = GET_MODULE_HANDLE_EX_FLAG_FROM_ADDRESS | GET_MODULE_HANDLE_EX_FLAG_PIN;
    let mut module = ptr::null_mut();
    // It fails for a DLL that the host loaded by code of its own, which Windows cannot unload.
    unsafe { GetModuleHandleExW(flags, ptr::from_ref(&ADDRESS_IN_LIBRARY).cast(), &mut module) };
}

#[cfg(not(windows))]
pub(crate) fn keep_loaded() {}
