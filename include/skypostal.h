/*
 * skypostal: update a customer's personal information at SkyPostal.
 *
 * One call of one service, customer-update-personal-info. Fields are named as the service names
 * them, so its documentation is this library's. Not affiliated with SkyPostal.
 *
 *     skypostal_options *options = skypostal_options_new();
 *     skypostal_update *update = skypostal_update_new();
 *     skypostal_client *client = NULL;
 *     skypostal_personal_info *info = NULL;
 *     skypostal_error *error = NULL;
 *
 *     skypostal_options_read_environment(options);
 *     skypostal_update_set_customer_box_id(update, 811111);
 *     skypostal_update_set_customer_key(update, "the customer's key");
 *     skypostal_update_set_customer_first_name(update, "New Name");
 *     if (skypostal_client_new(options, &client, &error) == SKYPOSTAL_OK
 *         && skypostal_client_update_personal_info(client, update, &info, &error) == SKYPOSTAL_OK)
 *         printf("updated: %s\n", skypostal_personal_info_customer_first_name(info));
 *     else
 *         printf("%s\n", skypostal_error_message(error));
 *     skypostal_error_free(error);
 *     skypostal_personal_info_free(info);
 *     skypostal_client_free(client);
 *     skypostal_update_free(update);
 *     skypostal_options_free(options);
 *
 * Conventions, without exception:
 *
 * - Ownership: what a function gives through **out, **error or by a name that ends in _new is
 *   yours, and you free it with the _free of its type. Every const char * that a function returns
 *   is borrowed from its handle, or static, and is UTF-8 ended by NUL. _free(NULL) does nothing.
 * - Outputs: on failure *out becomes NULL, on success *error does, so that cleaning up is one
 *   unconditional path as above. error may be NULL, and so may the out of an update.
 * - Statuses: a function that can fail returns SKYPOSTAL_OK, which is 0, or a positive status.
 *   Numbers are never changed. Handles are checked: NULL, a freed handle as far as can be told,
 *   and a handle of another type give SKYPOSTAL_MISUSE, or an absent value from a getter.
 * - Setters copy their value and check it. NULL unsets a text. A bad value is reported at once and
 *   remembered until the same setter gets a good one: skypostal_client_new, or the update, names
 *   the first bad one even if every status was ignored.
 * - Absent values: 0 for cust_id and http_status, -1 for retry_after_ms, NULL for texts.
 * - Threads: a client may be used by many threads at once. Options and updates belong to one thread
 *   at a time. Answers and errors never change, and may be read from everywhere.
 * - Fork: a client made before a fork works in the parent and in the child.
 * - The library starts no thread but for the look-up of a host's name, installs no signal handler,
 *   and changes no locale and no environment. SIGPIPE is blocked on the calling thread for the
 *   length of a call; one that comes from elsewhere meanwhile is taken for the call's own.
 *
 * Written by cbindgen from src/capi.rs: change it there, and run make header.
 */
#ifndef SKYPOSTAL_H
#define SKYPOSTAL_H


#include <stdint.h>

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

/* The timeouts under the names that they have in Rust and Python. */
#define skypostal_options_set_timeout skypostal_options_set_timeout_ms
#define skypostal_options_set_connect_timeout skypostal_options_set_connect_timeout_ms

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
 * `skypostal_error_field` names it.
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
 * The connection ended before a whole answer had come.
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
 * The service said no; see `skypostal_error_description`.
 */
#define SKYPOSTAL_REFUSED 8

/**
 * A 2xx answer that is not in the documented form; see `skypostal_error_body`.
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
 * NULL, a freed handle or a handle of another type was passed where a handle is needed.
 */
#define SKYPOSTAL_MISUSE 12

/**
 * Nothing of the update reached the service: the customer is as before.
 */
#define SKYPOSTAL_DELIVERY_NOT_SENT 1

/**
 * The service answered that it did not make the change: the customer is as before.
 */
#define SKYPOSTAL_DELIVERY_REJECTED 2

/**
 * The customer may have been changed. Sending the same update again is harmless: it leaves the
 * same record.
 */
#define SKYPOSTAL_DELIVERY_UNKNOWN 3

/**
 * A client with its connections. Made once, used for every call, by any number of threads at once.
 */
