/* Ours: one client for all threads. */
#include <skypostal.h>

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "worker.h"

static skypostal_client *client;
static pthread_mutex_t making = PTHREAD_MUTEX_INITIALIZER;

/* The response of a thread. */
struct session {
    skypostal_personal_info *info;
};

void *session_new(const char *base_url, const char *path)
{
    (void)path;
    pthread_mutex_lock(&making);
    if (client == NULL) {
        skypostal_options *options = skypostal_options_new();
        skypostal_error *error = NULL;

        skypostal_options_set_user_code(options, USER_CODE);
        skypostal_options_set_app_key(options, APP_KEY);
        skypostal_options_set_base_url(options, base_url);
        skypostal_options_set_timeout_ms(options, TIMEOUT_MS);
        if (skypostal_client_new(options, &client, &error) != SKYPOSTAL_OK)
            fail(skypostal_error_message(error));
        skypostal_options_free(options);
    }
    pthread_mutex_unlock(&making);
    return calloc(1, sizeof(struct session));
}

int session_call(void *argument, struct info *info)
{
    struct session *session = argument;
    skypostal_update *update = skypostal_update_new();
    skypostal_error *error = NULL;
    int result;

    skypostal_update_set_customer_box_id(update, BOX_ID);
    skypostal_update_set_customer_key(update, CUSTOMER_KEY);
    skypostal_update_set_customer_first_name(update, FIRST_NAME);
    skypostal_update_set_customer_last_name(update, LAST_NAME);
    skypostal_update_set_customer_birth_date(update, BIRTH_DATE);
    skypostal_update_set_customer_gender(update, GENDER);
    result = skypostal_client_update_personal_info(client, update, &session->info, &error);
    if (result == SKYPOSTAL_OK) {
        info->cust_id = skypostal_personal_info_cust_id(session->info);
        info->customer_first_name = skypostal_personal_info_customer_first_name(session->info);
        info->customer_last_name = skypostal_personal_info_customer_last_name(session->info);
        info->customer_identity_number =
            skypostal_personal_info_customer_identity_number(session->info);
        info->customer_tax_number = skypostal_personal_info_customer_tax_number(session->info);
        info->customer_birth_date = skypostal_personal_info_customer_birth_date(session->info);
        info->customer_gender = skypostal_personal_info_customer_gender(session->info);
    } else
        fprintf(stderr, "%s\n", skypostal_error_message(error));
    skypostal_error_free(error);
    skypostal_update_free(update);
    return result;
}

void session_release(void *argument)
{
    struct session *session = argument;

    skypostal_personal_info_free(session->info);
}

void session_free(void *session) { free(session); }
