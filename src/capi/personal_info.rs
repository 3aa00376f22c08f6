//! The getters of a customer's personal information.

use std::ffi::{c_char, c_int};
use std::io::{self, Write};
use std::ptr;

use super::handle::{Handle, free, get};
use super::without_nul;
use crate::PersonalInfo;

/// A customer's personal information after an update, as the service reported it. Given by
/// `skypostal_client_update_personal_info`, freed by `skypostal_personal_info_free`, and independent
/// of the client and the update; but that of a row belongs to its `skypostal_outcome` and dies with
/// it. Never changes: any thread may read it.
///
/// The texts are UTF-8, borrowed: they live as long as this handle. NULL where the response has no
/// such value, or one that cannot be read, which `skypostal_personal_info_raw` shows.
pub struct skypostal_personal_info {
    _opaque: [u8; 0],
}

impl Handle for skypostal_personal_info {
    type Content = InfoTexts;
    const TAG: u64 = 0x736b_7970_6f73_0004;
    const NAME: &'static str = "info";
}

/// The texts of a response, as C reads them.
pub struct InfoTexts {
    attempts: c_int,
    cust_id: i64,
    /// The texts one after the other, each ended by NUL as C wants it.
    texts: Vec<u8>,
    /// Where each begins, if the response has it.
    starts: [Option<usize>; 7],
}

#[derive(Clone, Copy)]
enum Text {
    FirstName,
    LastName,
    IdentityNumber,
    TaxNumber,
    BirthDate,
    Gender,
    Raw,
}
use Text::*;

impl InfoTexts {
    /// The texts of the response to the last of so many attempts.
    pub fn new(info: &PersonalInfo, attempts: u32) -> Self {
        let mut made = InfoTexts {
            attempts: c_int::try_from(attempts).unwrap_or(c_int::MAX),
            cust_id: info.cust_id.unwrap_or(0),
            // The other texts stand in `raw` too, where each is longer.
            texts: Vec::with_capacity(2 * info.raw.len() + 1),
            starts: [None; 7],
        };
        let texts = [
            (FirstName, &info.customer_first_name),
            (LastName, &info.customer_last_name),
            (IdentityNumber, &info.customer_identity_number),
            (TaxNumber, &info.customer_tax_number),
            (Gender, &info.customer_gender),
        ];
        for (which, text) in texts {
            if let Some(text) = text {
                made.add(which, |texts| texts.write_all(without_nul(text).as_bytes()));
            }
        }
        if let Some(day) = info.customer_birth_date {
            made.add(BirthDate, |texts| write!(texts, "{day}"));
        }
        // JSON has no NUL.
        made.add(Raw, |texts| texts.write_all(info.raw.as_bytes()));
        made
    }

    fn add(&mut self, which: Text, write: impl FnOnce(&mut Vec<u8>) -> io::Result<()>) {
        self.starts[which as usize] = Some(self.texts.len());
        write(&mut self.texts).expect("memory takes all");
        self.texts.push(b'\0');
    }

    fn get(&self, which: Text) -> *const c_char {
        self.starts[which as usize].map_or(ptr::null(), |start| self.texts[start..].as_ptr().cast())
    }
}

/// Frees the information, and the texts that were borrowed from it. NULL is ignored, and so is
/// information that an outcome owns.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn skypostal_personal_info_free(info: *mut skypostal_personal_info) {
    free(info)
}

/// Returns the number of attempts that were started until the service accepted the update: 1 or more.
/// 0 for NULL or a foreign handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn skypostal_personal_info_attempts(
    info: *const skypostal_personal_info,
) -> c_int {
    get(info).map_or(0, |info| info.attempts)
}

/// Returns the service's own number of the customer; 0 if the response has none.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn skypostal_personal_info_cust_id(
    info: *const skypostal_personal_info,
) -> i64 {
    get(info).map_or(0, |info| info.cust_id)
}

/// Returns the first name. Borrowed; NULL if the response has none.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn skypostal_personal_info_customer_first_name(
    info: *const skypostal_personal_info,
) -> *const c_char {
    get(info).map_or(ptr::null(), |info| info.get(FirstName))
}

/// Returns the last name. Borrowed; NULL if the response has none.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn skypostal_personal_info_customer_last_name(
    info: *const skypostal_personal_info,
) -> *const c_char {
    get(info).map_or(ptr::null(), |info| info.get(LastName))
}

/// Returns the identity number. Borrowed; NULL if the response has none.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn skypostal_personal_info_customer_identity_number(
    info: *const skypostal_personal_info,
) -> *const c_char {
    get(info).map_or(ptr::null(), |info| info.get(IdentityNumber))
}

/// Returns the tax number in decimal, with every digit that the service sent (observed:
/// `"123.450"`). Borrowed; NULL if it sent none.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn skypostal_personal_info_customer_tax_number(
    info: *const skypostal_personal_info,
) -> *const c_char {
    get(info).map_or(ptr::null(), |info| info.get(TaxNumber))
}

/// Returns the birth date, `"YYYY-MM-DD"`, a day of the service's calendar whatever the time zone
/// of the reader. Borrowed; NULL if the service has none, and for its year 1, which stands for "not
/// set" (observed).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn skypostal_personal_info_customer_birth_date(
    info: *const skypostal_personal_info,
) -> *const c_char {
    get(info).map_or(ptr::null(), |info| info.get(BirthDate))
}

/// Returns the gender, `"M"` or `"F"` as documented. Borrowed; NULL if the response has none.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn skypostal_personal_info_customer_gender(
    info: *const skypostal_personal_info,
) -> *const c_char {
    get(info).map_or(ptr::null(), |info| info.get(Gender))
}

/// Returns the whole JSON object that the service sent, with the members that are not documented.
/// Borrowed; never NULL for a live handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn skypostal_personal_info_raw(
    info: *const skypostal_personal_info,
) -> *const c_char {
    get(info).map_or(ptr::null(), |info| info.get(Raw))
}
