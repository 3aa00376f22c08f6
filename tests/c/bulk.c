/* Runs of many updates: what they give, how they stop, and who may end them; with the argument
 * "fork" what a fork makes of them, where a child leaves behind what valgrind would call lost. */
#include "support.h"

#include <limits.h>
#include <math.h>
#include <sys/wait.h>
#include <time.h>

#define ROWS 40

static const char answer[] = "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n[{\"_verify\":true}]";

static skypostal_bulk *new_bulk(const skypostal_client *client, int concurrency, double rate)
{
    skypostal_bulk *bulk = NULL;
    CHECK_INT(skypostal_bulk_new(client, concurrency, rate, &bulk, NULL), SKYPOSTAL_OK);
    return bulk;
}

/* Takes one outcome, and gives its number. What is said of the error holds if there is one. */
static int64_t take(skypostal_bulk *bulk, int status, int delivery, int attempts)
{
    skypostal_personal_info *info = (void *)&check_count;
    skypostal_error *error = (void *)&check_count;
    int64_t index = -9;

    CHECK_INT(skypostal_bulk_next(bulk, &index, &info, &error), status);
    CHECK(info == NULL || (index >= 0 && status == SKYPOSTAL_OK));
    CHECK_INT(error == NULL, status == SKYPOSTAL_OK);
    if (error) {
        CHECK_INT(skypostal_error_kind(error), status);
        CHECK_INT(skypostal_error_delivery(error), delivery);
        CHECK_INT(skypostal_error_attempts(error), attempts);
        CHECK(*skypostal_error_message(error) != '\0');
    }
    skypostal_personal_info_free(info);
    skypostal_error_free(error);
    return index;
}

/* It has ended well, or for this reason, and stays so. */
static void check_end(skypostal_bulk *bulk, int status, int attempts)
{
    int twice;
    for (twice = 0; twice < 2; twice++)
        CHECK_INT(take(bulk, status, SKYPOSTAL_DELIVERY_NOT_SENT, attempts), -1);
}

/* The loop of the header. Some rows are bad, in two ways. */
static void outcomes(void)
{
    skypostal_client *client = new_client(NULL);
    skypostal_bulk *bulk = new_bulk(client, 3, 0);
    skypostal_update *update = new_update();
    int told[ROWS] = {0}, row = 0, widest = 0;

    check_about = "outcomes";
    for (;;) {
        skypostal_personal_info *info = NULL;
        skypostal_error *error = NULL;
        char name[16];
        int64_t index = -9;
        int status;

        while (row < ROWS && skypostal_bulk_capacity(bulk) > 0) {
            snprintf(name, sizeof(name), "Row %d", row);
            skypostal_update_set_customer_first_name(update, row % 10 == 3 ? "" : name);
            skypostal_update_set_customer_key(
                update, row % 10 == 7 ? "not the key" : getenv("SKYPOSTAL_CUSTOMER_KEY"));
            CHECK_INT(skypostal_bulk_submit(bulk, update), SKYPOSTAL_OK);
            row++;
        }
        if (6 - skypostal_bulk_capacity(bulk) > widest)
            widest = 6 - skypostal_bulk_capacity(bulk);
        status = skypostal_bulk_next(bulk, &index, &info, &error);
        if (index < 0) {
            CHECK_INT(status, SKYPOSTAL_OK);
            CHECK(info == NULL && error == NULL);
            break;
        }
        CHECK(index < row);
        told[index]++;
        snprintf(name, sizeof(name), "Row %d", (int)index);
        if (index % 10 == 3) {
            CHECK_INT(status, SKYPOSTAL_INVALID_FIELD);
            CHECK_TEXT(skypostal_error_field(error), "customer_first_name");
            CHECK_INT(skypostal_error_attempts(error), 0);
        } else if (index % 10 == 7) {
            CHECK_INT(status, SKYPOSTAL_REFUSED);
            CHECK_INT(skypostal_error_delivery(error), SKYPOSTAL_DELIVERY_REJECTED);
        } else {
            CHECK_INT(status, SKYPOSTAL_OK);
            CHECK_TEXT(skypostal_personal_info_customer_first_name(info), name);
        }
        CHECK((info == NULL) == (status != SKYPOSTAL_OK));
        CHECK((error == NULL) == (status == SKYPOSTAL_OK));
        skypostal_personal_info_free(info);
        skypostal_error_free(error);
    }
    for (row = 0; row < ROWS; row++)
        CHECK_INT(told[row], 1);
    CHECK_INT(widest, 6);
    skypostal_bulk_free(bulk);
    skypostal_update_free(update);
    skypostal_client_free(client);
}