typedef struct skypostal_client skypostal_client;

/**
 * Why a function failed. Never changes.
 */
typedef struct skypostal_error skypostal_error;

/**
 * How a client is set up. To be used by one thread at a time.
 */
typedef struct skypostal_options skypostal_options;

/**
 * A customer's personal information, as the service reported it after an update. Never changes.
 */
typedef struct skypostal_personal_info skypostal_personal_info;

/**
 * Which customer to change, and what. To be used by one thread at a time.
 */
typedef struct skypostal_update skypostal_update;

/**
 * The version of the library that is loaded, such as "0.1.0". Static.
 */
SKYPOSTAL_API const char *skypostal_version(void);

/**
 * The version of the library that is loaded, to be compared with `SKYPOSTAL_VERSION_NUMBER`, the
 * version of the header: major * 1000000 + minor * 1000 + patch.
 */
SKYPOSTAL_API int skypostal_version_number(void);

/**
 * What a status means, in a few words. Static, never NULL, for any number.
 */
SKYPOSTAL_API const char *skypostal_status_text(int status);

/**
 * New options with the defaults: the test environment, 30 s for a call, 10 s for a connection,
 * 2 retries. Free them with `skypostal_options_free`.
 */
SKYPOSTAL_API skypostal_options *skypostal_options_new(void);

/**
 * Frees options; a client made of them is not affected. NULL is ignored.
 */
SKYPOSTAL_API void skypostal_options_free(skypostal_options *options);

/**
 * Reads SKYPOSTAL_USER_CODE, SKYPOSTAL_APP_KEY, SKYPOSTAL_ENVIRONMENT and SKYPOSTAL_BASE_URL from
 * the environment. What a setter sets wins, before or after. Without this call they are not read.
 *
 * Returns the status of the first variable that is unusable, which is remembered.
 */
SKYPOSTAL_API int skypostal_options_read_environment(skypostal_options *options);

/**
 * The user code given by SkyPostal: positive. An update may bring its own.
 */
SKYPOSTAL_API int skypostal_options_set_user_code(skypostal_options *options, int64_t value);

/**
 * The application key given by SkyPostal: not empty. An update may bring its own. Secret.
 */
SKYPOSTAL_API int skypostal_options_set_app_key(skypostal_options *options, const char *value);

/**
 * `"test"` (the default) or `"production"`. The two have credentials of their own.
 */
SKYPOSTAL_API int skypostal_options_set_environment(skypostal_options *options, const char *value);

/**
 * Where the service is, such as `"https://host:port"`; wins over the environment. Plain
 * `http://` only to this machine, unless allowed by `skypostal_options_set_allow_http`.
 */
SKYPOSTAL_API int skypostal_options_set_base_url(skypostal_options *options, const char *value);

/**
 * How long a whole call may take, retries and waits included, in milliseconds; not 0.
 */
SKYPOSTAL_API int skypostal_options_set_timeout_ms(skypostal_options *options, uint32_t value);

/**
 * How long one connection may take, from the look-up of the name to TLS, in milliseconds; not 0.
 */
SKYPOSTAL_API
int skypostal_options_set_connect_timeout_ms(skypostal_options *options,
                                             uint32_t value);

/**
 * How often a call may be tried again; not negative. With 0 an update is sent at most once.
 */
SKYPOSTAL_API int skypostal_options_set_max_retries(skypostal_options *options, int value);

/**
 * The proxy to use, `"http://[user:password@]host:port"`; wins over the environment. NULL: none.
 */
SKYPOSTAL_API int skypostal_options_set_proxy(skypostal_options *options, const char *value);

/**
 * The path of a PEM file of certificates to trust beside the operating system's. It is read by
 * `skypostal_client_new`.
 */
SKYPOSTAL_API int skypostal_options_set_ca_file(skypostal_options *options, const char *value);

/**
 * Whether HTTPS_PROXY, NO_PROXY and their like are read (the default): 0 or 1.
 */
SKYPOSTAL_API int skypostal_options_set_trust_env(skypostal_options *options, int value);

/**
 * Whether plain `http://` may leave this machine, with the keys readable on the way: 0 (the
 * default) or 1.
 */
