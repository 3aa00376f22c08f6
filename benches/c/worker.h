/* What each of skypostal.c, libcurl.c and socket.c is, and worker.c runs: one way to make the call. */
#ifndef WORKER_H
#define WORKER_H

#include <stdint.h>

#define TIMEOUT_MS 30000

/* What a call is made from: the fields of the documented example. */
#define USER_CODE 396
#define APP_KEY "1656d700707ad9a77f737e5df3db088a"
#define BOX_ID 811111
#define CUSTOMER_KEY "YpbCNpzqxYqVWv+tzg4e4Ex6ALiT+DfKSYA3NY2dZcw="
#define FIRST_NAME "New Name"
#define LAST_NAME "New Last"
#define BIRTH_DATE "1980-08-19"
#define GENDER "M"

/* What comes of it; NULL is absent. */
struct info {
    int64_t cust_id;
    const char *customer_first_name;
    const char *customer_last_name;
    const char *customer_identity_number;
    const char *customer_tax_number; /* as it is written, so that no digit is lost */
    const char *customer_birth_date; /* YYYY-MM-DD */
    const char *customer_gender;
};

/* One for each thread. */
void *session_new(const char *base_url, const char *path);
/* Returns 0 if the service accepted the update; the texts last until session_release. */
int session_call(void *session, struct info *info);
void session_release(void *session);
void session_free(void *session);

/* Writes the day that /Date(...)/ is in the server's calendar, and returns `out`, or NULL. */
const char *day(const char *text, char out[16]);
/* Ends the program. */
void fail(const char *what);

#endif