/* Nothing put, more than there is room for, and rows after the end. */
static void edges(void)
{
    skypostal_client *client = new_client(NULL);
    skypostal_bulk *bulk = new_bulk(client, 0, 0);
    skypostal_update *update = new_update();
    int64_t index = -9, last = 0;
    int at;

    check_about = "edges";
    CHECK_INT(skypostal_bulk_capacity(bulk), 16);
    check_end(bulk, SKYPOSTAL_OK, 0);
    for (at = 0; at < 20; at++)
        CHECK_INT(skypostal_bulk_submit(bulk, update), SKYPOSTAL_OK);
    CHECK_INT(skypostal_bulk_capacity(bulk), 0);
    CHECK_INT(skypostal_bulk_next(bulk, NULL, NULL, NULL), SKYPOSTAL_MISUSE);
    for (at = 0; at < 20; at++) {
        CHECK_INT(skypostal_bulk_next(bulk, &index, NULL, NULL), SKYPOSTAL_OK);
        CHECK(index >= 0);
        last += index;
    }
    CHECK_INT(last, 190);
    check_end(bulk, SKYPOSTAL_OK, 0);
    CHECK_INT(skypostal_bulk_capacity(bulk), 16);
    CHECK_INT(skypostal_bulk_submit(bulk, update), SKYPOSTAL_OK);
    CHECK_INT(take(bulk, SKYPOSTAL_OK, 0, 0), 20);
    check_end(bulk, SKYPOSTAL_OK, 0);
    skypostal_bulk_free(bulk);
    skypostal_update_free(update);
    skypostal_client_free(client);
}

static void numbers(void)
{
    static const int bad_concurrency[] = {-1, 101, INT_MAX, INT_MIN};
    const double bad_rates[] = {-1, 0.0009, 1000001, HUGE_VAL, -HUGE_VAL, (double)NAN, 5e-324};
    skypostal_client *client = new_client(NULL);
    skypostal_bulk *bulk;
    skypostal_error *error;
    size_t at;

    check_about = "numbers";
    for (at = 0; at < COUNT(bad_concurrency) + COUNT(bad_rates); at++) {
        int is_rate = at >= COUNT(bad_concurrency);
        bulk = (void *)&check_count;
        CHECK_INT(skypostal_bulk_new(
                      client, is_rate ? 1 : bad_concurrency[at],
                      is_rate ? bad_rates[at - COUNT(bad_concurrency)] : 0, &bulk, &error),
                  SKYPOSTAL_CONFIGURATION);
        CHECK(bulk == NULL);
        CHECK_TEXT(skypostal_error_field(error), is_rate ? "rate" : "concurrency");
        skypostal_error_free(error);
    }
    bulk = new_bulk(client, 100, 1000000);
    CHECK_INT(skypostal_bulk_capacity(bulk), 200);
    skypostal_bulk_free(bulk);
    bulk = new_bulk(client, 1, 0.001);
    CHECK_INT(skypostal_bulk_capacity(bulk), 2);
    skypostal_bulk_free(bulk);
    skypostal_client_free(client);
}

static double seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static void rate(void)
{
    skypostal_client *client = new_client(NULL);
    skypostal_bulk *bulk = new_bulk(client, 4, 20);
    skypostal_update *update = new_update();
    double begin = seconds();
    int at;

    check_about = "rate";
    for (at = 0; at < 9; at++)
        CHECK_INT(skypostal_bulk_submit(bulk, update), SKYPOSTAL_OK);
    for (at = 0; at < 9; at++)
        CHECK(take(bulk, SKYPOSTAL_OK, 0, 0) >= 0);
    /* It catches up on 0.1 s at most. */
    check(seconds() - begin > 0.29, __FILE__, __LINE__, "took %.2f s", seconds() - begin);
    skypostal_bulk_free(bulk);
    skypostal_update_free(update);
    skypostal_client_free(client);
}

