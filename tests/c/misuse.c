/* NULL, freed, misaligned and foreign handles: a result code or an absent value, and never a crash.
 * The argument says whether the handles are "live", or "stale", where only a debug build of the
 * library can tell without a look at memory that was freed. */
#include "support.h"

static int (*const option_texts[])(skypostal_options *, const char *) = {
    skypostal_options_set_app_key, skypostal_options_set_environment,
    skypostal_options_set_base_url, skypostal_options_set_proxy, skypostal_options_set_ca_file,
    skypostal_options_set_user_agent};
static int (*const option_ints[])(skypostal_options *, int) = {
    skypostal_options_set_max_retries, skypostal_options_set_trust_env,
    skypostal_options_set_allow_http};
static int (*const option_times[])(skypostal_options *, uint32_t) = {
    skypostal_options_set_timeout_ms, skypostal_options_set_connect_timeout_ms};
static int (*const update_integers[])(skypostal_update *, int64_t) = {
    skypostal_update_set_user_code, skypostal_update_set_customer_box_id};
static int (*const update_texts[])(skypostal_update *, const char *) = {
    skypostal_update_set_app_key, skypostal_update_set_customer_key,
    skypostal_update_set_customer_first_name, skypostal_update_set_customer_last_name,
    skypostal_update_set_customer_identity_number, skypostal_update_set_customer_tax_number,
    skypostal_update_set_customer_birth_date, skypostal_update_set_customer_gender};
static const char *(*const info_texts[])(const skypostal_personal_info *) = {
    skypostal_personal_info_customer_first_name, skypostal_personal_info_customer_last_name,
    skypostal_personal_info_customer_identity_number, skypostal_personal_info_customer_tax_number,
    skypostal_personal_info_customer_birth_date, skypostal_personal_info_customer_gender,
    skypostal_personal_info_raw};
static const char *(*const error_texts[])(const skypostal_error *) = {
    skypostal_error_message, skypostal_error_field, skypostal_error_description,
    skypostal_error_location, skypostal_error_body, skypostal_error_response_headers};

/* What functions give through their outputs must be overwritten. */
#define GARBAGE ((void *)&check_count)

static void bad_options(void *bad)
{
    skypostal_client *client = GARBAGE;
    skypostal_error *error = GARBAGE;
    size_t at;

    for (at = 0; at < COUNT(option_texts); at++) {
        CHECK_INT(option_texts[at](bad, "x"), SKYPOSTAL_MISUSE);
        CHECK_INT(option_texts[at](bad, NULL), SKYPOSTAL_MISUSE);
    }
    for (at = 0; at < COUNT(option_ints); at++)
        CHECK_INT(option_ints[at](bad, 1), SKYPOSTAL_MISUSE);
    for (at = 0; at < COUNT(option_times); at++)
        CHECK_INT(option_times[at](bad, 1), SKYPOSTAL_MISUSE);
    CHECK_INT(skypostal_options_set_user_code(bad, 1), SKYPOSTAL_MISUSE);
    CHECK_INT(skypostal_options_read_environment(bad), SKYPOSTAL_MISUSE);
    CHECK_INT(skypostal_options_set_log(bad, NULL, NULL), SKYPOSTAL_MISUSE);
    skypostal_options_free(bad);
    CHECK_INT(skypostal_client_new(bad, NULL, NULL), SKYPOSTAL_MISUSE);
    CHECK_INT(skypostal_client_new(bad, &client, NULL), SKYPOSTAL_MISUSE);
    CHECK(client == NULL);
    client = GARBAGE;
    CHECK_INT(skypostal_client_new(bad, &client, &error), SKYPOSTAL_MISUSE);
    CHECK(client == NULL);
    CHECK_INT(skypostal_error_kind(error), SKYPOSTAL_MISUSE);
    CHECK_INT(skypostal_error_delivery(error), SKYPOSTAL_DELIVERY_NOT_SENT);
    CHECK_INT(skypostal_error_attempts(error), 0);
    CHECK_HOLDS(skypostal_error_message(error), "options");
    skypostal_error_free(error);
}

