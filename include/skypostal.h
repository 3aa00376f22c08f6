/*
 * skypostal: update a customer's personal information at SkyPostal.
 *
 * One call of one service, customer-update-personal-info. The fields have the service's names. A
 * rule with the mark "documented" is in the service's documentation. One with the mark "observed" is
 * not, but a server of its kind was seen to follow it. A rule without a mark is this library's own.
 * Not affiliated with SkyPostal.
 *
 * A whole program:
 *
 *     #include <stdio.h>
 *     #include <skypostal.h>
 *
 *     int main(void)
 *     {
 *         skypostal_options *options = skypostal_options_new();
 *         skypostal_update *update = skypostal_update_new();
 *         skypostal_client *client = NULL;
 *         skypostal_personal_info *info = NULL;
 *         skypostal_error *error = NULL;
 *         int result;
 *
 *         skypostal_options_read_environment(options);
 *         skypostal_update_set_customer_box_id(update, 811111);
 *         skypostal_update_set_customer_key(update, "the customer's key");
 *         skypostal_update_set_customer_first_name(update, "New Name");
 *
 *         result = skypostal_client_new(options, &client, &error);
 *         if (result == SKYPOSTAL_OK)
 *             result = skypostal_client_update_personal_info(client, update, &info, &error);
 *         if (result == SKYPOSTAL_OK) {
 *             const char *name = skypostal_personal_info_customer_first_name(info);
 *             printf("updated: %s\n", name != NULL ? name : "(no first name)");
 *         } else if (skypostal_error_delivery(error) == SKYPOSTAL_DELIVERY_UNKNOWN)
 *             printf("perhaps updated, run this again: %s\n", skypostal_error_message(error));
 *         else
 *             printf("not updated: %s\n", skypostal_error_message(error));
 *
 *         skypostal_error_free(error);
 *         skypostal_personal_info_free(info);
 *         skypostal_client_free(client);
 *         skypostal_update_free(update);
 *         skypostal_options_free(options);
 *         return result;
 *     }
 *
 * Conventions, without exception:
 *
 * - Ownership: what a function gives through **out, **error or by a name that ends in _new is
 *   yours, and you free it with the _free of its type, in any order. Every other pointer that a
 *   function returns is borrowed from its handle and valid until that is freed. A text that is
 *   called static is always valid. Texts are UTF-8 ended by NUL. _free does nothing for NULL, and
 *   nothing for a borrowed handle.
 * - Outputs: on failure *out becomes NULL, on success *error does, so that cleaning up is one
 *   unconditional path as above. What they held before is not freed. error may be NULL, and so
 *   may the out of an update.
 * - Result codes: a function that can fail returns SKYPOSTAL_OK, which is 0, or a positive result
 *   code. Each may return SKYPOSTAL_INTERNAL. Numbers are never changed; new ones may be added, so
 *   let a switch have a default. "Status" always means the HTTP status.
 * - Misuse: NULL, a freed handle as far as can be seen, and a foreign handle, which is one of another
 *   type, give SKYPOSTAL_MISUSE, or an absent value from a getter. A debug build of the library
 *   (cargo build without --release) knows each live handle and reports misuse on the standard error;
 *   it misses only an address that a new handle of the same type has taken. No build can detect a
 *   text that does not end, or a thread that breaks the rule below.
 * - Setters copy their value and check it. NULL unsets a text. A bad value is reported at once and
 *   remembered until the same setter gets a good one. skypostal_client_new names the first bad
 *   option, and the call that sends an update its first bad field, also where every result code of
 *   a setter was ignored.
 * - An update keeps its fields from call to call: a loop over customers calls
 *   skypostal_update_clear first for each, or makes a new update.
 * - Absent values: NULL for texts and borrowed handles, -1 for retry_after_ms and the index of an
 *   outcome, SKYPOSTAL_MISUSE for a result code, 0 for every other number.
 * - Threads: a client may be used by many threads at once. Options, updates and bulks belong to one
 *   thread at a time. Personal information, outcomes and errors never change, and any thread may
 *   read them. A thread that makes calls needs 128 KiB of stack. A thread in a call must not be
 *   ended by pthread_cancel, nor left by longjmp; skypostal_client_cancel ends the call.
 * - Fork: a client made before a fork works in the parent and in the child.
 * - Signals: no function may be called by a signal handler. Unless the program ignores SIGPIPE, a
 *   call blocks it on the calling thread; one that comes to this thread from elsewhere meanwhile is
 *   taken for the call's own. A signal that is handled does not end a call; skypostal_client_cancel
 *   does.
 * - Own threads: a short one looks up a host's name. One background thread sends the rows of all
 *   bulks; it also runs where two connections are idle, and closes those that stay so for a minute.
 *   Where a thread or the process ends, a call may run on a thread of its own. All block all signals.
 * - The library installs no signal handler, and changes no locale and no environment. Running out
 *   of memory ends the process.
 *
 * C++11 and later has skypostal.hpp over this header.
 *
 * Written by cbindgen from src/capi: change it there, and run make header.
 */
