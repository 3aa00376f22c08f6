//! The bounds of a timeout.

use std::time::Duration;

use crate::error::Error;

/// The longest timeout: what C's `uint32_t` holds in milliseconds, 49 days.
const MAX_TIMEOUT: Duration = Duration::from_millis(u32::MAX as u64);

/// Checks the value of the timeout `name`.
pub(crate) fn check_time(name: &'static str, value: Duration) -> Result<Duration, Error> {
    if value.is_zero() || value > MAX_TIMEOUT {
        return Err(Error::configuration(name, "must be more than 0 and at most 49 days"));
    }
    Ok(value)
}
