/*
 * The library loaded while the program runs: load unused|used LIBRARY...
 *
 * Each library named is opened and closed again, many times, by several threads at once.
 */
#include <skypostal.h>

#include <dlfcn.h>
#include <pthread.h>
#include <stdlib.h>

#include "check.h"

#define THREADS 4
#define TIMES 25
#define GET(name) ((__typeof__(&name))dlsym(library, #name))

static char **libraries;
static int used;
static int failures[THREADS];

/* One update, with what `library` exports alone. */
static int update(void *library, const char *base_url)
{
    skypostal_options *options = GET(skypostal_options_new)();
    skypostal_update *update = GET(skypostal_update_new)();
    skypostal_client *client = NULL;
    int result;

    GET(skypostal_options_read_environment)(options);
    GET(skypostal_options_set_base_url)(options, base_url);
    GET(skypostal_options_set_max_retries)(options, 0);
    GET(skypostal_update_set_customer_box_id)(update, atol(getenv("SKYPOSTAL_CUSTOMER_BOX_ID")));
    GET(skypostal_update_set_customer_key)(update, getenv("SKYPOSTAL_CUSTOMER_KEY"));
    result = GET(skypostal_client_new)(options, &client, NULL);
    if (result == SKYPOSTAL_OK)
        result = GET(skypostal_client_update_personal_info)(client, update, NULL, NULL);
    GET(skypostal_client_free)(client);
    GET(skypostal_update_free)(update);
    GET(skypostal_options_free)(options);
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
            if (used) {
                *failed += update(library, NULL) != SKYPOSTAL_OK;
                /* Looked up on a thread of the library's own. Nobody listens there. */
                *failed += update(library, "https://localhost:1") != SKYPOSTAL_CONNECT;
            }
            *failed += dlclose(library) != 0;
        }
    return NULL;
}

int main(int argc, char **argv)
{
    pthread_t threads[THREADS];
    int at;

    if (argc < 3)
        return 2;
    used = strcmp(argv[1], "used") == 0;
    libraries = argv + 2;
    for (at = 0; at < THREADS; at++)
        CHECK_INT(pthread_create(&threads[at], NULL, open_and_close, &failures[at]), 0);
    for (at = 0; at < THREADS; at++) {
        CHECK_INT(pthread_join(threads[at], NULL), 0);
        CHECK_INT(failures[at], 0);
    }
    /* It stays, for threads that still run its code. */
    for (; *libraries; libraries++)
        CHECK(dlopen(*libraries, RTLD_NOW | RTLD_NOLOAD) != NULL);
    return check_result();
}