/* After 10 rows without a connection the others are not tried. */
static void unreachable(void)
{
    skypostal_client *client = new_client("http://127.0.0.1:9");
    skypostal_bulk *bulk = new_bulk(client, 1, 0);
    skypostal_update *update = new_update();
    int at, put = 0;

    check_about = "unreachable";
    for (at = 0; at < 30; at++)
        put += skypostal_bulk_submit(bulk, update) == SKYPOSTAL_OK;
    CHECK(put >= 10);
    for (at = 0; at < put; at++)
        CHECK_INT(take(bulk, SKYPOSTAL_CONNECT, SKYPOSTAL_DELIVERY_NOT_SENT, at < 10), at);
    CHECK_INT(skypostal_bulk_capacity(bulk), 0);
    CHECK_INT(skypostal_bulk_submit(bulk, update), SKYPOSTAL_CONNECT);
    check_end(bulk, SKYPOSTAL_CONNECT, 0);
    skypostal_bulk_free(bulk);
    skypostal_update_free(update);
    skypostal_client_free(client);
}

/* The run has a share of the client, and a copy of what was put. */
static void client_freed(void)
{
    skypostal_client *client = new_client(NULL);
    skypostal_bulk *bulk = new_bulk(client, 2, 0);
    skypostal_update *update = new_update();

    check_about = "a client that is freed before its run";
    CHECK_INT(skypostal_bulk_submit(bulk, update), SKYPOSTAL_OK);
    skypostal_client_free(client);
    CHECK_INT(skypostal_bulk_submit(bulk, update), SKYPOSTAL_OK);
    skypostal_update_free(update);
    CHECK(take(bulk, SKYPOSTAL_OK, 0, 0) >= 0);
    CHECK(take(bulk, SKYPOSTAL_OK, 0, 0) >= 0);
    check_end(bulk, SKYPOSTAL_OK, 0);
    skypostal_bulk_free(bulk);
}

static void *cancel_from_here(void *client)
{
    CHECK_INT(skypostal_client_cancel(client), SKYPOSTAL_OK);
    return NULL;
}

static void cancel(void)
{
    char url[64];
    int listener = listen_here(url, "http"), connections[2], at;
    skypostal_client *client = new_client(url);
    skypostal_update *update = new_update();
    skypostal_bulk *bulk = new_bulk(client, 2, 0), *idle = new_bulk(client, 1, 0);
    int delivery[4] = {0};
    pthread_t thread;

    check_about = "cancel";
    for (at = 0; at < 4; at++)
        CHECK_INT(skypostal_bulk_submit(bulk, update), SKYPOSTAL_OK);
    for (at = 0; at < 2; at++)
        connections[at] = accept_request(listener);
    CHECK_INT(pthread_create(&thread, NULL, cancel_from_here, client), 0);
    for (at = 0; at < 4; at++) {
        skypostal_error *error = NULL;
        int64_t index = -9;
        CHECK_INT(skypostal_bulk_next(bulk, &index, NULL, &error), SKYPOSTAL_CANCELLED);
        CHECK_INT(skypostal_error_attempts(error), index < 2);
        if (index >= 0 && index < 4)
            delivery[index] = skypostal_error_delivery(error);
        skypostal_error_free(error);
    }
    CHECK_INT(pthread_join(thread, NULL), 0);
    for (at = 0; at < 4; at++)
        CHECK_INT(delivery[at],
                  at < 2 ? SKYPOSTAL_DELIVERY_UNKNOWN : SKYPOSTAL_DELIVERY_NOT_SENT);
    CHECK_INT(skypostal_bulk_submit(bulk, update), SKYPOSTAL_CANCELLED);
    CHECK_INT(skypostal_bulk_capacity(bulk), 0);
    check_end(bulk, SKYPOSTAL_CANCELLED, 0);
    skypostal_bulk_free(bulk);
    for (at = 0; at < 2; at++)
        close(connections[at]);

    check_about = "a run without rows is not cancelled";
    CHECK_INT(skypostal_bulk_submit(idle, update), SKYPOSTAL_OK);
    respond(accept_request(listener), answer);
    CHECK_INT(take(idle, SKYPOSTAL_OK, 0, 0), 0);
    skypostal_bulk_free(idle);

    check_about = "a cancel right after a row was put";
    for (at = 0; at < 50; at++) {
        int64_t index = -9;
        bulk = new_bulk(client, 1, 0);
        CHECK_INT(skypostal_bulk_submit(bulk, update), SKYPOSTAL_OK);
        CHECK_INT(skypostal_client_cancel(client), SKYPOSTAL_OK);
        CHECK_INT(skypostal_bulk_next(bulk, &index, NULL, NULL), SKYPOSTAL_CANCELLED);
        CHECK_INT(index, 0);
        skypostal_bulk_free(bulk);
    }
    close(listener);
    skypostal_update_free(update);
    skypostal_client_free(client);
}

