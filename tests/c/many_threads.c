/* One client and 64 threads, for ThreadSanitizer and without it. The argument says which: "allowed",
 * what the header allows, all at once; or "forbidden", what it forbids, for the proof that
 * ThreadSanitizer sees it. */
#include "support.h"

#include <time.h>

#ifdef __SANITIZE_THREAD__
/* What newer compilers call in place of C's functions. gcc's runtime watches those as well, and it
 * may be too old to know these. */
void *__tsan_memcpy(void *to, const void *from, size_t size) { return memcpy(to, from, size); }
void *__tsan_memmove(void *to, const void *from, size_t size) { return memmove(to, from, size); }
void *__tsan_memset(void *to, int byte, size_t size) { return memset(to, byte, size); }
#endif

#define THREADS 64
#define ROUNDS 4
#define CANCELS 20
#define BULK_ROWS 6

static const skypostal_client *client;  /* its calls are also cancelled */
static const skypostal_client *hasty;   /* gives up before the server responds */
static const skypostal_client *nowhere; /* tries again where no server listens */
static skypostal_personal_info *everyones_info; /* both are read by all threads at once */
static skypostal_error *everyones_error;

struct worker {
    int number;
    int good, cancelled, timed_out, unconnected;
    char odd[256]; /* the first outcome that was not to be, or empty */
    skypostal_personal_info *info;
    pthread_t thread;
};

static void sleep_ms(long milliseconds)
{
    struct timespec time = {0, milliseconds * 1000000};
    nanosleep(&time, NULL);
}

static void odd(struct worker *worker, const char *what, int result, const skypostal_error *error)
{
    const char *message = error ? skypostal_error_message(error) : "no error";
    if (worker->odd[0] == '\0')
        snprintf(worker->odd, sizeof(worker->odd), "%s: %s (%s)", what,
                 skypostal_strerror(result), message);
}

/* The response to this thread's own update of this round; what is cancelled is sent again. */
static void update_with(struct worker *worker, const skypostal_client *with, int round)
{
    skypostal_update *update = new_update();
    char name[32];
    int result;

    snprintf(name, sizeof(name), "Thread %d round %d", worker->number, round);
    skypostal_update_set_customer_first_name(update, name);
    do {
        skypostal_personal_info *info = NULL;
        skypostal_error *error = NULL;
        result = skypostal_client_update_personal_info(with, update, &info, &error);
        if (result == SKYPOSTAL_CANCELLED && skypostal_error_kind(error) == SKYPOSTAL_CANCELLED)
            worker->cancelled++;
        else if (result != SKYPOSTAL_OK)
            odd(worker, "an update", result, error);
        else if (strcmp(skypostal_personal_info_customer_first_name(info), name) != 0)
            odd(worker, skypostal_personal_info_customer_first_name(info), result, error);
        else
            worker->good++;
        skypostal_error_free(error);
        skypostal_personal_info_free(worker->info);
        worker->info = info; /* the last one is read and freed by the main thread */
    } while (result == SKYPOSTAL_CANCELLED);
    skypostal_update_free(update);
}

