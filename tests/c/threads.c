/* One client and many threads: calls side by side, cancelled, and one after another. The
 * argument says which. */
#include "support.h"

#include <time.h>

#define THREADS 8
#define CALLS 50

static double milliseconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return 1e3 * (double)now.tv_sec + 1e-6 * (double)now.tv_nsec;
}

/* Each cancel ends every call in flight, at once, and none that begins later. */
static void cancel(void)
{
    static const char response[] = "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n[{\"_verify\":true}]";
    skypostal_update *update = new_update();
    double fastest = 1e9;
    char url[64];
    int listener = listen_here(url, "http");
    skypostal_client *client = new_client(url);
    int round, at;

    CHECK_INT(skypostal_client_cancel(client), SKYPOSTAL_OK);
    for (round = 0; round < 3; round++) {
        struct call calls[THREADS] = {{0}}, next = {0};
        int connections[THREADS];
        double begin;
        for (at = 0; at < THREADS; at++)
            begin_call(&calls[at], client, update);
        for (at = 0; at < THREADS; at++)
            connections[at] = accept_request(listener);
        begin = milliseconds();
        CHECK_INT(skypostal_client_cancel(client), SKYPOSTAL_OK);
        for (at = 0; at < THREADS; at++)
            end_call(&calls[at]);
        if (milliseconds() - begin < fastest)
            fastest = milliseconds() - begin;
        for (at = 0; at < THREADS; at++) {
            CHECK_INT(calls[at].result, SKYPOSTAL_CANCELLED);
            CHECK_INT(skypostal_error_kind(calls[at].error), SKYPOSTAL_CANCELLED);
            CHECK_INT(skypostal_error_delivery(calls[at].error), SKYPOSTAL_DELIVERY_UNKNOWN);
            CHECK_INT(skypostal_error_attempts(calls[at].error), 1);
            CHECK(calls[at].info == NULL);
            free_call(&calls[at]);
            close(connections[at]);
        }
        begin_call(&next, client, update);
        respond(accept_request(listener), response);
        end_call(&next);
        CHECK_INT(next.result, SKYPOSTAL_OK);
        free_call(&next);
    }
    check(fastest < 50, __FILE__, __LINE__, "the fastest cancel took %.1f ms", fastest);
    close(listener);
    skypostal_update_free(update);
    skypostal_client_free(client);
}

struct worker {
    const skypostal_client *client;
    skypostal_update *update;
    char name[16];
    int good;
    pthread_t thread;
};

/* Each response must be the one to this thread's own update. */
static void *work(void *data)
{
    struct worker *worker = data;
    int at;
    for (at = 0; at < CALLS; at++) {
        skypostal_personal_info *info = NULL;
        skypostal_error *error = NULL;
        skypostal_client_update_personal_info(worker->client, worker->update, &info, &error);
        if (info
            && strcmp(skypostal_personal_info_customer_first_name(info), worker->name) == 0)
            worker->good++;
        skypostal_personal_info_free(info);
        skypostal_error_free(error);
    }
    return NULL;
}

static void together(void)
{
    struct worker workers[THREADS] = {{0}};
    skypostal_client *client = new_client(NULL);
    int at;

    for (at = 0; at < THREADS; at++) {
        workers[at].client = client;
        workers[at].update = new_update();
        snprintf(workers[at].name, sizeof(workers[at].name), "Thread %d", at);
        skypostal_update_set_customer_first_name(workers[at].update, workers[at].name);
        CHECK_INT(pthread_create(&workers[at].thread, NULL, work, &workers[at]), 0);
    }
    for (at = 0; at < THREADS; at++) {
        CHECK_INT(pthread_join(workers[at].thread, NULL), 0);
        CHECK_INT(workers[at].good, CALLS);
        skypostal_update_free(workers[at].update);
    }
    skypostal_client_free(client);
}

static void in_a_row(void)
{
    skypostal_client *client = new_client(NULL);
    skypostal_update *update = new_update();
    int at, good = 0;

    for (at = 0; at < 1000; at++)
        good += skypostal_client_update_personal_info(client, update, NULL, NULL) == SKYPOSTAL_OK;
    CHECK_INT(good, 1000);
    skypostal_update_free(update);
    skypostal_client_free(client);
}

int main(int argc, char **argv)
{
    const char *what = argc == 2 ? argv[1] : "";
    if (strcmp(what, "cancel") == 0)
        cancel();
    else if (strcmp(what, "together") == 0)
        together();
    else if (strcmp(what, "in_a_row") == 0)
        in_a_row();
    return check_result();
}
