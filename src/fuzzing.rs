//! Functions for the fuzzers alone.

use crate::redact::redacted_excerpt;
use crate::{Error, PersonalInfo, Update};

/// The C ABI, called as C does.
#[cfg(feature = "capi")]
pub use crate::capi;

/// Decodes a response; returns the excerpt that an error would show.
pub fn response(body: &[u8], key: &str) -> Option<String> {
    PersonalInfo::decode(body).err().map(|_| redacted_excerpt(body, true, &[key]))
}

/// Returns the body of the request that an update is sent as.
pub fn request(update: &Update) -> Result<String, Error> {
    let request = update.request(&Update::new())?;
    Ok(String::from_utf8(request.body.to_vec()).expect("JSON is UTF-8"))
}
