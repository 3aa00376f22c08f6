/* The log of attempts, the number of them, and a timeout of one call or row alone. */
#include "support.h"

#include <time.h>

#define MAX_LINES 8

static const char unavailable[] =
    "HTTP/1.1 503 Unavailable\r\nRetry-After: 0\r\nConnection: close\r\n\r\nsorry";
static const char accepted[] = "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n[{\"_verify\":true}]";

/* What the callback received. */
struct lines {
    char text[MAX_LINES][256];
    int count;
    pthread_t thread;
    const skypostal_client *client; /* to make a call of its own with */
};

static void keep(void *user_data, const char *line)
{
    struct lines *lines = user_data;
    lines->thread = pthread_self();
    CHECK(lines->count < MAX_LINES);
    snprintf(lines->text[lines->count++ % MAX_LINES], sizeof(lines->text[0]), "%s", line);
    CHECK(strpbrk(line, "\r\n") == NULL);
    CHECK(strstr(line, getenv("SKYPOSTAL_APP_KEY")) == NULL);
    CHECK(strstr(line, getenv("SKYPOSTAL_CUSTOMER_KEY")) == NULL);
    if (lines->client) {
        skypostal_update *update = new_update();
        CHECK_INT(skypostal_client_update_personal_info(lines->client, update, NULL, NULL),
                  SKYPOSTAL_OK);
        skypostal_update_free(update);
    }
}

/* A client with this log and one retry; base_url NULL: SKYPOSTAL_BASE_URL. */
static skypostal_client *logging_client(const char *base_url, skypostal_log_callback callback,
                                        struct lines *lines)
{
    skypostal_options *options = skypostal_options_new();
    skypostal_client *client = NULL;
    skypostal_options_read_environment(options);
    skypostal_options_set_base_url(options, base_url);
    skypostal_options_set_max_retries(options, 1);
    CHECK_INT(skypostal_options_set_log(options, callback, lines), SKYPOSTAL_OK);
    CHECK_INT(skypostal_client_new(options, &client, NULL), SKYPOSTAL_OK);
    skypostal_options_free(options);
    return client;
}

static void of_a_retry(const skypostal_update *update)
{
    static struct lines lines;
    char url[64];
    int listener = listen_here(url, "http");
    skypostal_client *client = logging_client(url, keep, &lines);
    struct call call = {0};

    check_about = "a retry";
    begin_call(&call, client, update);
    respond(accept_request(listener), unavailable);
    respond(accept_request(listener), accepted);
    end_call(&call);
    CHECK_INT(call.result, SKYPOSTAL_OK);
    CHECK_INT(skypostal_personal_info_attempts(call.info), 2);
    CHECK_INT(lines.count, 2);
    CHECK(pthread_equal(lines.thread, call.thread));
    CHECK_HOLDS(lines.text[0], strchr(url, '1'));
    CHECK_HOLDS(lines.text[0], ": 503 in ");
    CHECK_HOLDS(lines.text[0], "(attempt 1, request ");
    CHECK_HOLDS(lines.text[0], "HTTP 503");
    CHECK_HOLDS(lines.text[0], "; retry in ");
    CHECK_HOLDS(lines.text[1], ": 200 in ");
    CHECK_HOLDS(lines.text[1], "(attempt 2, request ");
    CHECK(strstr(lines.text[1], "retry") == NULL);
    free_call(&call);
    skypostal_client_free(client);
    close(listener);
}

