/*
 * The library loaded while the program runs: load unused|called|looked_up|bulk LIBRARY...
 *
 * Each library named is opened and closed again, many times, by several threads at once.
 */
#include <skypostal.h>

#include <pthread.h>

#include "check.h"
#include "posix.h"

#define THREADS 4
#define TIMES 25
#define GET(name) ((__typeof__(&name))dlsym(library, #name))

static char **libraries;
static const char *use;
static int failures[THREADS];

static skypostal_update *new_update(void *library)
{
    skypostal_update *update = GET(skypostal_update_new)();
    GET(skypostal_update_set_customer_box_id)(update, atol(getenv("SKYPOSTAL_CUSTOMER_BOX_ID")));
    GET(skypostal_update_set_customer_key)(update, getenv("SKYPOSTAL_CUSTOMER_KEY"));
    return update;
}

static skypostal_client *new_client(void *library, const char *base_url)
{
    skypostal_options *options = GET(skypostal_options_new)();
    skypostal_client *client = NULL;

    GET(skypostal_options_read_environment)(options);
    GET(skypostal_options_set_base_url)(options, base_url);
    GET(skypostal_options_set_max_retries)(options, 0);
    GET(skypostal_client_new)(options, &client, NULL);
    GET(skypostal_options_free)(options);
    return client;
}

/* One update, with what `library` exports alone. */
static int update(void *library, const char *base_url)
{
    skypostal_client *client = new_client(library, base_url);
    skypostal_update *update = new_update(library);
    int result = GET(skypostal_client_update_personal_info)(client, update, NULL, NULL);

    GET(skypostal_update_free)(update);
    GET(skypostal_client_free)(client);
    return result;
}

/* The same as a bulk of one row, on the library's background thread. */
static int update_in_a_bulk(void *library)
{
    skypostal_client *client = new_client(library, NULL);
    skypostal_update *update = new_update(library);
    skypostal_bulk *bulk = NULL;
    skypostal_outcome *outcome = NULL;
    int result = GET(skypostal_bulk_new)(client, 1, 0, &bulk, NULL);

    if (result == SKYPOSTAL_OK)
        result = GET(skypostal_bulk_submit)(bulk, update);
    if (result == SKYPOSTAL_OK)
        result = GET(skypostal_bulk_next)(bulk, &outcome, NULL);
    if (result == SKYPOSTAL_OK)
        result = GET(skypostal_outcome_result)(outcome);
    GET(skypostal_outcome_free)(outcome);
    GET(skypostal_bulk_free)(bulk);
    GET(skypostal_update_free)(update);
    GET(skypostal_client_free)(client);
    return result;
}

static void *open_and_close(void *data)
{
    int *failed = data, time;
    char **path;

    for (time = 0; time < TIMES; time++)
        for (path = libraries; *path; path++) {
            void *library = dlopen(*path, RTLD_NOW | (time % 2 ? RTLD_GLOBAL : RTLD_LOCAL));
            if (library == NULL) {
                fprintf(stderr, "%s\n", dlerror());
                ++*failed;
                continue;
            }
            if (strcmp(use, "unused") != 0)
                *failed += update(library, NULL) != SKYPOSTAL_OK;
            /* Looked up on a thread of the library's own. Nothing listens there. */
            if (strcmp(use, "looked_up") == 0)
                *failed += update(library, "http://localhost:1") != SKYPOSTAL_CONNECT;
            if (strcmp(use, "bulk") == 0)
                *failed += update_in_a_bulk(library) != SKYPOSTAL_OK;
            *failed += dlclose(library) != 0;
        }
    return NULL;
}

int main(int argc, char **argv)
{
    pthread_t threads[THREADS];
    int at, stays;

    if (argc < 3)
        return 2;
    use = argv[1];
    libraries = argv + 2;
    for (at = 0; at < THREADS; at++)
        CHECK_INT(pthread_create(&threads[at], NULL, open_and_close, &failures[at]), 0);
    for (at = 0; at < THREADS; at++) {
        CHECK_INT(pthread_join(threads[at], NULL), 0);
        CHECK_INT(failures[at], 0);
    }
    /* It stays, for threads that still run its code; on Windows, once there may be any. */
#ifdef _WIN32
    stays = strcmp(use, "looked_up") == 0 || strcmp(use, "bulk") == 0;
#else
    stays = 1;
#endif
    for (; *libraries; libraries++)
        CHECK_INT(dlopen(*libraries, RTLD_NOW | RTLD_NOLOAD) != NULL, stays);
    return check_result();
}
