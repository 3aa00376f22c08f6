//! The Python module `skypostal._native`.
//!
//! Each function converts Python's values to the core's and the outcome back. What can be written in
//! Python (the exceptions, numbers of any length, the event loops) is in `python/skypostal`.

use pyo3::prelude::*;

mod arguments;
mod bulk;
mod client;
mod default_client;
mod errors;
mod event_queue;
mod fields;
mod headers;
mod interpreter;
mod observer;
mod personal_info;
mod preview;
mod socket_pair;

// A free-threaded Python turns the GIL on again for this module, which was never run without it.
#[pymodule(gil_used = true)]
mod _native {
    #[pymodule_export]
    use super::bulk::{BulkUpdate, Outcome};
    #[pymodule_export]
    use super::client::Client;
    #[pymodule_export]
    use super::default_client::{app_key, update_batch, update_batch_schema, update_personal_info};
    #[pymodule_export]
    use super::event_queue::EventQueue;
    #[pymodule_export]
    use super::fields::{nearest, unknown_field};
    #[pymodule_export]
    use super::observer::Attempt;
    #[pymodule_export]
    use super::personal_info::PersonalInfo;
    #[pymodule_export]
    use super::preview::Preview;

    #[pymodule_export]
    #[allow(non_upper_case_globals)]
    const __version__: &str = env!("CARGO_PKG_VERSION");
}