static void bad_update(void *bad, const skypostal_client *client, skypostal_bulk *bulk)
{
    skypostal_personal_info *info = GARBAGE;
    skypostal_error *error = GARBAGE;
    size_t at;

    for (at = 0; at < COUNT(update_texts); at++) {
        CHECK_INT(update_texts[at](bad, "x"), SKYPOSTAL_MISUSE);
        CHECK_INT(update_texts[at](bad, NULL), SKYPOSTAL_MISUSE);
    }
    for (at = 0; at < COUNT(update_integers); at++)
        CHECK_INT(update_integers[at](bad, 1), SKYPOSTAL_MISUSE);
    CHECK_INT(skypostal_update_set_timeout_ms(bad, 1), SKYPOSTAL_MISUSE);
    CHECK_INT(skypostal_update_unset(bad, "user_code"), SKYPOSTAL_MISUSE);
    CHECK_INT(skypostal_update_unset(bad, NULL), SKYPOSTAL_MISUSE);
    skypostal_update_clear(bad);
    skypostal_update_free(bad);
    CHECK_INT(skypostal_client_update_personal_info(client, bad, NULL, NULL), SKYPOSTAL_MISUSE);
    CHECK_INT(skypostal_client_update_personal_info(client, bad, &info, &error), SKYPOSTAL_MISUSE);
    CHECK(info == NULL);
    CHECK_INT(skypostal_error_kind(error), SKYPOSTAL_MISUSE);
    CHECK_HOLDS(skypostal_error_message(error), "update");
    skypostal_error_free(error);
    CHECK_INT(skypostal_client_check(client, bad, NULL), SKYPOSTAL_MISUSE);
    CHECK_INT(skypostal_bulk_submit(bulk, bad), SKYPOSTAL_MISUSE);
}

static void bad_client(void *bad, const skypostal_update *update)
{
    skypostal_bulk *bulk = GARBAGE;
    skypostal_personal_info *info = GARBAGE;
    skypostal_error *error = GARBAGE;

    CHECK_INT(skypostal_client_cancel(bad), SKYPOSTAL_MISUSE);
    CHECK_INT(skypostal_client_check(bad, update, NULL), SKYPOSTAL_MISUSE);
    skypostal_client_free(bad);
    CHECK_INT(skypostal_client_update_personal_info(bad, update, NULL, NULL), SKYPOSTAL_MISUSE);
    CHECK_INT(skypostal_client_update_personal_info(bad, update, &info, &error), SKYPOSTAL_MISUSE);
    CHECK(info == NULL);
    CHECK_INT(skypostal_error_kind(error), SKYPOSTAL_MISUSE);
    CHECK_HOLDS(skypostal_error_message(error), "client");
    skypostal_error_free(error);
    CHECK_INT(skypostal_bulk_new(bad, 1, 0, NULL, NULL), SKYPOSTAL_MISUSE);
    CHECK_INT(skypostal_bulk_new(bad, 1, 0, &bulk, &error), SKYPOSTAL_MISUSE);
    CHECK(bulk == NULL);
    CHECK_HOLDS(skypostal_error_message(error), "client");
    skypostal_error_free(error);
}

static void bad_bulk(void *bad, const skypostal_update *update)
{
    skypostal_outcome *outcome = GARBAGE;
    skypostal_error *error = GARBAGE;

    CHECK_INT(skypostal_bulk_capacity(bad), 0);
    CHECK_INT(skypostal_bulk_submit(bad, update), SKYPOSTAL_MISUSE);
    CHECK_INT(skypostal_bulk_next(bad, NULL, NULL), SKYPOSTAL_MISUSE);
    CHECK_INT(skypostal_bulk_next(bad, &outcome, NULL), SKYPOSTAL_MISUSE);
    CHECK(outcome == NULL);
    outcome = GARBAGE;
    CHECK_INT(skypostal_bulk_next(bad, &outcome, &error), SKYPOSTAL_MISUSE);
    CHECK(outcome == NULL);
    CHECK_INT(skypostal_error_kind(error), SKYPOSTAL_MISUSE);
    CHECK_HOLDS(skypostal_error_message(error), "bulk");
    skypostal_error_free(error);
    skypostal_bulk_free(bad);
}