/* What is in flight is broken off, and the rest is not sent. */
static void freed_in_flight(void)
{
    char url[64], byte;
    int listener = listen_here(url, "http"), connection, at;
    skypostal_client *client = new_client(url);
    skypostal_update *update = new_update();
    skypostal_bulk *bulk = new_bulk(client, 1, 0);

    check_about = "a run that is freed in flight";
    for (at = 0; at < 3; at++)
        CHECK_INT(skypostal_bulk_submit(bulk, update), SKYPOSTAL_OK);
    connection = accept_request(listener);
    skypostal_bulk_free(bulk);
    CHECK_INT(recv(connection, &byte, 1, 0), 0);
    close(connection);

    check_about = "the client afterwards";
    bulk = new_bulk(client, 1, 0);
    CHECK_INT(skypostal_bulk_submit(bulk, update), SKYPOSTAL_OK);
    respond(accept_request(listener), answer);
    CHECK_INT(take(bulk, SKYPOSTAL_OK, 0, 0), 0);
    skypostal_bulk_free(bulk);
    close(listener);
    skypostal_update_free(update);
    skypostal_client_free(client);
}

/* In the child the parent's run is nobody's, and another one works. */
static void *forked(void *nothing)
{
    char url[64];
    int listener = listen_here(url, "http"), connection, status = -1;
    skypostal_client *client = new_client(url), *good = new_client(NULL);
    skypostal_update *update = new_update();
    skypostal_bulk *bulk = new_bulk(client, 1, 0);
    pid_t child;

    check_about = "fork";
    CHECK_INT(skypostal_bulk_submit(bulk, update), SKYPOSTAL_OK);
    connection = accept_request(listener);
    child = fork();
    if (child == 0) {
        skypostal_bulk *own;
        int failures = check_failures;
        alarm(20);
        CHECK_INT(skypostal_bulk_capacity(bulk), 0);
        CHECK_INT(skypostal_bulk_submit(bulk, update), SKYPOSTAL_CONFIGURATION);
        check_end(bulk, SKYPOSTAL_CONFIGURATION, 0);
        skypostal_bulk_free(bulk);
        own = new_bulk(good, 2, 0);
        CHECK_INT(skypostal_bulk_submit(own, update), SKYPOSTAL_OK);
        CHECK_INT(take(own, SKYPOSTAL_OK, 0, 0), 0);
        check_end(own, SKYPOSTAL_OK, 0);
        skypostal_bulk_free(own);
        _exit(check_failures != failures);
    }
    CHECK_INT(waitpid(child, &status, 0), child);
    CHECK_INT(status, 0);
    respond(connection, answer);
    CHECK_INT(take(bulk, SKYPOSTAL_OK, 0, 0), 0);
    check_end(bulk, SKYPOSTAL_OK, 0);
    skypostal_bulk_free(bulk);
    close(listener);
    skypostal_update_free(update);
    skypostal_client_free(client);
    skypostal_client_free(good);
    return nothing;
}

static void *run(void *nothing)
{
    outcomes();
    edges();
    numbers();
    rate();
    unreachable();
    client_freed();
    cancel();
    freed_in_flight();
    return nothing;
}

int main(int argc, char **argv)
{
    return run_on_a_thread(argc == 2 && strcmp(argv[1], "fork") == 0 ? forked : run);
}
