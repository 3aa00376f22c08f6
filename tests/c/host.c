/* What a host may do, and what it notices. The argument says which. */
#include "support.h"

#include <locale.h>

static skypostal_client *client;

/* Numbers are part of the ABI. */
static void constants(void)
{
    static const int results[] = {
        SKYPOSTAL_OK, SKYPOSTAL_INVALID_FIELD, SKYPOSTAL_CONFIGURATION, SKYPOSTAL_CONNECT,
        SKYPOSTAL_TLS, SKYPOSTAL_LOST, SKYPOSTAL_TIMEOUT, SKYPOSTAL_STATUS, SKYPOSTAL_REFUSED,
        SKYPOSTAL_RESPONSE, SKYPOSTAL_CANCELLED, SKYPOSTAL_INTERNAL, SKYPOSTAL_MISUSE};
    int result;

    for (result = 0; result < (int)COUNT(results); result++)
        CHECK_INT(results[result], result);
    CHECK_INT(SKYPOSTAL_DELIVERY_NOT_SENT, 1);
    CHECK_INT(SKYPOSTAL_DELIVERY_REJECTED, 2);
    CHECK_INT(SKYPOSTAL_DELIVERY_UNKNOWN, 3);
}

static void *live(void *nothing)
{
    client = new_client(NULL);
    CHECK_INT(send_name(client, "A"), SKYPOSTAL_OK);
    CHECK_INT(send_name(client, ""), SKYPOSTAL_INVALID_FIELD);
    send_name_in_bulk(client, "A");
    skypostal_client_free(client);
    return nothing;
}

static void small_stack(void)
{
    pthread_attr_t attributes;
    pthread_t thread;

    pthread_attr_init(&attributes);
    CHECK_INT(pthread_attr_setstacksize(&attributes, 128 * 1024), 0);
    CHECK_INT(pthread_create(&thread, &attributes, live, NULL), 0);
    CHECK_INT(pthread_join(thread, NULL), 0);
    pthread_attr_destroy(&attributes);
}

/* With TLS, certificates are read. */
static void surroundings(void)
{
    char locale[512], folder[512], now[512];
    char **environment = environ;

    setlocale(LC_ALL, "C.UTF-8");
    snprintf(locale, sizeof(locale), "%s", setlocale(LC_ALL, NULL));
    CHECK(getcwd(folder, sizeof(folder)) != NULL);
    live(NULL);
    client = new_client("https://127.0.0.1:9");
    CHECK_INT(send_name(client, "A"), SKYPOSTAL_CONNECT);
    skypostal_client_free(client);
    CHECK_TEXT(setlocale(LC_ALL, NULL), locale);
    CHECK_TEXT(getcwd(now, sizeof(now)), folder);
    CHECK(environ == environment);
}

/* A setter's fault is remembered until the same setter gets a good value. */
static void faults(void)
{
    skypostal_options *options = skypostal_options_new();
    skypostal_client *none = NULL;
    skypostal_error *error = NULL;

    CHECK_INT(skypostal_options_set_user_code(options, -1), SKYPOSTAL_INVALID_FIELD);
    CHECK_INT(skypostal_options_read_environment(options), SKYPOSTAL_OK);
    CHECK_INT(skypostal_client_new(options, &none, &error), SKYPOSTAL_INVALID_FIELD);
    CHECK_TEXT(skypostal_error_field(error), "user_code");
    skypostal_error_free(error);
    skypostal_client_free(none);
    skypostal_options_free(options);
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*run)(void);
    } rows[] = {{"constants", constants},
                {"small_stack", small_stack},
                {"surroundings", surroundings},
                {"faults", faults}};
    size_t row;

    for (row = 0; row < COUNT(rows); row++)
        if (argc == 2 && strcmp(argv[1], rows[row].name) == 0)
            rows[row].run();
    return check_result();
}