SKYPOSTAL_API int skypostal_options_set_allow_http(skypostal_options *options, int value);

/**
 * Makes a client. The options are copied. Reads certificates, connects to nothing.
 *
 * Gives `*out`, to be freed with `skypostal_client_free`, or NULL and `*error`, to be freed with
 * `skypostal_error_free`, which names the first option that is unusable. `error` may be NULL.
 */
SKYPOSTAL_API
int skypostal_client_new(const skypostal_options *options,
                         skypostal_client **out,
                         skypostal_error **error);

/**
 * Frees a client and closes its connections. No call may be in flight. NULL is ignored.
 */
SKYPOSTAL_API void skypostal_client_free(skypostal_client *client);

/**
 * Sends the update and waits for the answer, for as long as the timeout at most. The calling
 * thread does the work; any number of threads may call at once with one client, each with an
 * update of its own. The update may be changed and used again afterwards.
 *
 * Gives `*out`, to be freed with `skypostal_personal_info_free`, or NULL and `*error`, to be freed
 * with `skypostal_error_free`. Both `out` and `error` may be NULL.
 */
SKYPOSTAL_API
int skypostal_client_update_personal_info(const skypostal_client *client,
                                          const skypostal_update *update,
                                          skypostal_personal_info **out,
                                          skypostal_error **error);

/**
 * Ends the calls of this client that are in flight, from any thread: each returns
 * `SKYPOSTAL_CANCELLED`. A call that begins later is not affected. Not for signal handlers.
 */
SKYPOSTAL_API int skypostal_client_cancel(const skypostal_client *client);

/**
 * A new update that changes nothing yet. Free it with `skypostal_update_free`.
 *
 * What is not set, or unset with NULL, is not sent and keeps its value at the service. A setter
 * copies its value, checks it, and returns `SKYPOSTAL_OK` or `SKYPOSTAL_INVALID_FIELD`. A bad value
 * is remembered until the same setter gets a good one, and the call that sends the update names it.
 */
SKYPOSTAL_API skypostal_update *skypostal_update_new(void);

/**
 * Frees an update. NULL is ignored.
 */
SKYPOSTAL_API void skypostal_update_free(skypostal_update *update);

/**
 * The user code given by SkyPostal, in place of the client's: positive.
 */
SKYPOSTAL_API int skypostal_update_set_user_code(skypostal_update *update, int64_t value);

/**
 * The application key given by SkyPostal, in place of the client's: not empty. Secret.
 */
SKYPOSTAL_API int skypostal_update_set_app_key(skypostal_update *update, const char *value);

/**
 * The customer's box, obtained by registration or login: positive. Required.
 */
SKYPOSTAL_API int skypostal_update_set_customer_box_id(skypostal_update *update, int64_t value);

/**
 * The customer's key, obtained by registration or login: not empty. Required. Secret.
 */
SKYPOSTAL_API int skypostal_update_set_customer_key(skypostal_update *update, const char *value);

/**
 * The new first name: UTF-8, at most 8192 UTF-16 units, no control characters, not blank.
 */
SKYPOSTAL_API
int skypostal_update_set_customer_first_name(skypostal_update *update,
                                             const char *value);

/**
 * The new last name: as the first name.
 */
SKYPOSTAL_API
int skypostal_update_set_customer_last_name(skypostal_update *update,
                                            const char *value);

/**
 * The new identity number: as the first name.
 */
SKYPOSTAL_API
int skypostal_update_set_customer_identity_number(skypostal_update *update,
                                                  const char *value);

/**
 * The new tax number: digits with an optional fraction, `"1234.50"`, at most 28 digits, no sign, no
 * exponent. Every digit is sent; leading zeros are dropped.
 */
SKYPOSTAL_API
int skypostal_update_set_customer_tax_number(skypostal_update *update,
                                             const char *value);

/**
 * The new birth date: `"YYYY-MM-DD"`, from 1753-01-01 to today.
 */
SKYPOSTAL_API
int skypostal_update_set_customer_birth_date(skypostal_update *update,
                                             const char *value);

/**
 * The new gender: `"M"` or `"F"`.
 */
SKYPOSTAL_API int skypostal_update_set_customer_gender(skypostal_update *update, const char *value);

