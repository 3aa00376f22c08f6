//! Update a customer's personal information at SkyPostal.
//!
//! One call of one service, `customer-update-personal-info`, as a blocking Rust API, a C ABI
//! (feature `capi`) and a Python module (feature `python`). Fields are named as the service names
//! them. Not affiliated with SkyPostal.
//!
//! ```no_run
//! use std::time::Duration;
//!
//! # fn main() -> Result<(), skypostal::Error> {
//! // SKYPOSTAL_USER_CODE, SKYPOSTAL_APP_KEY, …
//! let options = skypostal::Options::from_environment().timeout(Duration::from_secs(10));
//! let client = skypostal::Client::new(&options)?;
//! let update = skypostal::Update::new()
//!     .customer_box_id(811111)
//!     .customer_key("the customer's key")
//!     .customer_first_name("New Name");
//! match client.update_personal_info(&update) {
//!     Ok(info) => println!("customer {:?} is up to date", info.cust_id),
//!     Err(error) => println!("{error}; delivery: {:?}", error.delivery()),
//! }
//! # Ok(())
//! # }
//! ```

#[cfg(all(panic = "abort", any(feature = "capi", feature = "python")))]
compile_error!(
    "panic = \"abort\" would end the host's process: build the faces with panic = \"unwind\""
);

mod attempt;
mod background;
mod bulk;
mod call;
mod client;
mod environment;
mod error;
mod field;
mod http;
mod key_file;
mod options;
mod per_process;
mod personal_info;
mod rate_limiter;
mod redact;
mod retry;
mod secret;
mod sys;
mod timeout;
mod unexpected_body;
mod update;
mod wcf_date;

#[cfg(all(feature = "capi", not(fuzzing)))]
mod capi;
#[cfg(all(feature = "capi", fuzzing))]
#[allow(missing_docs)]
pub mod capi;
#[cfg(feature = "python")]
mod python;

/// Functions for the fuzzers alone.
#[cfg(fuzzing)]
pub mod fuzzing;

pub use attempt::{Attempt, OnAttempt, ReportedAttempts};
pub use background::PendingCall;
pub use bulk::{Bulk, BulkEvent, BulkOptions, BulkUpdate, Outcome};
pub use client::{CallOptions, Client, Preview, Probe};
pub use environment::{ENVIRONMENT_VARIABLES, Source, Sources};
pub use error::{Delivery, Error, Kind};
pub use field::{Field, Value};
pub use options::Options;
pub use personal_info::PersonalInfo;
pub use update::Update;
