/* Calls that a host makes when it ends, or when one of its threads does. The argument says which. */
#define _GNU_SOURCE /* for RTLD_NEXT */
#include "support.h"

#include <dlfcn.h>
#include <errno.h>

static skypostal_client *client;
static const char *mode = "";
static int no_thread;
static pthread_key_t key;
static int rounds, max_rounds;

/* What the library sees of the system: also one without a thread for it. */
int pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*work)(void *),
                   void *data)
{
    static int (*of_system)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);

    *(void **)&of_system = dlsym(RTLD_NEXT, "pthread_create");
    return no_thread ? EAGAIN : of_system(thread, attributes, work, data);
}

static void call(int expected)
{
    skypostal_update *update = new_update();
    skypostal_error *error = NULL;

    check_about = mode;
    CHECK_INT(skypostal_client_update_personal_info(client, update, NULL, &error), expected);
    if (expected != SKYPOSTAL_OK)
        CHECK_INT(skypostal_error_delivery(error), expected == SKYPOSTAL_TIMEOUT
                                                       ? SKYPOSTAL_DELIVERY_UNKNOWN
                                                       : SKYPOSTAL_DELIVERY_NOT_SENT);
    if (expected == SKYPOSTAL_CONNECT)
        CHECK_HOLDS(skypostal_error_message(error), "no thread left");
    skypostal_error_free(error);
    skypostal_update_free(update);
}

/* The last thing that the program does. */
static void end(void)
{
    no_thread = strcmp(mode, "no_thread") == 0;
    if (strcmp(mode, "silent") == 0)
        call(SKYPOSTAL_TIMEOUT);
    else
        call(no_thread ? SKYPOSTAL_CONNECT : SKYPOSTAL_OK);
    no_thread = 0;
    if (strcmp(mode, "silent") != 0)
        send_name_in_bulk(client, NULL);
    skypostal_client_free(client);
    _exit(check_result());
}

/* Runs after every function of atexit. */
__attribute__((destructor)) static void end_of_image(void)
{
    if (strcmp(mode, "destructor") == 0)
        end();
}

/* A key that is set again has its destructor called again. */
static void end_of_key(void *value)
{
    call(SKYPOSTAL_OK);
    send_name_in_bulk(client, NULL);
    if (++rounds < max_rounds)
        pthread_setspecific(key, value);
}

static void *use_key(void *value)
{
    pthread_setspecific(key, value);
    call(SKYPOSTAL_OK);
    return NULL;
}

static void *use_key_without_call(void *value)
{
    pthread_setspecific(key, value);
    return NULL;
}

static void key_destructors(void)
{
    static const struct {
        void *(*work)(void *);
        int rounds;
    } rows[] = {{use_key, 3}, {use_key_without_call, 1}};
    size_t at;

    CHECK_INT(pthread_key_create(&key, end_of_key), 0);
    for (at = 0; at < COUNT(rows); at++) {
        pthread_t thread;
        rounds = 0;
        max_rounds = rows[at].rounds;
        CHECK_INT(pthread_create(&thread, NULL, rows[at].work, &key), 0);
        CHECK_INT(pthread_join(thread, NULL), 0);
        CHECK_INT(rounds, max_rounds);
    }
    skypostal_client_free(client);
    _exit(check_result());
}

static void *call_and_exit(void *nothing)
{
    call(SKYPOSTAL_OK);
    exit(0);
    return nothing;
}

static void *keep_calling(void *nothing)
{
    for (;;) {
        skypostal_update *update = new_update();
        skypostal_client_update_personal_info(client, update, NULL, NULL);
        skypostal_update_free(update);
    }
    return nothing;
}

/* A client of a service that accepts connections and never responds. */
static skypostal_client *client_of_silence(void)
{
    char url[64];
    skypostal_options *options = skypostal_options_new();
    skypostal_client *silent = NULL;

    listen_here(url, "http");
    CHECK_INT(skypostal_options_read_environment(options), SKYPOSTAL_OK);
    CHECK_INT(skypostal_options_set_base_url(options, url), SKYPOSTAL_OK);
    CHECK_INT(skypostal_options_set_timeout_ms(options, 200), SKYPOSTAL_OK);
    CHECK_INT(skypostal_client_new(options, &silent, NULL), SKYPOSTAL_OK);
    skypostal_options_free(options);
    return silent;
}

int main(int argc, char **argv)
{
    pthread_t thread;
    int at;

    mode = argc == 2 ? argv[1] : "";
    if (strcmp(mode, "silent") == 0) {
        client = client_of_silence();
        call(SKYPOSTAL_TIMEOUT);
        atexit(end);
        return 0;
    }
    client = new_client(NULL);
    if (strcmp(mode, "key") == 0)
        key_destructors();
    if (strcmp(mode, "destructor") != 0)
        atexit(end);
    if (strcmp(mode, "on_a_thread") == 0) {
        CHECK_INT(pthread_create(&thread, NULL, call_and_exit, NULL), 0);
        pthread_join(thread, NULL);
    }
    if (strcmp(mode, "in_flight") == 0)
        for (at = 0; at < 4; at++)
            CHECK_INT(pthread_create(&thread, NULL, keep_calling, NULL), 0);
    if (strcmp(mode, "first") != 0)
        call(SKYPOSTAL_OK);
    if (strcmp(mode, "first") != 0 && strcmp(mode, "bulk_last") != 0)
        send_name_in_bulk(client, NULL);
    return 0;
}