/* A bulk of this thread's own, of a client that is cancelled meanwhile. */
static void update_many_with(struct worker *worker, const skypostal_client *with)
{
    skypostal_update *update = new_update();
    skypostal_bulk *bulk = NULL;
    int submitted = 0, taken = 0;

    CHECK_INT(skypostal_bulk_new(with, 2, 0, &bulk, NULL), SKYPOSTAL_OK);
    for (;;) {
        const skypostal_personal_info *info;
        skypostal_outcome *outcome = NULL;
        skypostal_error *stopped = NULL;
        char name[32];
        int result;
        while (submitted < BULK_ROWS && skypostal_bulk_capacity(bulk) > 0) {
            snprintf(name, sizeof(name), "Thread %d row %d", worker->number, submitted);
            skypostal_update_set_customer_first_name(update, name);
            if (skypostal_bulk_submit(bulk, update) != SKYPOSTAL_OK)
                break;
            submitted++;
        }
        result = skypostal_bulk_next(bulk, &outcome, &stopped);
        if (outcome == NULL) {
            if (result == SKYPOSTAL_CANCELLED)
                worker->cancelled++;
            else if (result != SKYPOSTAL_OK)
                odd(worker, "a bulk", result, stopped);
            skypostal_error_free(stopped);
            break;
        }
        CHECK_INT(result, SKYPOSTAL_OK);
        info = skypostal_outcome_info(outcome);
        result = skypostal_outcome_result(outcome);
        snprintf(name, sizeof(name), "Thread %d row %d", worker->number,
                 (int)skypostal_outcome_index(outcome));
        if (result == SKYPOSTAL_CANCELLED)
            worker->cancelled++;
        else if (result != SKYPOSTAL_OK)
            odd(worker, "a row", result, skypostal_outcome_error(outcome));
        else if (strcmp(skypostal_personal_info_customer_first_name(info), name) != 0)
            odd(worker, skypostal_personal_info_customer_first_name(info), result, NULL);
        skypostal_outcome_free(outcome);
        taken++;
    }
    CHECK_INT(taken, submitted);
    CHECK(submitted == BULK_ROWS || with == client);
    skypostal_bulk_free(bulk);
    skypostal_update_free(update);
}

/* A client of this thread's own, made and freed while others call. */
static void live(struct worker *worker, int round)
{
    skypostal_client *own = new_client(NULL);
    update_with(worker, own, round);
    update_many_with(worker, own);
    CHECK_INT(skypostal_client_cancel(own), SKYPOSTAL_OK);
    skypostal_client_free(own);
}

/* Each kind of error, with its texts. */
static void fail(struct worker *worker)
{
    skypostal_update *update = new_update();
    skypostal_error *error = NULL;
    int result;

    result = skypostal_client_update_personal_info(hasty, update, NULL, &error);
    if (result == SKYPOSTAL_TIMEOUT && strstr(skypostal_error_message(error), "0.05 s"))
        worker->timed_out++;
    else
        odd(worker, "a timeout", result, error);
    skypostal_error_free(error);

    result = skypostal_client_update_personal_info(nowhere, update, NULL, &error);
    if (result == SKYPOSTAL_CONNECT && skypostal_error_attempts(error) >= 1)
        worker->unconnected++;
    else
        odd(worker, "no connection", result, error);
    skypostal_error_free(error);

    skypostal_update_set_customer_gender(update, worker->number % 2 ? "X" : "Y");
    result = skypostal_client_update_personal_info(client, update, NULL, &error);
    if (result != SKYPOSTAL_INVALID_FIELD
        || strcmp(skypostal_error_field(error), "customer_gender") != 0)
        odd(worker, "an invalid field", result, error);
    skypostal_error_free(error);

    skypostal_update_set_customer_gender(update, NULL);
    skypostal_update_set_customer_key(update, "not the key");
    do {
        result = skypostal_client_update_personal_info(client, update, NULL, &error);
        if (result == SKYPOSTAL_CANCELLED)
            worker->cancelled++;
        else if (result != SKYPOSTAL_REFUSED || !skypostal_error_description(error)
                 || skypostal_error_delivery(error) != SKYPOSTAL_DELIVERY_REJECTED)
            odd(worker, "a refusal", result, error);
        skypostal_error_free(error);
    } while (result == SKYPOSTAL_CANCELLED);
    skypostal_update_free(update);
}

static void *work(void *data)
{
    struct worker *worker = data;
    const char *name = skypostal_personal_info_customer_first_name(everyones_info);
    const char *field = skypostal_error_field(everyones_error);
    int round;

    if (strcmp(name, "Everyone") != 0 || strcmp(field, "customer_first_name") != 0)
        odd(worker, "what everyone reads", SKYPOSTAL_OK, everyones_error);
    for (round = 0; round < ROUNDS; round++)
        update_with(worker, client, round);
    update_many_with(worker, client);
    fail(worker);
    live(worker, round);
    return NULL;
}

