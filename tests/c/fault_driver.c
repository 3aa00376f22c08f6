/*
 * fault_driver BASE_URL TIMEOUT_MS CONNECT_TIMEOUT_MS MAX_RETRIES
 *
 * A program of tests/python/test_faults.py. Makes an update and prints kind, delivery, attempts,
 * HTTP status, Retry-After and time in ms on one line, then the texts, then "go on?". After a line
 * of input it makes the update again with the same client, and prints how that ended.
 */
#define _POSIX_C_SOURCE 199309L
#include <skypostal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static const char *const KINDS[] = {
    "ok", "invalid_field", "configuration", "connect", "tls", "lost", "timeout", "status",
    "refused", "response", "cancelled", "internal", "misuse"
};
static const char *const DELIVERIES[] = {"-", "not_sent", "rejected", "unknown"};

static double milliseconds(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

static void print(const char *text)
{
    if (text != NULL)
        puts(text);
}

int main(int argc, char **argv)
{
    skypostal_options *options = skypostal_options_new();
    skypostal_update *update = skypostal_update_new();
    skypostal_client *client = NULL;
    skypostal_personal_info *info = NULL;
    skypostal_error *error = NULL;
    const char *box_id = getenv("SKYPOSTAL_CUSTOMER_BOX_ID");
    double started, took;
    int result;

    if (argc != 5)
        return 2;
    skypostal_options_read_environment(options);
    skypostal_options_set_base_url(options, argv[1]);
    skypostal_options_set_timeout_ms(options, (uint32_t)atol(argv[2]));
    skypostal_options_set_connect_timeout_ms(options, (uint32_t)atol(argv[3]));
    skypostal_options_set_max_retries(options, atoi(argv[4]));
    skypostal_update_set_customer_box_id(update, box_id == NULL ? 0 : atol(box_id));
    skypostal_update_set_customer_key(update, getenv("SKYPOSTAL_CUSTOMER_KEY"));
    skypostal_update_set_customer_first_name(update, "New Name");
    if (skypostal_client_new(options, &client, &error) != SKYPOSTAL_OK) {
        fprintf(stderr, "%s\n", skypostal_error_message(error));
        return 1;
    }

    started = milliseconds();
    result = skypostal_client_update_personal_info(client, update, &info, &error);
    took = milliseconds() - started;
    printf("%s %s %d %d %.0f %.0f\n", KINDS[result], DELIVERIES[skypostal_error_delivery(error)],
           skypostal_error_attempts(error), skypostal_error_http_status(error),
           (double)skypostal_error_retry_after_ms(error), took);
    if (result == SKYPOSTAL_OK)
        printf("cust_id %ld\n", (long)skypostal_personal_info_cust_id(info));
    print(skypostal_error_message(error));
    print(skypostal_error_body(error));
    print(skypostal_error_description(error));
    print(skypostal_error_location(error));
    puts("go on?");
    fflush(stdout);
    skypostal_error_free(error);
    skypostal_personal_info_free(info);

    getchar();
    result = skypostal_client_update_personal_info(client, update, &info, &error);
    printf("again %s %ld\n", KINDS[result], (long)skypostal_personal_info_cust_id(info));
    skypostal_error_free(error);
    skypostal_personal_info_free(info);
    skypostal_client_free(client);
    skypostal_update_free(update);
    skypostal_options_free(options);
    return 0;
}