static void bad_info(void *bad)
{
    size_t at;

    for (at = 0; at < COUNT(info_texts); at++)
        CHECK_TEXT(info_texts[at](bad), NULL);
    CHECK_INT(skypostal_personal_info_cust_id(bad), 0);
    CHECK_INT(skypostal_personal_info_attempts(bad), 0);
    skypostal_personal_info_free(bad);
}

static void bad_error(void *bad)
{
    size_t at;

    for (at = 0; at < COUNT(error_texts); at++)
        CHECK_TEXT(error_texts[at](bad), NULL);
    CHECK_INT(skypostal_error_kind(bad), SKYPOSTAL_MISUSE);
    CHECK_INT(skypostal_error_delivery(bad), 0);
    CHECK_INT(skypostal_error_attempts(bad), 0);
    CHECK_INT(skypostal_error_http_status(bad), 0);
    CHECK_INT(skypostal_error_system_error(bad), 0);
    CHECK_INT(skypostal_error_retry_after_ms(bad), -1);
    skypostal_error_free(bad);
}

static void bad_outcome(void *bad)
{
    CHECK_INT(skypostal_outcome_index(bad), -1);
    CHECK_INT(skypostal_outcome_result(bad), SKYPOSTAL_MISUSE);
    CHECK_INT(skypostal_outcome_attempts(bad), 0);
    CHECK(skypostal_outcome_info(bad) == NULL);
    CHECK(skypostal_outcome_error(bad) == NULL);
    skypostal_outcome_free(bad);
}

struct handles {
    skypostal_options *options;
    skypostal_update *update;
    skypostal_client *client;
    skypostal_personal_info *info;
    skypostal_error *error;
    skypostal_bulk *bulk;
    skypostal_outcome *good, *failed;
};

static void new_handles(struct handles *handles)
{
    handles->options = skypostal_options_new();
    handles->update = new_update();
    handles->client = new_client(NULL);
    CHECK_INT(skypostal_client_update_personal_info(handles->client, handles->update,
                                                    &handles->info, NULL),
              SKYPOSTAL_OK);
    CHECK_INT(skypostal_client_new(handles->options, NULL, &handles->error), SKYPOSTAL_MISUSE);
    CHECK_TEXT(skypostal_error_message(handles->error), "out is NULL");
    CHECK_INT(skypostal_bulk_new(handles->client, 1, 0, &handles->bulk, NULL), SKYPOSTAL_OK);
    CHECK_INT(skypostal_bulk_submit(handles->bulk, handles->update), SKYPOSTAL_OK);
    CHECK_INT(skypostal_bulk_next(handles->bulk, &handles->good, NULL), SKYPOSTAL_OK);
    skypostal_update_set_customer_gender(handles->update, "X");
    CHECK_INT(skypostal_bulk_submit(handles->bulk, handles->update), SKYPOSTAL_OK);
    CHECK_INT(skypostal_bulk_next(handles->bulk, &handles->failed, NULL), SKYPOSTAL_OK);
    skypostal_update_set_customer_gender(handles->update, NULL);
}

static void free_handles(struct handles *handles)
{
    skypostal_outcome_free(handles->good);
    skypostal_outcome_free(handles->failed);
    skypostal_bulk_free(handles->bulk);
    skypostal_error_free(handles->error);
    skypostal_personal_info_free(handles->info);
    skypostal_client_free(handles->client);
    skypostal_update_free(handles->update);
    skypostal_options_free(handles->options);
}

