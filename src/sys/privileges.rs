//! Raised privileges, with which environment variables must not be trusted.

/// Returns true if the program has privileges that its caller lacks, as a set-user-ID program has.
/// Then the caller sets the variables, and must not choose where keys go.
pub(crate) fn raised() -> bool {
    #[cfg(test)]
    if PRETENDED.get() {
        return true;
    }
    seen_by_system()
}

#[cfg(test)]
thread_local! {
    /// Set by a test, for its own thread.
    pub(crate) static PRETENDED: std::cell::Cell<bool> = const { std::cell::Cell::new(false) };
}

/// The kernel says so of set-user-ID, set-group-ID, file capabilities and some security modules.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn seen_by_system() -> bool {
    unsafe { libc::getauxval(libc::AT_SECURE) != 0 }
}

#[cfg(target_vendor = "apple")]
fn seen_by_system() -> bool {
    unsafe { libc::issetugid() != 0 }
}

#[cfg(not(any(target_os = "linux", target_os = "android", target_vendor = "apple")))]
fn seen_by_system() -> bool {
    false
}