static skypostal_client *client_of(const char *url, unsigned timeout_ms, int max_retries)
{
    skypostal_options *options = skypostal_options_new();
    skypostal_client *made = NULL;
    skypostal_options_read_environment(options);
    skypostal_options_set_base_url(options, url);
    skypostal_options_set_timeout_ms(options, timeout_ms);
    skypostal_options_set_max_retries(options, max_retries);
    CHECK_INT(skypostal_client_new(options, &made, NULL), SKYPOSTAL_OK);
    skypostal_options_free(options);
    return made;
}

static void allowed(void)
{
    static struct worker workers[THREADS];
    skypostal_update *update = new_update();
    skypostal_client *clients[3];
    char url[64];
    int silent = listen_here(url, "http"), at, cancelled = 0;

    client = clients[0] = client_of(NULL, 60000, 0);
    hasty = clients[1] = client_of(url, 50, 0);
    nowhere = clients[2] = client_of("http://127.0.0.1:9", 60000, 1);
    skypostal_update_set_customer_first_name(update, "Everyone");
    CHECK_INT(skypostal_client_update_personal_info(client, update, &everyones_info, NULL),
              SKYPOSTAL_OK);
    skypostal_update_set_customer_first_name(update, "");
    CHECK_INT(skypostal_client_update_personal_info(client, update, NULL, &everyones_error),
              SKYPOSTAL_INVALID_FIELD);
    skypostal_update_free(update);
    for (at = 0; at < THREADS; at++) {
        workers[at].number = at;
        CHECK_INT(pthread_create(&workers[at].thread, NULL, work, &workers[at]), 0);
    }
    for (at = 0; at < CANCELS; at++) {
        sleep_ms(5 * at);
        CHECK_INT(skypostal_client_cancel(client), SKYPOSTAL_OK);
    }
    for (at = 0; at < THREADS; at++) {
        struct worker *worker = &workers[at];
        char last[32];
        CHECK_INT(pthread_join(worker->thread, NULL), 0);
        snprintf(last, sizeof(last), "Thread %d round %d", at, ROUNDS);
        CHECK_TEXT(worker->odd, "");
        CHECK_INT(worker->good, ROUNDS + 1);
        CHECK_INT(worker->timed_out, 1);
        CHECK_INT(worker->unconnected, 1);
        CHECK_TEXT(skypostal_personal_info_customer_first_name(worker->info), last);
        skypostal_personal_info_free(worker->info);
        cancelled += worker->cancelled;
    }
    CHECK(cancelled > 0);
    skypostal_personal_info_free(everyones_info);
    skypostal_error_free(everyones_error);
    for (at = 0; at < 3; at++)
        skypostal_client_free(clients[at]);
    close(silent);
}

static skypostal_update *shared;

static void *set_shared(void *name)
{
    int at;
    for (at = 0; at < 1000; at++)
        skypostal_update_set_customer_first_name(shared, name);
    return NULL;
}

static void forbidden(void)
{
    pthread_t threads[2];
    shared = new_update();
    CHECK_INT(pthread_create(&threads[0], NULL, set_shared, "One"), 0);
    CHECK_INT(pthread_create(&threads[1], NULL, set_shared, "Another"), 0);
    CHECK_INT(pthread_join(threads[0], NULL), 0);
    CHECK_INT(pthread_join(threads[1], NULL), 0);
    skypostal_update_free(shared);
}

int main(int argc, char **argv)
{
    const char *what = argc == 2 ? argv[1] : "";
    if (strcmp(what, "allowed") == 0)
        allowed();
    else if (strcmp(what, "forbidden") == 0)
        forbidden();
    return check_result();
}