/* Each handle where one of another type belongs; then NULL and pointers to what is no handle. */
static void foreign(void)
{
    static const char *const names[] = {
        "options", "update", "client", "info", "error", "bulk", "outcome", "borrowed info",
        "borrowed error", "NULL", "a pointer that is not aligned", "the program's own"};
    static int64_t own[8];
    struct handles handles;
    void *all[COUNT(names)];
    size_t at;

    new_handles(&handles);
    all[0] = handles.options;
    all[1] = handles.update;
    all[2] = handles.client;
    all[3] = handles.info;
    all[4] = handles.error;
    all[5] = handles.bulk;
    all[6] = handles.good;
    all[7] = (void *)skypostal_outcome_info(handles.good);
    all[8] = (void *)skypostal_outcome_error(handles.failed);
    all[9] = NULL;
    all[10] = (char *)handles.options + 1;
    all[11] = own;
    for (at = 0; at < COUNT(all); at++) {
        check_about = names[at];
        if (at != 0)
            bad_options(all[at]);
        if (at != 1)
            bad_update(all[at], handles.client, handles.bulk);
        if (at != 2)
            bad_client(all[at], handles.update);
        if (at != 3 && at != 7)
            bad_info(all[at]);
        if (at != 4 && at != 8)
            bad_error(all[at]);
        if (at != 5)
            bad_bulk(all[at], handles.update);
        if (at != 6)
            bad_outcome(all[at]);
    }

    check_about = "the handles afterwards";
    CHECK_TEXT(skypostal_personal_info_customer_identity_number(handles.info), "123456789");
    CHECK_TEXT(skypostal_error_message(handles.error), "out is NULL");
    CHECK_INT(skypostal_client_update_personal_info(handles.client, handles.update, NULL, NULL),
              SKYPOSTAL_OK);
    CHECK_INT(skypostal_options_set_base_url(handles.options, NULL), SKYPOSTAL_OK);
    CHECK_INT(skypostal_bulk_capacity(handles.bulk), 2);
    CHECK_INT(skypostal_outcome_index(handles.good), 0);
    free_handles(&handles);
}

/* A borrowed handle is read like any other, until its outcome is freed and not before: its own
 * _free does nothing, however often it is called. */
static void borrowed(void)
{
    struct handles handles;
    skypostal_personal_info *info;
    skypostal_error *error;
    int twice;

    check_about = "borrowed";
    new_handles(&handles);
    CHECK(skypostal_outcome_error(handles.good) == NULL);
    CHECK(skypostal_outcome_info(handles.failed) == NULL);
    info = (void *)skypostal_outcome_info(handles.good);
    error = (void *)skypostal_outcome_error(handles.failed);
    for (twice = 0; twice < 2; twice++) {
        CHECK(info == skypostal_outcome_info(handles.good));
        CHECK_TEXT(skypostal_personal_info_customer_identity_number(info), "123456789");
        skypostal_personal_info_free(info);
        CHECK(error == skypostal_outcome_error(handles.failed));
        CHECK_TEXT(skypostal_error_field(error), "customer_gender");
        skypostal_error_free(error);
    }
    free_handles(&handles);
}

/* Handles may be freed in any order: none needs another. */
static void order(void)
{
    struct handles handles;

    check_about = "order";
    new_handles(&handles);
    skypostal_options_free(handles.options);
    CHECK_INT(skypostal_client_update_personal_info(handles.client, handles.update, NULL, NULL),
              SKYPOSTAL_OK);
    CHECK_INT(skypostal_client_cancel(handles.client), SKYPOSTAL_OK);
    skypostal_client_free(handles.client);
    CHECK_INT(skypostal_bulk_submit(handles.bulk, handles.update), SKYPOSTAL_OK);
    skypostal_update_free(handles.update);
    skypostal_bulk_free(handles.bulk);
    CHECK_TEXT(skypostal_personal_info_customer_identity_number(handles.info), "123456789");
    skypostal_personal_info_free(handles.info);
    CHECK_TEXT(skypostal_error_message(handles.error), "out is NULL");
    skypostal_error_free(handles.error);
    CHECK_INT(skypostal_outcome_attempts(handles.good), 1);
    CHECK_INT(skypostal_outcome_result(handles.failed), SKYPOSTAL_INVALID_FIELD);
    skypostal_outcome_free(handles.good);
    skypostal_outcome_free(handles.failed);
}

/* On failure *out becomes NULL, on success *error does, whatever they were; either may be NULL but
 * for the out of a client or a bulk. */