#ifndef SKYPOSTAL_H
#define SKYPOSTAL_H


#include <stdint.h>

#if !defined(SKYPOSTAL_API) && defined(_WIN32) && !defined(SKYPOSTAL_STATIC)
#define SKYPOSTAL_API __declspec(dllimport)
#endif
/** Stands before the declaration of each function. Define it if your compiler needs something else.
 * On Windows, define SKYPOSTAL_STATIC to link the static library. */
#ifndef SKYPOSTAL_API
#define SKYPOSTAL_API
#endif

#ifdef __cplusplus
extern "C" {
#endif

/** The version of this header. */
#define SKYPOSTAL_VERSION "0.1.0"

/** The same as a number: major * 1000000 + minor * 1000 + patch. */
#define SKYPOSTAL_VERSION_NUMBER 1000

/**
 * Success.
 */
#define SKYPOSTAL_OK 0

/**
 * A field of the update is missing, malformed or out of range; `skypostal_error_field` names it.
 * Found before anything is sent.
 */
#define SKYPOSTAL_INVALID_FIELD 1

/**
 * An option is missing or unusable: credentials, URL, timeout, CA file, proxy;
 * `skypostal_error_field` names it. Found before anything is sent.
 */
#define SKYPOSTAL_CONFIGURATION 2

/**
 * No connection: name look-up, refusal, connect timeout, or the proxy.
 */
#define SKYPOSTAL_CONNECT 3

/**
 * No secure connection: the handshake failed, or the certificate is not trusted.
 */
#define SKYPOSTAL_TLS 4

/**
 * The connection ended before a whole response had come.
 */
#define SKYPOSTAL_LOST 5

/**
 * The deadline of the whole call passed.
 */
#define SKYPOSTAL_TIMEOUT 6

/**
 * The HTTP status was not 2xx; see `skypostal_error_http_status` and `skypostal_error_body`.
 */
#define SKYPOSTAL_STATUS 7

/**
 * The service said no: wrong credentials, an unknown customer, a value it does not take (observed:
 * with HTTP status 200); see `skypostal_error_description`. Or it reported an error of its own, and
 * may have made the change all the same: `skypostal_error_delivery` says.
 */
#define SKYPOSTAL_REFUSED 8

/**
 * A 2xx response that is not in the documented form, or is compressed although no request accepts
 * that; see `skypostal_error_body`.
 */
#define SKYPOSTAL_RESPONSE 9

/**
 * The call was ended by `skypostal_client_cancel`.
 */
#define SKYPOSTAL_CANCELLED 10

/**
 * A bug of this library; please report it. Nothing else is affected.
 */
#define SKYPOSTAL_INTERNAL 11

/**
 * NULL, a freed handle or a handle of another type was passed where a handle is needed. Nothing
 * was done.
 */
#define SKYPOSTAL_MISUSE 12

/**
 * Nothing of the update reached the service: the customer is as before.
 */
#define SKYPOSTAL_DELIVERY_NOT_SENT 1

/**
 * The service responded that it did not make the change: the customer is as before.
 */
#define SKYPOSTAL_DELIVERY_REJECTED 2

/**
 * The customer may have been changed. Sending the same update again is harmless: it leaves the
 * same record.
 */
#define SKYPOSTAL_DELIVERY_UNKNOWN 3

/**
 * Many updates in one go, several of which are in flight at once. Made by `skypostal_bulk_new`,
 * freed by `skypostal_bulk_free`. To be used by one thread at a time, from its first row to its
 * last outcome:
 *
 * ```c
 * for (;;) {
 *     while (more && skypostal_bulk_capacity(bulk) > 0) {
 *         skypostal_update_clear(update);
 *         more = read_row(file, update);
 *         if (more)
 *             skypostal_bulk_submit(bulk, update);
 *     }
 *     result = skypostal_bulk_next(bulk, &outcome, &error);
 *     if (outcome == NULL)
 *         break;
 *     report(outcome);
 *     skypostal_outcome_free(outcome);
 * }
 * ```
 *
 * Afterwards `result` and `error` say whether the bulk stopped early, and why.
 *
 * A background thread of the library sends the rows. The first row of a process starts it, and it
 * blocks all signals. Each row has the client's timeout, from its first attempt on, and its
 * retries. Where the service responds with 429 or 503 the whole bulk pauses, for as long as the
 * service asks but at most 300 s. Then it continues at a lower rate, which climbs back. Such a row
 * is tried again until its timeout, unless the client's retries are 0. After 10 consecutive rows
 * that found no connection the bulk stops: no more are sent.
 *
 * A forked child cannot use its parent's bulk; it can make a new one.
 */
typedef struct skypostal_bulk skypostal_bulk;

/**
 * A client with its connections. Made by `skypostal_client_new`, freed by `skypostal_client_free`.
 * Made once, used for every call, by any number of threads at once, each on a connection of its
 * own; connections are kept and used again. Works on both sides of a fork.
 */
typedef struct skypostal_client skypostal_client;

/**
 * Why a function or a row of a bulk failed. Given through `**error`, freed by
 * `skypostal_error_free`, and independent of all other handles; but that of a row belongs to its
 * `skypostal_outcome` and dies with it. Never changes: any thread may read it.
 *
 * The texts are UTF-8, borrowed: they live as long as this handle.
 */
typedef struct skypostal_error skypostal_error;

/**
 * The options of a client. Made by `skypostal_options_new`, freed by `skypostal_options_free`,
 * also before the clients that were made of them: these have copies. To be used by one thread at a
 * time.
 *
 * A setter checks its value and copies it. It returns `SKYPOSTAL_OK`, `SKYPOSTAL_MISUSE`, or
 * `SKYPOSTAL_CONFIGURATION` (`SKYPOSTAL_INVALID_FIELD` for the user code and the application key)
 * for a bad value, which is remembered until the same setter gets a good one:
 * `skypostal_client_new` names the first. NULL sets a text back to its default.
 */
typedef struct skypostal_options skypostal_options;

/**
 * The outcome of one row of a bulk. Given by `skypostal_bulk_next`, freed by
 * `skypostal_outcome_free`; independent of the bulk. Never changes: any thread may read it.
 *
 * It owns the information or the error of its row. Both are borrowed, with their texts: they live
 * as long as this handle. `skypostal_personal_info_free` and `skypostal_error_free` do nothing for
 * them.
 */
typedef struct skypostal_outcome skypostal_outcome;

/**
 * A customer's personal information after an update, as the service reported it. Given by
 * `skypostal_client_update_personal_info`, freed by `skypostal_personal_info_free`, and independent
 * of the client and the update; but that of a row belongs to its `skypostal_outcome` and dies with
 * it. Never changes: any thread may read it.
 *
 * The texts are UTF-8, borrowed: they live as long as this handle. NULL where the response has no
 * such value, or one that cannot be read, which `skypostal_personal_info_raw` shows.
 */
typedef struct skypostal_personal_info skypostal_personal_info;

/**
 * A change of one customer. Made by `skypostal_update_new`, freed by `skypostal_update_free`. To
 * be used by one thread at a time; may be changed and sent again.
 *
 * An update keeps its fields from call to call. WARNING: a loop that uses one update for many
 * customers must call `skypostal_update_clear` first for each of them. A field that it does not
 * set for a customer would otherwise be sent with the value of the customer before.
 *
 * What is not set is not sent, and keeps its value at the service (documented); one, some or all
 * fields may change in one call (documented). A setter checks its value and copies it. It returns
 * `SKYPOSTAL_OK`, `SKYPOSTAL_MISUSE`, or `SKYPOSTAL_INVALID_FIELD` for a bad value, which is
 * remembered until the same setter gets a good one: the call that sends the update names the
 * first. NULL unsets a text, `skypostal_update_unset` any field, `skypostal_update_clear` all.
 *
 * A text must:
 *
 * - be UTF-8 that ends with NUL;
 * - have a character that can be seen, so that it is neither empty nor white space alone;
 * - not begin with a byte-order mark (U+FEFF);
 * - have no control character;
 * - have at most 8192 UTF-16 units (observed: longer ones are refused).
 *
 * All other Unicode arrives unchanged. Whether an empty text would clear a field is documented
 * nowhere. A whole request has at most 65536 bytes (observed). If it has more, the call fails, and
 * `skypostal_error_field` names the longest text.
 */
typedef struct skypostal_update skypostal_update;

/**
 * Receives a line of the log. See `skypostal_options_set_log`.
 */
typedef void (*skypostal_log_callback)(void *user_data, const char *line);

/**
 * Returns the version of the library that is loaded, such as `"0.1.0"`. Static, never NULL. Any
 * thread.
 */
SKYPOSTAL_API const char *skypostal_version(void);

/**
 * Returns the version of the library that is loaded: major * 1000000 + minor * 1000 + patch. Any
 * thread.
 *
 * It may be greater than `SKYPOSTAL_VERSION_NUMBER`, the version of the header that a program was
 * compiled with: functions and numbers are only added as long as the library's file is named
 * `libskypostal.so.0`. A smaller one may lack a function.
 */
SKYPOSTAL_API int skypostal_version_number(void);

/**
 * Returns new options with the defaults: the test environment, 30 s for a call, 10 s for a
 * connection, 2 retries. Never NULL. Yours: free them with `skypostal_options_free`.
 */
SKYPOSTAL_API skypostal_options *skypostal_options_new(void);

/**
 * Frees options; a client made of them is not affected. NULL is ignored.
 */
SKYPOSTAL_API void skypostal_options_free(skypostal_options *options);

/**
 * Reads `SKYPOSTAL_USER_CODE`, `SKYPOSTAL_APP_KEY` or the file that `SKYPOSTAL_APP_KEY_FILE` names,
 * `SKYPOSTAL_ENVIRONMENT` and `SKYPOSTAL_BASE_URL` from the environment, which no other thread may
 * change meanwhile. What a setter sets wins, before or after. An empty variable counts as absent.
 * Without this call they are not read. Of the file, one line break at its end is no part of the key.
 *
 * In a program with raised privileges (`AT_SECURE`, such as a set-user-ID one) the last three are
 * refused as unusable, so that its caller does not choose where the keys go, nor which file is read;
 * the first two are read, since a wrong one only makes the service refuse.
 *
 * Returns `SKYPOSTAL_OK`; `SKYPOSTAL_MISUSE`; or for the first variable that is unusable
 * `SKYPOSTAL_INVALID_FIELD` (user code and key) or `SKYPOSTAL_CONFIGURATION` (the others). An
 * unusable variable is remembered as a setter's bad value is. Another call of this function, or a
 * setter that wins over the variable, replaces it.
 */
SKYPOSTAL_API
int skypostal_options_read_environment(skypostal_options *options);

/**
 * Sets the user code given by SkyPostal for one environment (documented): positive. An update may
 * bring its own. A call that has one from neither fails with `SKYPOSTAL_CONFIGURATION`.
 */
SKYPOSTAL_API int skypostal_options_set_user_code(skypostal_options *options, int64_t value);

/**
 * Sets the application key given by SkyPostal for one environment (documented): a text as the
 * fields of an update are. Secret. An update may bring its own. A call that has one from neither
 * fails with `SKYPOSTAL_CONFIGURATION`.
 */
SKYPOSTAL_API int skypostal_options_set_app_key(skypostal_options *options, const char *value);

/**
 * Sets the environment: `"test"` (the default) or `"production"`. Each has credentials of its own
 * (documented). Test's address is documented, production's was seen in use elsewhere.
 */
SKYPOSTAL_API int skypostal_options_set_environment(skypostal_options *options, const char *value);

/**
 * Sets the address of the service, such as `"https://host:port"`, without the path of the call. It
 * wins over the environment's address. Plain `http://` only to this machine, unless allowed by
 * `skypostal_options_set_allow_http`.
 */
SKYPOSTAL_API int skypostal_options_set_base_url(skypostal_options *options, const char *value);

/**
 * Sets the timeout of a whole call, retries and waits included, in milliseconds: from 1 on; 30000
 * unless set. Then the call fails with `SKYPOSTAL_TIMEOUT`.
 */
SKYPOSTAL_API int skypostal_options_set_timeout_ms(skypostal_options *options, uint32_t value);

/**
 * Sets the timeout of one connection, from the look-up of the name to TLS, in milliseconds: from 1
 * on; 10000 unless set. Then the attempt fails with `SKYPOSTAL_CONNECT`, or with `SKYPOSTAL_TLS` if
 * it waited for TLS.
 */
SKYPOSTAL_API
int skypostal_options_set_connect_timeout_ms(skypostal_options *options,
                                             uint32_t value);

/**
 * Sets how often a call is tried again: 0 or more; 2 unless set. A call is tried again after a failed
 * or lost connection, unless a certificate was not accepted, or a status 408, 429, 502, 503 or 504.
 * A client has 50 retries in all, and ten accepted updates give one back: while the service is down,
 * the calls after those are tried once.
 * A row of a bulk that got 429 or 503 is tried again until its timeout, unless this is 0. The same
 * update sent twice leaves the same record (documented: it sets fields to values). With 0 an update
 * is sent at most once.
 */
SKYPOSTAL_API
int skypostal_options_set_max_retries(skypostal_options *options,
                                      int value);

/**
 * Sets the proxy to use, `"http://[user:password@]host:port"` or `"https://..."`. It wins over the
 * environment's. NULL, the default: that of the environment or of the system's settings, see
 * `skypostal_options_set_trust_env`.
 */
SKYPOSTAL_API int skypostal_options_set_proxy(skypostal_options *options, const char *value);

/**
 * Sets the path of a PEM file of certificates, or of a folder of them, to trust beside the
 * operating system's, which the variables `SSL_CERT_FILE` and `SSL_CERT_DIR` replace, except in a
 * program with raised privileges. The path is in the encoding of the file system; on Windows in
 * UTF-8. `skypostal_client_new` reads it, and says what is wrong with it. NULL, the default: none.
 */
SKYPOSTAL_API int skypostal_options_set_ca_file(skypostal_options *options, const char *value);

/**
 * Sets whether `skypostal_client_new` reads the proxy variables, such as `HTTPS_PROXY` and
 * `NO_PROXY`, and on Windows and macOS the proxy of the system's settings: 0, or 1 (the default).
 * In a program with raised privileges it never does.
 */
SKYPOSTAL_API int skypostal_options_set_trust_env(skypostal_options *options, int value);

/**
 * Sets whether plain `http://` may leave this machine, with the keys readable on the way: 0 (the
 * default) or 1.
 */
SKYPOSTAL_API int skypostal_options_set_allow_http(skypostal_options *options, int value);

/**
 * Sets the name of your program, such as `"shop/1.2"`, which follows this library's in the header
 * `User-Agent`: so SkyPostal can tell its calls from those of others. 1 to 256 characters of
 * printable ASCII. NULL, the default: the library's name alone.
 */
SKYPOSTAL_API int skypostal_options_set_user_agent(skypostal_options *options, const char *value);

/**
 * Sets the function that receives one line for each attempt of a call or a row when it has ended:
 * its outcome, the time that it took, the reason of a failure, and whether a retry follows. The
 * line holds no key and no personal data. It is borrowed, without a line break, and ends with the
 * callback. NULL, the default: no log. `user_data` is passed on, and must live until the clients
 * and their bulks are freed and every call has returned.
 *
 * The callback runs on the thread that waits for the call, or that takes the outcome of a row by
 * `skypostal_bulk_next`: so perhaps on several threads at once. It must return: no longjmp, no
 * exception. The call waits for it, its deadline does not. It may make a call of its own, which is
 * not logged. It must not free the client, nor use the bulk whose outcome is being taken.
 *
 * Returns `SKYPOSTAL_OK` or `SKYPOSTAL_MISUSE`.
 */
SKYPOSTAL_API
int skypostal_options_set_log(skypostal_options *options,
                              skypostal_log_callback callback,
                              void *user_data);

/**
 * Returns a new update that changes nothing yet. Never NULL. Yours: free it with
 * `skypostal_update_free`.
 */
SKYPOSTAL_API skypostal_update *skypostal_update_new(void);

/**
 * Frees an update. NULL is ignored.
 */
SKYPOSTAL_API void skypostal_update_free(skypostal_update *update);

/**
 * Unsets every field and the timeout, and forgets every bad value: the update is as new. Nothing of
 * the last customer is left for the next one. Texts that it held are wiped. NULL is ignored.
 */
SKYPOSTAL_API void skypostal_update_clear(skypostal_update *update);

/**
 * Unsets one field, a text or an integer, by its name, such as `"user_code"`, and forgets a bad value
 * of it. Returns `SKYPOSTAL_OK`; `SKYPOSTAL_INVALID_FIELD` if no field has that name;
 * `SKYPOSTAL_MISUSE`. A wrong name is remembered until `skypostal_update_clear`, because the field
 * that was meant is still set.
 */
SKYPOSTAL_API
int skypostal_update_unset(skypostal_update *update,
                           const char *field);

/**
 * Sets the timeout of the call or the bulk row that sends this update, retries and waits included,
 * in milliseconds. It replaces the client's. 0, the default: the client's. Kept from call to call;
 * `skypostal_update_clear` sets it back. Returns `SKYPOSTAL_OK` or `SKYPOSTAL_MISUSE`.
 */
SKYPOSTAL_API int skypostal_update_set_timeout_ms(skypostal_update *update, uint32_t value);

/**
 * Sets the user code given by SkyPostal for one environment (documented), in place of the
 * client's: positive.
 */
SKYPOSTAL_API int skypostal_update_set_user_code(skypostal_update *update, int64_t value);

/**
 * Sets the application key given by SkyPostal for one environment (documented), in place of the
 * client's: a text. Secret.
 */
SKYPOSTAL_API int skypostal_update_set_app_key(skypostal_update *update, const char *value);

/**
 * Sets the customer's box, obtained by registration or login (documented): positive. Required.
 */
SKYPOSTAL_API int skypostal_update_set_customer_box_id(skypostal_update *update, int64_t value);

/**
 * Sets the customer's key, obtained by registration or login; another one after the customer's
 * e-mail address was changed (documented). A text. Required. Secret.
 */
SKYPOSTAL_API int skypostal_update_set_customer_key(skypostal_update *update, const char *value);

/**
 * Sets the new first name: a text.
 */
SKYPOSTAL_API
int skypostal_update_set_customer_first_name(skypostal_update *update,
                                             const char *value);

/**
 * Sets the new last name: a text.
 */
SKYPOSTAL_API
int skypostal_update_set_customer_last_name(skypostal_update *update,
                                            const char *value);

/**
 * Sets the new identity number: a text.
 */
SKYPOSTAL_API
int skypostal_update_set_customer_identity_number(skypostal_update *update,
                                                  const char *value);

/**
 * Sets the new tax number, numeric (documented): digits with an optional fraction, `"1234.50"`, at
 * most 28 digits, no sign, no exponent. Every digit is sent (observed: decimals are kept); leading
 * zeros are dropped.
 */
SKYPOSTAL_API
int skypostal_update_set_customer_tax_number(skypostal_update *update,
                                             const char *value);

/**
 * Sets the new birth date, a real day: `"YYYY-MM-DD"` (documented), from 1753-01-01 to today,
 * wherever on Earth today is latest.
 */
SKYPOSTAL_API
int skypostal_update_set_customer_birth_date(skypostal_update *update,
                                             const char *value);

/**
 * Sets the new gender: `"M"` or `"F"` (documented).
 */
SKYPOSTAL_API int skypostal_update_set_customer_gender(skypostal_update *update, const char *value);

/**
 * Makes a client. The options are copied. Reads certificates, connects to nothing.
 *
 * Gives `*out`, yours to free with `skypostal_client_free`, or NULL and `*error`, yours to free
 * with `skypostal_error_free`. `out` is required, `error` may be NULL.
 *
 * Returns `SKYPOSTAL_OK`; `SKYPOSTAL_CONFIGURATION` or `SKYPOSTAL_INVALID_FIELD` for the first
 * option that is unusable; `SKYPOSTAL_MISUSE`.
 */
SKYPOSTAL_API
int skypostal_client_new(const skypostal_options *options,
                         skypostal_client **out,
                         skypostal_error **error);

/**
 * Frees a client and closes its idle connections. No thread may use it any more. A call in flight
 * and a bulk of this client are not affected: they go on to their end. NULL is ignored.
 */
SKYPOSTAL_API void skypostal_client_free(skypostal_client *client);

/**
 * Changes a customer's personal information and waits for the response, the record as it then is,
 * for as long as the timeout at most. With no change at all the current record comes back. The
 * calling thread does the work; any number of threads may call at once with one client, each with
 * an update of its own. The update may be changed and used again afterwards.
 *
 * Gives `*out`, yours to free with `skypostal_personal_info_free`, or NULL and `*error`, yours to
 * free with `skypostal_error_free`. Both `out` and `error` may be NULL.
 *
 * Returns `SKYPOSTAL_OK` when the service accepted the update, else any other result code.
 * `skypostal_error_delivery` says whether the customer was changed.
 */
SKYPOSTAL_API
int skypostal_client_update_personal_info(const skypostal_client *client,
                                          const skypostal_update *update,
                                          skypostal_personal_info **out,
                                          skypostal_error **error);

/**
 * Checks an update as the call that sends it does, and sends nothing: each value that was set, and
 * that no required field is missing, the client's credentials included.
 *
 * Gives `*error`, yours to free with `skypostal_error_free`, for the first problem; `error` may be
 * NULL. Any number of threads may check at once, each an update of its own.
 *
 * Returns `SKYPOSTAL_OK`; `SKYPOSTAL_INVALID_FIELD`, or `SKYPOSTAL_CONFIGURATION` where the user
 * code or the application key is missing; `SKYPOSTAL_MISUSE`.
 */
SKYPOSTAL_API
int skypostal_client_check(const skypostal_client *client,
                           const skypostal_update *update,
                           skypostal_error **error);

/**
 * Ends the calls of this client that are in flight in this process, and the bulks with rows in
 * flight, from any thread: each returns `SKYPOSTAL_CANCELLED` soon. A call that begins later is not
 * affected, and where there is none nothing happens. Not for signal handlers. Returns
 * `SKYPOSTAL_OK` or `SKYPOSTAL_MISUSE`.
 */
SKYPOSTAL_API int skypostal_client_cancel(const skypostal_client *client);

/**
 * Makes a bulk, which has no rows yet.
 *
 * `concurrency`: how many rows are in flight at once, each on a connection of its own: 1 to 100,
 * or 0 for 8. `rate`: how many attempts a second there are at most, retries included, and a tenth
 * more after a delay: 0.001 to 1000000, or 0 for as many as the service takes.
 *
 * Gives `*out`, yours to free with `skypostal_bulk_free`, or NULL and `*error`, yours to free with
 * `skypostal_error_free`. `out` is required, `error` may be NULL.
 *
 * Returns `SKYPOSTAL_OK`; `SKYPOSTAL_CONFIGURATION` for a number out of range; `SKYPOSTAL_MISUSE`.
 */
SKYPOSTAL_API
int skypostal_bulk_new(const skypostal_client *client,
                       int concurrency,
                       double rate,
                       skypostal_bulk **out,
                       skypostal_error **error);

/**
 * Frees a bulk and cancels its rows in flight, whose updates may have been made or not. Where that
 * matters, submit no more rows and take every outcome before. NULL is ignored.
 */
SKYPOSTAL_API void skypostal_bulk_free(skypostal_bulk *bulk);

/**
 * Returns how many rows to submit now. If you submit no more, the bulk holds at most twice
 * `concurrency` rows in memory. 0 once it has stopped, and for NULL or a foreign handle. Never waits.
 */
SKYPOSTAL_API
int skypostal_bulk_capacity(const skypostal_bulk *bulk);

/**
 * Submits a row. Rows are numbered from 0 on. The update is copied: it may be changed and submitted
 * again at once. If it is invalid, it is not sent, and the row's outcome has the error. The function
 * never waits, and takes the row also where there is no capacity.
 *
 * Returns `SKYPOSTAL_OK`; `SKYPOSTAL_MISUSE`; or, when the bulk has stopped, the result code that
 * `skypostal_bulk_next` will end with: the row was not submitted then.
 */
SKYPOSTAL_API
int skypostal_bulk_submit(skypostal_bulk *bulk,
                          const skypostal_update *update);

/**
 * Waits for the next row to end, and gives its outcome. Rows end in any order.
 *
 * Gives `*out`, yours to free with `skypostal_outcome_free`, and returns `SKYPOSTAL_OK`, however
 * the row ended: the result code is the bulk's own.
 *
 * After the last outcome `*out` is NULL. The result code is then `SKYPOSTAL_OK`, or it says why the
 * bulk stopped early:
 *
 * - `SKYPOSTAL_CONNECT` or `SKYPOSTAL_TLS`: the service cannot be reached;
 * - `SKYPOSTAL_CANCELLED`: `skypostal_client_cancel` was called;
 * - `SKYPOSTAL_CONFIGURATION`: the bulk is another process's.
 *
 * `*error` says the same, yours to free with `skypostal_error_free`. Each row that was not tried has
 * had an outcome before, with that result code and `SKYPOSTAL_DELIVERY_NOT_SENT`.
 *
 * `out` is required, `error` may be NULL. Returns `SKYPOSTAL_MISUSE` where `out` is NULL or `bulk`
 * is no bulk.
 */
SKYPOSTAL_API
int skypostal_bulk_next(skypostal_bulk *bulk,
                        skypostal_outcome **out,
                        skypostal_error **error);

/**
 * Frees an outcome, with the information or the error that was borrowed from it. NULL is ignored.
 */
SKYPOSTAL_API void skypostal_outcome_free(skypostal_outcome *outcome);

/**
 * Returns the number of the row in its bulk, from 0 on; -1 for NULL or a foreign handle.
 */
SKYPOSTAL_API int64_t skypostal_outcome_index(const skypostal_outcome *outcome);

/**
 * Returns the result code of the row, as `skypostal_client_update_personal_info` returns it for a
 * call. `SKYPOSTAL_MISUSE` for NULL or a foreign handle.
 */
SKYPOSTAL_API int skypostal_outcome_result(const skypostal_outcome *outcome);

/**
 * Returns how many attempts were started; 0 when nothing was tried, and for NULL or a foreign handle.
 */
SKYPOSTAL_API
int skypostal_outcome_attempts(const skypostal_outcome *outcome);

/**
 * Returns the customer's personal information after the update. Borrowed; NULL if the row failed,
 * and for NULL or a foreign handle.
 */
SKYPOSTAL_API
const skypostal_personal_info *skypostal_outcome_info(const skypostal_outcome *outcome);

/**
 * Returns why the row failed. Borrowed; NULL if the service accepted the update, and for NULL or a
 * foreign handle.
 */
SKYPOSTAL_API const skypostal_error *skypostal_outcome_error(const skypostal_outcome *outcome);

/**
 * Frees the information, and the texts that were borrowed from it. NULL is ignored, and so is
 * information that an outcome owns.
 */
SKYPOSTAL_API void skypostal_personal_info_free(skypostal_personal_info *info);

/**
 * Returns the number of attempts that were started until the service accepted the update: 1 or more.
 * 0 for NULL or a foreign handle.
 */
SKYPOSTAL_API
int skypostal_personal_info_attempts(const skypostal_personal_info *info);

/**
 * Returns the service's own number of the customer; 0 if the response has none.
 */
SKYPOSTAL_API int64_t skypostal_personal_info_cust_id(const skypostal_personal_info *info);

/**
 * Returns the first name. Borrowed; NULL if the response has none.
 */
SKYPOSTAL_API
const char *skypostal_personal_info_customer_first_name(const skypostal_personal_info *info);

/**
 * Returns the last name. Borrowed; NULL if the response has none.
 */
SKYPOSTAL_API
const char *skypostal_personal_info_customer_last_name(const skypostal_personal_info *info);

/**
 * Returns the identity number. Borrowed; NULL if the response has none.
 */
SKYPOSTAL_API
const char *skypostal_personal_info_customer_identity_number(const skypostal_personal_info *info);

/**
 * Returns the tax number in decimal, with every digit that the service sent (observed:
 * `"123.450"`). Borrowed; NULL if it sent none.
 */
SKYPOSTAL_API
const char *skypostal_personal_info_customer_tax_number(const skypostal_personal_info *info);

/**
 * Returns the birth date, `"YYYY-MM-DD"`, a day of the service's calendar whatever the time zone
 * of the reader. Borrowed; NULL if the service has none, and for its year 1, which stands for "not
 * set" (observed).
 */
SKYPOSTAL_API
const char *skypostal_personal_info_customer_birth_date(const skypostal_personal_info *info);

/**
 * Returns the gender, `"M"` or `"F"` as documented. Borrowed; NULL if the response has none.
 */
SKYPOSTAL_API
const char *skypostal_personal_info_customer_gender(const skypostal_personal_info *info);

/**
 * Returns the whole JSON object that the service sent, with the members that are not documented.
 * Borrowed; never NULL for a live handle.
 */
SKYPOSTAL_API const char *skypostal_personal_info_raw(const skypostal_personal_info *info);

/**
 * Returns the meaning of a result code, in a few words of English. Static, never NULL, for any
 * number. Any thread.
 */
SKYPOSTAL_API const char *skypostal_strerror(int result);

/**
 * Returns the meaning of a delivery, in a few words of English. Static, never NULL, for any
 * number. Any thread.
 */
SKYPOSTAL_API const char *skypostal_delivery_text(int delivery);

/**
 * Frees an error, and the texts that were borrowed from it. NULL is ignored, and so is an error that
 * an outcome owns.
 */
SKYPOSTAL_API
void skypostal_error_free(skypostal_error *error);

/**
 * Returns the result code of the function or row that failed. `SKYPOSTAL_MISUSE` for NULL or a
 * foreign handle.
 */
SKYPOSTAL_API int skypostal_error_kind(const skypostal_error *error);

/**
 * Returns whether the customer was changed: `SKYPOSTAL_DELIVERY_NOT_SENT`,
 * `SKYPOSTAL_DELIVERY_REJECTED` or `SKYPOSTAL_DELIVERY_UNKNOWN`. The kind of error does not say
 * this. Of several attempts the greatest of the three counts: if the first one may have reached the
 * service, the update is unknown, even if the last one found no connection or was refused. 0 for
 * NULL or a foreign handle.
 */
SKYPOSTAL_API int skypostal_error_delivery(const skypostal_error *error);

/**
 * Returns the number of attempts that were started; 0 when nothing was tried, and for NULL or a
 * foreign handle.
 */
SKYPOSTAL_API int skypostal_error_attempts(const skypostal_error *error);

/**
 * Returns the HTTP status, for `SKYPOSTAL_STATUS`; 0 for other errors.
 */
SKYPOSTAL_API int skypostal_error_http_status(const skypostal_error *error);

/**
 * Returns 1 when the service called the error one of its own system (documented as
 * `system_error`), else 0. The service may have made the change before that error.
 */
SKYPOSTAL_API int skypostal_error_system_error(const skypostal_error *error);

/**
 * Returns the time that the service asked to wait, in milliseconds; -1 if it did not.
 */
SKYPOSTAL_API int64_t skypostal_error_retry_after_ms(const skypostal_error *error);

/**
 * Returns the message, one line of English with the chain of causes. It holds no key and no
 * personal data, except the service's own words in a refusal. Borrowed; never NULL for an error.
 */
SKYPOSTAL_API const char *skypostal_error_message(const skypostal_error *error);

/**
 * Returns the name of the field that is invalid or of the option that is unusable, such as
 * `"customer_gender"` or `"timeout"`. Of a proxy or certificates that a variable names it is the
 * variable. Borrowed; NULL for other errors.
 */
SKYPOSTAL_API const char *skypostal_error_field(const skypostal_error *error);

/**
 * Returns the service's own words for a refusal (documented as `error_description`), perhaps
 * empty; keys are redacted. Borrowed; NULL for other errors.
 */
SKYPOSTAL_API const char *skypostal_error_description(const skypostal_error *error);

/**
 * Returns the place in the service where a refusal arose, in the service's words (documented as
 * `error_location`), perhaps empty. Borrowed; NULL for other errors.
 */
SKYPOSTAL_API const char *skypostal_error_location(const skypostal_error *error);

/**
 * Returns an excerpt of the response, at most about 1 KiB, for `SKYPOSTAL_STATUS` and
 * `SKYPOSTAL_RESPONSE`; keys are redacted, personal data is not. Borrowed; NULL for other errors.
 */
SKYPOSTAL_API const char *skypostal_error_body(const skypostal_error *error);

/**
 * Returns the headers of the response that help SkyPostal or a proxy's operator to find the call:
 * `date`, `server`, `via` and the IDs that gateways give to a request, such as `x-request-id`.
 * One line each, `"name: value"`, with a line break between two; at most 16, of 256 characters
 * each; keys are redacted. Borrowed; NULL if no response came, or if it has none of them.
 */
SKYPOSTAL_API const char *skypostal_error_response_headers(const skypostal_error *error);

#ifdef __cplusplus
}
#endif

#endif /* SKYPOSTAL_H */
