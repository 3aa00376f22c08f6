/* Bulks: their outcomes, how they stop, and who may end them. */
#include "support.h"

#include <limits.h>
#include <math.h>
#include <time.h>

#define ROWS 40

static const char response[] = "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n[{\"_verify\":true}]";

static skypostal_bulk *new_bulk(const skypostal_client *client, int concurrency, double rate)
{
    skypostal_bulk *bulk = NULL;
    CHECK_INT(skypostal_bulk_new(client, concurrency, rate, &bulk, NULL), SKYPOSTAL_OK);
    return bulk;
}

/* Takes one outcome, which says how its row ended, and returns its number. */
static int64_t take(skypostal_bulk *bulk, int result, int delivery, int attempts)
{
    skypostal_outcome *outcome = (void *)&check_count;
    skypostal_error *stopped = (void *)&check_count;
    const skypostal_error *error;
    int64_t index;

    CHECK_INT(skypostal_bulk_next(bulk, &outcome, &stopped), SKYPOSTAL_OK);
    CHECK(outcome != NULL && stopped == NULL);
    CHECK_INT(skypostal_outcome_result(outcome), result);
    CHECK_INT(skypostal_outcome_attempts(outcome), attempts);
    CHECK_INT(skypostal_outcome_info(outcome) != NULL, result == SKYPOSTAL_OK);
    error = skypostal_outcome_error(outcome);
    CHECK_INT(error == NULL, result == SKYPOSTAL_OK);
    if (error) {
        CHECK_INT(skypostal_error_kind(error), result);
        CHECK_INT(skypostal_error_delivery(error), delivery);
        CHECK_INT(skypostal_error_attempts(error), attempts);
        CHECK(*skypostal_error_message(error) != '\0');
    }
    index = skypostal_outcome_index(outcome);
    skypostal_outcome_free(outcome);
    return index;
}

static int64_t take_good(skypostal_bulk *bulk) { return take(bulk, SKYPOSTAL_OK, 0, 1); }

/* It has ended well, or for this reason, and stays so. */
static void check_end(skypostal_bulk *bulk, int result)
{
    int twice;
    for (twice = 0; twice < 2; twice++) {
        skypostal_outcome *outcome = (void *)&check_count;
        skypostal_error *error = (void *)&check_count;

        CHECK_INT(skypostal_bulk_next(bulk, &outcome, twice ? NULL : &error), result);
        CHECK(outcome == NULL);
        if (twice)
            continue;
        CHECK_INT(error == NULL, result == SKYPOSTAL_OK);
        if (error) {
            CHECK_INT(skypostal_error_kind(error), result);
            CHECK_INT(skypostal_error_delivery(error), SKYPOSTAL_DELIVERY_NOT_SENT);
            CHECK_INT(skypostal_error_attempts(error), 0);
            CHECK(*skypostal_error_message(error) != '\0');
        }
        skypostal_error_free(error);
    }
}

/* The loop of the header. Some rows are bad, in two ways. */
static void outcomes(void)
{
    skypostal_client *client = new_client(NULL);
    skypostal_bulk *bulk = new_bulk(client, 3, 0);
    skypostal_update *update = new_update();
    skypostal_error *stopped = (void *)&check_count;
    int seen[ROWS] = {0}, row = 0, widest = 0;

    check_about = "outcomes";
    for (;;) {
        skypostal_outcome *outcome = NULL;
        const skypostal_personal_info *info;
        const skypostal_error *error;
        char name[16];
        int index, result;

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
        CHECK_INT(skypostal_bulk_next(bulk, &outcome, &stopped), SKYPOSTAL_OK);
        CHECK(stopped == NULL);
        if (outcome == NULL)
            break;
        index = (int)skypostal_outcome_index(outcome);
        result = skypostal_outcome_result(outcome);
        info = skypostal_outcome_info(outcome);
        error = skypostal_outcome_error(outcome);
        CHECK(0 <= index && index < row);
        seen[index]++;
        snprintf(name, sizeof(name), "Row %d", index);
        if (index % 10 == 3) {
            CHECK_INT(result, SKYPOSTAL_INVALID_FIELD);
            CHECK_TEXT(skypostal_error_field(error), "customer_first_name");
            CHECK_INT(skypostal_error_attempts(error), 0);
        } else if (index % 10 == 7) {
            CHECK_INT(result, SKYPOSTAL_REFUSED);
            CHECK_INT(skypostal_error_delivery(error), SKYPOSTAL_DELIVERY_REJECTED);
        } else {
            CHECK_INT(result, SKYPOSTAL_OK);
            CHECK_TEXT(skypostal_personal_info_customer_first_name(info), name);
        }
        CHECK_INT(skypostal_outcome_attempts(outcome), index % 10 != 3);
        CHECK((info == NULL) == (result != SKYPOSTAL_OK));
        CHECK((error == NULL) == (result == SKYPOSTAL_OK));
        skypostal_outcome_free(outcome);
    }
    for (row = 0; row < ROWS; row++)
        CHECK_INT(seen[row], 1);
    CHECK_INT(widest, 6);
    skypostal_bulk_free(bulk);
    skypostal_update_free(update);
    skypostal_client_free(client);
}