static void of_a_bulk(const skypostal_update *update)
{
    static struct lines lines;
    skypostal_client *client = logging_client(NULL, keep, &lines);
    skypostal_bulk *bulk = NULL;
    skypostal_outcome *outcome;
    int row;

    check_about = "a bulk";
    CHECK_INT(skypostal_bulk_new(client, 2, 0, &bulk, NULL), SKYPOSTAL_OK);
    skypostal_client_free(client);
    for (row = 0; row < 3; row++)
        CHECK_INT(skypostal_bulk_submit(bulk, update), SKYPOSTAL_OK);
    while (skypostal_bulk_next(bulk, &outcome, NULL) == SKYPOSTAL_OK && outcome) {
        CHECK_INT(skypostal_personal_info_attempts(skypostal_outcome_info(outcome)), 1);
        skypostal_outcome_free(outcome);
    }
    CHECK_INT(lines.count, 3);
    CHECK(pthread_equal(lines.thread, pthread_self()));
    skypostal_bulk_free(bulk);
}

/* It is not logged: else the callback would call itself without end. */
static void of_a_call_by_the_callback(const skypostal_update *update)
{
    static struct lines lines;
    skypostal_client *client = logging_client(NULL, keep, &lines);
    int call;

    check_about = "a call by the callback";
    lines.client = client;
    for (call = 1; call <= 2; call++) {
        CHECK_INT(skypostal_client_update_personal_info(client, update, NULL, NULL), SKYPOSTAL_OK);
        CHECK_INT(lines.count, call);
    }
    skypostal_client_free(client);
}

static void without_a_callback(const skypostal_update *update)
{
    static struct lines lines;
    skypostal_client *client = logging_client(NULL, NULL, &lines);

    check_about = "no log";
    CHECK_INT(skypostal_client_update_personal_info(client, update, NULL, NULL), SKYPOSTAL_OK);
    CHECK_INT(lines.count, 0);
    skypostal_client_free(client);
}

/* The server never responds. The client would wait for 30 s. */
static void a_timeout_of_its_own(skypostal_update *update)
{
    char url[64];
    int listener = listen_here(url, "http");
    skypostal_client *client = new_client(url);
    skypostal_bulk *bulk = NULL;
    skypostal_outcome *outcome = NULL;
    skypostal_error *error = NULL;
    struct call call = {0};
    time_t started = time(NULL);

    check_about = "timeout";
    CHECK_INT(skypostal_update_set_timeout_ms(update, 60), SKYPOSTAL_OK);
    CHECK_INT(skypostal_client_update_personal_info(client, update, NULL, &error),
              SKYPOSTAL_TIMEOUT);
    CHECK_HOLDS(skypostal_error_message(error), "0.06 s");
    skypostal_error_free(error);
    CHECK_INT(skypostal_bulk_new(client, 1, 0, &bulk, NULL), SKYPOSTAL_OK);
    CHECK_INT(skypostal_bulk_submit(bulk, update), SKYPOSTAL_OK);
    CHECK_INT(skypostal_bulk_next(bulk, &outcome, NULL), SKYPOSTAL_OK);
    CHECK_HOLDS(skypostal_error_message(skypostal_outcome_error(outcome)), "0.06 s");
    skypostal_outcome_free(outcome);
    skypostal_bulk_free(bulk);
    CHECK(time(NULL) - started < 20);
    close(listener);

    check_about = "the client's timeout again";
    listener = listen_here(url, "http");
    skypostal_client_free(client);
    client = new_client(url);
    CHECK_INT(skypostal_update_set_timeout_ms(update, 0), SKYPOSTAL_OK);
    begin_call(&call, client, update);
    {
        const struct timespec longer = {.tv_nsec = 200000000};
        int connection = accept_request(listener);
        nanosleep(&longer, NULL);
        respond(connection, accepted);
    }
    end_call(&call);
    CHECK_INT(call.result, SKYPOSTAL_OK);
    free_call(&call);
    skypostal_client_free(client);
    close(listener);
}

static void *work(void *nothing)
{
    skypostal_update *update = new_update();
    of_a_retry(update);
    of_a_bulk(update);
    of_a_call_by_the_callback(update);
    without_a_callback(update);
    a_timeout_of_its_own(update);
    skypostal_update_free(update);
    return nothing;
}

int main(void)
{
    return run_on_a_thread(work);
}
