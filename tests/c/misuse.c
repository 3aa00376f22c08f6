/* NULL, freed, misaligned and foreign handles: a status or an absent value, and never a crash. */
#include "support.h"

static int (*const option_texts[])(skypostal_options *, const char *) = {
    skypostal_options_set_app_key, skypostal_options_set_environment,
    skypostal_options_set_base_url, skypostal_options_set_proxy, skypostal_options_set_ca_file};
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
    skypostal_error_location, skypostal_error_body};

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

static void bad_update(void *bad, const skypostal_client *client)
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
    skypostal_update_free(bad);
    CHECK_INT(skypostal_client_update_personal_info(client, bad, NULL, NULL), SKYPOSTAL_MISUSE);
    CHECK_INT(skypostal_client_update_personal_info(client, bad, &info, &error), SKYPOSTAL_MISUSE);
    CHECK(info == NULL);
    CHECK_INT(skypostal_error_kind(error), SKYPOSTAL_MISUSE);
    CHECK_HOLDS(skypostal_error_message(error), "update");
    skypostal_error_free(error);
}

static void bad_client(void *bad, const skypostal_update *update)
{
    skypostal_personal_info *info = GARBAGE;
    skypostal_error *error = GARBAGE;

    CHECK_INT(skypostal_client_cancel(bad), SKYPOSTAL_MISUSE);
    skypostal_client_free(bad);
    CHECK_INT(skypostal_client_update_personal_info(bad, update, NULL, NULL), SKYPOSTAL_MISUSE);
    CHECK_INT(skypostal_client_update_personal_info(bad, update, &info, &error), SKYPOSTAL_MISUSE);
    CHECK(info == NULL);
    CHECK_INT(skypostal_error_kind(error), SKYPOSTAL_MISUSE);
    CHECK_HOLDS(skypostal_error_message(error), "client");
    skypostal_error_free(error);
}

static void bad_info(void *bad)
{
    size_t at;

    for (at = 0; at < COUNT(info_texts); at++)
        CHECK_TEXT(info_texts[at](bad), NULL);
    CHECK_INT(skypostal_personal_info_cust_id(bad), 0);
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

int main(void)
{
    skypostal_options *options = skypostal_options_new();
    skypostal_update *update = new_update();
    skypostal_client *client = new_client(NULL);
    skypostal_personal_info *info = NULL;
    skypostal_error *error = NULL;
    void *handles[7];
    size_t at;

    CHECK_INT(skypostal_client_update_personal_info(client, update, &info, NULL), SKYPOSTAL_OK);
    CHECK_INT(skypostal_client_new(options, NULL, NULL), SKYPOSTAL_MISUSE);
    CHECK_INT(skypostal_client_new(options, NULL, &error), SKYPOSTAL_MISUSE);
    CHECK_HOLDS(skypostal_error_message(error), "out is NULL");

    /* Each handle where one of another type belongs; then NULL and one that points astray. */
    handles[0] = options;
    handles[1] = update;
    handles[2] = client;
    handles[3] = info;
    handles[4] = error;
    handles[5] = NULL;
    handles[6] = (char *)options + 1;
    for (at = 0; at < COUNT(handles); at++) {
        check_about = (const char *const[]){"options", "update", "client", "info", "error", "NULL",
                                            "a pointer that is not aligned"}[at];
        if (at != 0)
            bad_options(handles[at]);
        if (at != 1)
            bad_update(handles[at], client);
        if (at != 2)
            bad_client(handles[at], update);
        if (at != 3)
            bad_info(handles[at]);
        if (at != 4)
            bad_error(handles[at]);
    }

    check_about = "the handles afterwards";
    CHECK_TEXT(skypostal_personal_info_customer_identity_number(info), "123456789");
    CHECK_HOLDS(skypostal_error_message(error), "out is NULL");
    CHECK_INT(skypostal_client_update_personal_info(client, update, NULL, NULL), SKYPOSTAL_OK);
    CHECK_INT(skypostal_options_set_base_url(options, NULL), SKYPOSTAL_OK);

    /* As far as can be told: nothing else was allocated in between. */
    check_about = "freed";
    skypostal_personal_info_free(info);
    bad_info(info);
    skypostal_error_free(error);
    bad_error(error);
    skypostal_options_free(options);
    bad_options(options);
    {
        skypostal_client *another = new_client(NULL);
        skypostal_client_free(client);
        bad_client(client, update);
        skypostal_update_free(update);
        bad_update(update, another);
        skypostal_client_free(another);
    }
    return check_result();
}