/* An outcome needs neither its bulk nor its client. */
static void outcomes_outlive_their_bulk(void)
{
    skypostal_client *client = new_client(NULL);
    skypostal_bulk *bulk = new_bulk(client, 1, 0);
    skypostal_update *update = new_update();
    skypostal_outcome *outcomes[3];
    int at;

    check_about = "outcomes that outlive their bulk";
    for (at = 0; at < 3; at++) {
        skypostal_update_set_customer_gender(update, at == 1 ? "X" : NULL);
        CHECK_INT(skypostal_bulk_submit(bulk, update), SKYPOSTAL_OK);
        CHECK_INT(skypostal_bulk_next(bulk, &outcomes[at], NULL), SKYPOSTAL_OK);
    }
    skypostal_bulk_free(bulk);
    skypostal_update_free(update);
    skypostal_client_free(client);
    for (at = 0; at < 3; at++) {
        const skypostal_personal_info *info = skypostal_outcome_info(outcomes[at]);
        CHECK_INT(skypostal_outcome_index(outcomes[at]), at);
        if (at == 1)
            CHECK_TEXT(skypostal_error_field(skypostal_outcome_error(outcomes[at])),
                       "customer_gender");
        else
            CHECK_TEXT(skypostal_personal_info_customer_identity_number(info), "123456789");
        skypostal_outcome_free(outcomes[at]);
    }
}

/* No row, more rows than capacity, and rows after the end. */
static void edges(void)
{
    skypostal_client *client = new_client(NULL);
    skypostal_bulk *bulk = new_bulk(client, 0, 0);
    skypostal_update *update = new_update();
    int64_t sum = 0;
    int at;

    check_about = "edges";
    CHECK_INT(skypostal_bulk_capacity(bulk), 16);
    check_end(bulk, SKYPOSTAL_OK);
    for (at = 0; at < 20; at++)
        CHECK_INT(skypostal_bulk_submit(bulk, update), SKYPOSTAL_OK);
    CHECK_INT(skypostal_bulk_capacity(bulk), 0);
    CHECK_INT(skypostal_bulk_next(bulk, NULL, NULL), SKYPOSTAL_MISUSE);
    for (at = 0; at < 20; at++)
        sum += take_good(bulk);
    CHECK_INT(sum, 190); /* each of them once: the misuse took none */
    check_end(bulk, SKYPOSTAL_OK);
    CHECK_INT(skypostal_bulk_capacity(bulk), 16);
    CHECK_INT(skypostal_bulk_submit(bulk, update), SKYPOSTAL_OK);
    CHECK_INT(take_good(bulk), 20);
    check_end(bulk, SKYPOSTAL_OK);
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
        CHECK(take_good(bulk) >= 0);
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
    int at, submitted = 0;

    check_about = "unreachable";
    for (at = 0; at < 30; at++)
        submitted += skypostal_bulk_submit(bulk, update) == SKYPOSTAL_OK;
    CHECK(submitted >= 10);
    for (at = 0; at < submitted; at++)
        CHECK_INT(take(bulk, SKYPOSTAL_CONNECT, SKYPOSTAL_DELIVERY_NOT_SENT, at < 10), at);
    CHECK_INT(skypostal_bulk_capacity(bulk), 0);
    CHECK_INT(skypostal_bulk_submit(bulk, update), SKYPOSTAL_CONNECT);
    check_end(bulk, SKYPOSTAL_CONNECT);
    skypostal_bulk_free(bulk);
    skypostal_update_free(update);
    skypostal_client_free(client);
}