/**
 * Frees an answer, and the texts that were borrowed from it. NULL is ignored.
 */
SKYPOSTAL_API void skypostal_personal_info_free(skypostal_personal_info *info);

/**
 * The service's own number of the customer; 0 if the service did not tell.
 */
SKYPOSTAL_API int64_t skypostal_personal_info_cust_id(const skypostal_personal_info *info);

/**
 * The first name. Borrowed; NULL if the service did not tell.
 */
SKYPOSTAL_API
const char *skypostal_personal_info_customer_first_name(const skypostal_personal_info *info);

/**
 * The last name. Borrowed; NULL if the service did not tell.
 */
SKYPOSTAL_API
const char *skypostal_personal_info_customer_last_name(const skypostal_personal_info *info);

/**
 * The identity number. Borrowed; NULL if the service did not tell.
 */
SKYPOSTAL_API
const char *skypostal_personal_info_customer_identity_number(const skypostal_personal_info *info);

/**
 * The tax number in decimal, with every digit the service sent. Borrowed; NULL if it sent none.
 */
SKYPOSTAL_API
const char *skypostal_personal_info_customer_tax_number(const skypostal_personal_info *info);

/**
 * The birth date, "YYYY-MM-DD". Borrowed; NULL if the service has none.
 */
SKYPOSTAL_API
const char *skypostal_personal_info_customer_birth_date(const skypostal_personal_info *info);

/**
 * The gender, "M" or "F" as documented. Borrowed; NULL if the service did not tell.
 */
SKYPOSTAL_API
const char *skypostal_personal_info_customer_gender(const skypostal_personal_info *info);

/**
 * The whole JSON object that the service sent. Borrowed.
 */
SKYPOSTAL_API const char *skypostal_personal_info_raw(const skypostal_personal_info *info);

/**
 * Frees an error, and the texts that were borrowed from it. NULL is ignored.
 */
SKYPOSTAL_API void skypostal_error_free(skypostal_error *error);

/**
 * What went wrong: the status that the failed function returned.
 */
SKYPOSTAL_API int skypostal_error_kind(const skypostal_error *error);

/**
 * Was the customer changed? `SKYPOSTAL_DELIVERY_NOT_SENT`, `_REJECTED` or `_UNKNOWN`.
 */
SKYPOSTAL_API int skypostal_error_delivery(const skypostal_error *error);

/**
 * How many attempts were begun; 0 when nothing was tried.
 */
SKYPOSTAL_API int skypostal_error_attempts(const skypostal_error *error);

/**
 * The HTTP status of `SKYPOSTAL_STATUS`; 0 for other errors.
 */
SKYPOSTAL_API int skypostal_error_http_status(const skypostal_error *error);

/**
 * 1 when the service called its refusal a system error, else 0.
 */
SKYPOSTAL_API int skypostal_error_system_error(const skypostal_error *error);

/**
 * How long the service asked to wait, in milliseconds; -1 if it did not.
 */
SKYPOSTAL_API int64_t skypostal_error_retry_after_ms(const skypostal_error *error);

/**
 * What went wrong, on one line with the chain of causes. Holds no key and no personal data.
 * Borrowed, never NULL for an error.
 */
SKYPOSTAL_API const char *skypostal_error_message(const skypostal_error *error);

/**
 * The field that is invalid or the option that is unusable, under its own name. Borrowed; NULL for
 * other errors.
 */
SKYPOSTAL_API const char *skypostal_error_field(const skypostal_error *error);

/**
 * The service's own words for a refusal; keys are blotted out. Borrowed; NULL for other errors.
 */
SKYPOSTAL_API const char *skypostal_error_description(const skypostal_error *error);

/**
 * Where in the service, in its own words, for a refusal. Borrowed; NULL for other errors.
 */
SKYPOSTAL_API const char *skypostal_error_location(const skypostal_error *error);

/**
 * An excerpt of the answer, for `SKYPOSTAL_STATUS` and `SKYPOSTAL_RESPONSE`; keys are blotted out,
 * personal data is not. Borrowed; NULL for other errors.
 */
SKYPOSTAL_API const char *skypostal_error_body(const skypostal_error *error);

#ifdef __cplusplus
}
#endif

#endif /* SKYPOSTAL_H */
