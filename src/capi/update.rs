//! The setters of an update.

use std::ffi::{c_char, c_int};
use std::time::Duration;

use super::error::{Failure, NO_ERROR, guard};
use super::handle::{Handle, free, get_mut, into_handle};
use super::{c_str, text_value};
use crate::{Field, Update};

/// A change of one customer. Made by `skypostal_update_new`, freed by `skypostal_update_free`. To
/// be used by one thread at a time; may be changed and sent again.
///
/// An update keeps its fields from call to call. WARNING: a loop that uses one update for many
/// customers must call `skypostal_update_clear` first for each of them. A field that it does not
/// set for a customer would otherwise be sent with the value of the customer before.
///
/// What is not set is not sent, and keeps its value at the service (documented); one, some or all
/// fields may change in one call (documented). A setter checks its value and copies it. It returns
/// `SKYPOSTAL_OK`, `SKYPOSTAL_MISUSE`, or `SKYPOSTAL_INVALID_FIELD` for a bad value, which is
/// remembered until the same setter gets a good one: the call that sends the update names the
/// first. NULL unsets a text, `skypostal_update_unset` any field, `skypostal_update_clear` all.
///
/// A text must:
///
/// - be UTF-8 that ends with NUL;
/// - have a character that can be seen, so that it is neither empty nor white space alone;
/// - not begin with a byte-order mark (U+FEFF);
/// - have no control character;
/// - have at most 8192 UTF-16 units (observed: longer ones are refused).
///
/// All other Unicode arrives unchanged. Whether an empty text would clear a field is documented
/// nowhere. A whole request has at most 65536 bytes (observed). If it has more, the call fails, and
/// `skypostal_error_field` names the longest text.
pub struct skypostal_update {
    _opaque: [u8; 0],
}

impl Handle for skypostal_update {
    type Content = Update;
    const TAG: u64 = 0x736b_7970_6f73_0003;
    const NAME: &'static str = "update";
}

/// Returns a new update that changes nothing yet. Never NULL. Yours: free it with
/// `skypostal_update_free`.
#[unsafe(no_mangle)]
pub extern "C" fn skypostal_update_new() -> *mut skypostal_update {
    into_handle(Update::new())
}

/// Frees an update. NULL is ignored.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn skypostal_update_free(update: *mut skypostal_update) {
    free(update)
}

/// Unsets every field and the timeout, and forgets every bad value: the update is as new. Nothing of
/// the last customer is left for the next one. Texts that it held are wiped. NULL is ignored.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn skypostal_update_clear(update: *mut skypostal_update) {
    let work = || {
        if !update.is_null() {
            get_mut(update)?.clear();
        }
        Ok(())
    };
    guard(NO_ERROR, work);
}

/// Unsets one field, a text or an integer, by its name, such as `"user_code"`, and forgets a bad value
/// of it. Returns `SKYPOSTAL_OK`; `SKYPOSTAL_INVALID_FIELD` if no field has that name;
/// `SKYPOSTAL_MISUSE`. A wrong name is remembered until `skypostal_update_clear`, because the field
/// that was meant is still set.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn skypostal_update_unset(
    update: *mut skypostal_update,
    field: *const c_char,
) -> c_int {
    let work = || {
        let update = get_mut(update)?;
        let name = c_str(field).ok_or(Failure::Misuse("field", "is NULL"))?;
        Ok(update.unset(&name.to_string_lossy())?)
    };
    guard(NO_ERROR, work)
}

/// Sets the timeout of the call or the bulk row that sends this update, retries and waits included,
/// in milliseconds. It replaces the client's. 0, the default: the client's. Kept from call to call;
/// `skypostal_update_clear` sets it back. Returns `SKYPOSTAL_OK` or `SKYPOSTAL_MISUSE`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn skypostal_update_set_timeout_ms(
    update: *mut skypostal_update,
    value: u32,
) -> c_int {
    let value = (value != 0).then(|| Duration::from_millis(value.into()));
    guard(NO_ERROR, || Ok(get_mut(update)?.set_timeout(value)?))
}

/// Sets the user code given by SkyPostal for one environment (documented), in place of the
/// client's: positive.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn skypostal_update_set_user_code(
    update: *mut skypostal_update,
    value: i64,
) -> c_int {
    set_integer(update, Field::UserCode, value)
}

/// Sets the application key given by SkyPostal for one environment (documented), in place of the
/// client's: a text. Secret.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn skypostal_update_set_app_key(
    update: *mut skypostal_update,
    value: *const c_char,
) -> c_int {
    set_text(update, Field::AppKey, value)
}

/// Sets the customer's box, obtained by registration or login (documented): positive. Required.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn skypostal_update_set_customer_box_id(
    update: *mut skypostal_update,
    value: i64,
) -> c_int {
    set_integer(update, Field::CustomerBoxId, value)
}

/// Sets the customer's key, obtained by registration or login; another one after the customer's
/// e-mail address was changed (documented). A text. Required. Secret.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn skypostal_update_set_customer_key(
    update: *mut skypostal_update,
    value: *const c_char,
) -> c_int {
    set_text(update, Field::CustomerKey, value)
}

/// Sets the new first name: a text.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn skypostal_update_set_customer_first_name(
    update: *mut skypostal_update,
    value: *const c_char,
) -> c_int {
    set_text(update, Field::CustomerFirstName, value)
}

/// Sets the new last name: a text.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn skypostal_update_set_customer_last_name(
    update: *mut skypostal_update,
    value: *const c_char,
) -> c_int {
    set_text(update, Field::CustomerLastName, value)
}

/// Sets the new identity number: a text.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn skypostal_update_set_customer_identity_number(
    update: *mut skypostal_update,
    value: *const c_char,
) -> c_int {
    set_text(update, Field::CustomerIdentityNumber, value)
}

/// Sets the new tax number, numeric (documented): digits with an optional fraction, `"1234.50"`, at
/// most 28 digits, no sign, no exponent. Every digit is sent (observed: decimals are kept); leading
/// zeros are dropped.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn skypostal_update_set_customer_tax_number(
    update: *mut skypostal_update,
    value: *const c_char,
) -> c_int {
    set_text(update, Field::CustomerTaxNumber, value)
}

/// Sets the new birth date, a real day: `"YYYY-MM-DD"` (documented), from 1753-01-01 to today,
/// wherever on Earth today is latest.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn skypostal_update_set_customer_birth_date(
    update: *mut skypostal_update,
    value: *const c_char,
) -> c_int {
    set_text(update, Field::CustomerBirthDate, value)
}

/// Sets the new gender: `"M"` or `"F"` (documented).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn skypostal_update_set_customer_gender(
    update: *mut skypostal_update,
    value: *const c_char,
) -> c_int {
    set_text(update, Field::CustomerGender, value)
}

unsafe fn set_text(update: *mut skypostal_update, field: Field, value: *const c_char) -> c_int {
    guard(NO_ERROR, || Ok(get_mut(update)?.set(field, text_value(value))?))
}

unsafe fn set_integer(update: *mut skypostal_update, field: Field, value: i64) -> c_int {
    guard(NO_ERROR, || Ok(get_mut(update)?.set(field, value)?))
}