/* The bulk owns a share of the client, and copies of the updates. */
static void client_freed(void)
{
    skypostal_client *client = new_client(NULL);
    skypostal_bulk *bulk = new_bulk(client, 2, 0);
    skypostal_update *update = new_update();

    check_about = "a client that is freed before its bulk";
    CHECK_INT(skypostal_bulk_submit(bulk, update), SKYPOSTAL_OK);
    skypostal_client_free(client);
    CHECK_INT(skypostal_bulk_submit(bulk, update), SKYPOSTAL_OK);
    skypostal_update_free(update);
    CHECK(take_good(bulk) >= 0);
    CHECK(take_good(bulk) >= 0);
    check_end(bulk, SKYPOSTAL_OK);
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
        skypostal_outcome *outcome = NULL;
        int64_t index;
        CHECK_INT(skypostal_bulk_next(bulk, &outcome, NULL), SKYPOSTAL_OK);
        CHECK_INT(skypostal_outcome_result(outcome), SKYPOSTAL_CANCELLED);
        index = skypostal_outcome_index(outcome);
        CHECK_INT(skypostal_outcome_attempts(outcome), index < 2);
        CHECK_INT(skypostal_error_attempts(skypostal_outcome_error(outcome)), index < 2);
        if (index >= 0 && index < 4)
            delivery[index] = skypostal_error_delivery(skypostal_outcome_error(outcome));
        skypostal_outcome_free(outcome);
    }
    CHECK_INT(pthread_join(thread, NULL), 0);
    for (at = 0; at < 4; at++)
        CHECK_INT(delivery[at],
                  at < 2 ? SKYPOSTAL_DELIVERY_UNKNOWN : SKYPOSTAL_DELIVERY_NOT_SENT);
    CHECK_INT(skypostal_bulk_submit(bulk, update), SKYPOSTAL_CANCELLED);
    CHECK_INT(skypostal_bulk_capacity(bulk), 0);
    check_end(bulk, SKYPOSTAL_CANCELLED);
    skypostal_bulk_free(bulk);
    for (at = 0; at < 2; at++)
        close(connections[at]);

    check_about = "a bulk without rows is not cancelled";
    CHECK_INT(skypostal_bulk_submit(idle, update), SKYPOSTAL_OK);
    respond(accept_request(listener), response);
    CHECK_INT(take_good(idle), 0);
    skypostal_bulk_free(idle);

    check_about = "a cancel right after a row was submitted";
    for (at = 0; at < 50; at++) {
        skypostal_outcome *outcome = NULL;
        bulk = new_bulk(client, 1, 0);
        CHECK_INT(skypostal_bulk_submit(bulk, update), SKYPOSTAL_OK);
        CHECK_INT(skypostal_client_cancel(client), SKYPOSTAL_OK);
        CHECK_INT(skypostal_bulk_next(bulk, &outcome, NULL), SKYPOSTAL_OK);
        CHECK_INT(skypostal_outcome_index(outcome), 0);
        CHECK_INT(skypostal_outcome_result(outcome), SKYPOSTAL_CANCELLED);
        skypostal_outcome_free(outcome);
        skypostal_bulk_free(bulk);
    }
    close(listener);
    skypostal_update_free(update);
    skypostal_client_free(client);
}

/* The row in flight is cancelled, and the rest is not sent. */
static void freed_in_flight(void)
{
    char url[64], byte;
    int listener = listen_here(url, "http"), connection, at;
    skypostal_client *client = new_client(url);
    skypostal_update *update = new_update();
    skypostal_bulk *bulk = new_bulk(client, 1, 0);

    check_about = "a bulk that is freed in flight";
    for (at = 0; at < 3; at++)
        CHECK_INT(skypostal_bulk_submit(bulk, update), SKYPOSTAL_OK);
    connection = accept_request(listener);
    skypostal_bulk_free(bulk);
    CHECK_INT(recv(connection, &byte, 1, 0), 0);
    close(connection);

    check_about = "the client afterwards";
    bulk = new_bulk(client, 1, 0);
    CHECK_INT(skypostal_bulk_submit(bulk, update), SKYPOSTAL_OK);
    respond(accept_request(listener), response);
    CHECK_INT(take_good(bulk), 0);
    skypostal_bulk_free(bulk);
    close(listener);
    skypostal_update_free(update);
    skypostal_client_free(client);
}

static void *run(void *nothing)
{
    outcomes();
    outcomes_outlive_their_bulk();
    edges();
    numbers();
    rate();
    unreachable();
    client_freed();
    cancel();
    freed_in_flight();
    return nothing;
}

int main(void)
{
    return run_on_a_thread(run);
}