static void outputs(void)
{
    static const struct {
        const char *about, *base_url, *gender;
        int made, sent;
    } rows[] = {
        {"success", NULL, "M", SKYPOSTAL_OK, SKYPOSTAL_OK},
        {"a bad field", NULL, "X", SKYPOSTAL_OK, SKYPOSTAL_INVALID_FIELD},
        {"no server", "http://127.0.0.1:9", "M", SKYPOSTAL_OK, SKYPOSTAL_CONNECT},
        {"a client that was not made", "nonsense", "M", SKYPOSTAL_CONFIGURATION, SKYPOSTAL_MISUSE},
    };
    size_t row;
    int with_out, with_error;

    for (row = 0; row < COUNT(rows); row++) {
        skypostal_options *options = skypostal_options_new();
        skypostal_update *update = new_update();
        check_about = rows[row].about;
        /* Every result code of a setter is ignored: what is wrong is told all the same. */
        skypostal_options_read_environment(options);
        skypostal_options_set_max_retries(options, 0);
        if (rows[row].base_url)
            skypostal_options_set_base_url(options, rows[row].base_url);
        skypostal_update_set_customer_gender(update, rows[row].gender);
        for (with_error = 0; with_error < 2; with_error++) {
            for (with_out = 0; with_out < 2; with_out++) {
                skypostal_client *client = GARBAGE;
                skypostal_personal_info *info = GARBAGE;
                skypostal_error *error = GARBAGE;

                CHECK_INT(skypostal_client_new(options, &client, with_error ? &error : NULL),
                          rows[row].made);
                CHECK_INT(client != NULL, rows[row].made == SKYPOSTAL_OK);
                CHECK(!with_error || (error == NULL) == (rows[row].made == SKYPOSTAL_OK));
                if (with_error)
                    skypostal_error_free(error);
                error = GARBAGE;

                CHECK_INT(skypostal_client_update_personal_info(client, update,
                                                                with_out ? &info : NULL,
                                                                with_error ? &error : NULL),
                          rows[row].sent);
                CHECK(!with_out || (info != NULL) == (rows[row].sent == SKYPOSTAL_OK));
                CHECK(!with_error || (error == NULL) == (rows[row].sent == SKYPOSTAL_OK));
                if (with_error) {
                    CHECK_INT(skypostal_error_kind(error),
                              error ? rows[row].sent : SKYPOSTAL_MISUSE);
                    skypostal_error_free(error);
                }
                if (with_out)
                    skypostal_personal_info_free(info);
                skypostal_client_free(client);
            }
        }
        skypostal_options_free(options);
        skypostal_update_free(update);
    }
}

/* Every function after its handle was freed, as far as can be told: nothing else was allocated in
 * between. Among them is the second free. */
static void freed(void)
{
    struct handles handles;
    skypostal_client *another = new_client(NULL);
    skypostal_bulk *bulk = NULL;
    skypostal_personal_info *info;
    skypostal_error *error;

    check_about = "freed";
    new_handles(&handles);
    info = (void *)skypostal_outcome_info(handles.good);
    error = (void *)skypostal_outcome_error(handles.failed);
    skypostal_outcome_free(handles.good);
    bad_info(info);
    bad_outcome(handles.good);
    skypostal_outcome_free(handles.failed);
    bad_error(error);
    bad_outcome(handles.failed);
    CHECK_INT(skypostal_bulk_new(another, 1, 0, &bulk, NULL), SKYPOSTAL_OK);
    skypostal_bulk_free(handles.bulk);
    bad_bulk(handles.bulk, handles.update);
    skypostal_personal_info_free(handles.info);
    bad_info(handles.info);
    skypostal_error_free(handles.error);
    bad_error(handles.error);
    skypostal_options_free(handles.options);
    bad_options(handles.options);
    skypostal_client_free(handles.client);
    bad_client(handles.client, handles.update);
    skypostal_update_free(handles.update);
    bad_update(handles.update, another, bulk);
    skypostal_bulk_free(bulk);
    skypostal_client_free(another);
}

static void *live(void *nothing)
{
    foreign();
    borrowed();
    order();
    outputs();
    return nothing;
}

static void *stale(void *nothing)
{
    freed();
    return nothing;
}

int main(int argc, char **argv)
{
    return run_on_a_thread(argc == 2 && strcmp(argv[1], "stale") == 0 ? stale : live);
}
