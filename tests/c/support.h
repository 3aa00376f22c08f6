/* Clients and updates with the credentials of the environment, and a server to be scripted. */
#ifndef SUPPORT_H
#define SUPPORT_H

#include <skypostal.h>

#include <pthread.h>

#include "check.h"
#include "posix.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* A client that never tries again; base_url NULL: SKYPOSTAL_BASE_URL. */
static inline skypostal_client *new_client(const char *base_url)
{
    skypostal_options *options = skypostal_options_new();
    skypostal_client *client = NULL;
    CHECK_INT(skypostal_options_read_environment(options), SKYPOSTAL_OK);
    CHECK_INT(skypostal_options_set_base_url(options, base_url), SKYPOSTAL_OK);
    CHECK_INT(skypostal_options_set_max_retries(options, 0), SKYPOSTAL_OK);
    CHECK_INT(skypostal_client_new(options, &client, NULL), SKYPOSTAL_OK);
    skypostal_options_free(options);
    return client;
}

/* An update of the customer of the environment that changes nothing yet. */
static inline skypostal_update *new_update(void)
{
    skypostal_update *update = skypostal_update_new();
    int64_t box_id = strtoll(getenv("SKYPOSTAL_CUSTOMER_BOX_ID"), NULL, 10);
    CHECK_INT(skypostal_update_set_customer_box_id(update, box_id), SKYPOSTAL_OK);
    CHECK_INT(skypostal_update_set_customer_key(update, getenv("SKYPOSTAL_CUSTOMER_KEY")),
              SKYPOSTAL_OK);
    return update;
}

/* A call with this name as the first name, or with none for NULL. */
static inline int send_name(const skypostal_client *client, const char *name)
{
    skypostal_update *update = new_update();
    int result;
    skypostal_update_set_customer_first_name(update, name);
    result = skypostal_client_update_personal_info(client, update, NULL, NULL);
    skypostal_update_free(update);
    return result;
}

/* The same as a bulk of one row, which the service accepts. */
static inline void send_name_in_bulk(const skypostal_client *client, const char *name)
{
    skypostal_update *update = new_update();
    skypostal_bulk *bulk = NULL;
    skypostal_outcome *outcome = NULL;
    CHECK_INT(skypostal_bulk_new(client, 1, 0, &bulk, NULL), SKYPOSTAL_OK);
    skypostal_update_set_customer_first_name(update, name);
    CHECK_INT(skypostal_bulk_submit(bulk, update), SKYPOSTAL_OK);
    CHECK_INT(skypostal_bulk_next(bulk, &outcome, NULL), SKYPOSTAL_OK);
    CHECK_INT(skypostal_outcome_index(outcome), 0);
    CHECK_INT(skypostal_outcome_result(outcome), SKYPOSTAL_OK);
    skypostal_outcome_free(outcome);
    skypostal_bulk_free(bulk);
    skypostal_update_free(update);
}

/* A call on a thread of its own, so that this one can play the server. */
struct call {
    const skypostal_client *client;
    const skypostal_update *update;
    skypostal_personal_info *info;
    skypostal_error *error;
    int result;
    pthread_t thread;
};

static inline void *run_call(void *data)
{
    struct call *call = data;
    call->result = skypostal_client_update_personal_info(call->client, call->update, &call->info,
                                                         &call->error);
    return NULL;
}

static inline void begin_call(struct call *call, const skypostal_client *client,
                              const skypostal_update *update)
{
    call->client = client;
    call->update = update;
    CHECK_INT(pthread_create(&call->thread, NULL, run_call, call), 0);
}

static inline void end_call(struct call *call)
{
    CHECK_INT(pthread_join(call->thread, NULL), 0);
}

static inline void free_call(struct call *call)
{
    skypostal_personal_info_free(call->info);
    skypostal_error_free(call->error);
}

/* For programs that valgrind watches: what Rust keeps for the main thread is not freed when that
 * ends, and the pointer to it is one that valgrind calls possibly lost. */
static inline int run_on_a_thread(void *(*work)(void *))
{
    pthread_t thread;
    CHECK_INT(pthread_create(&thread, NULL, work, NULL), 0);
    CHECK_INT(pthread_join(thread, NULL), 0);
    return check_result();
}

/* A socket that listens on this machine, and its URL with this scheme. */
static inline int listen_here(char url[64], const char *scheme)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof(address);
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    CHECK_INT(bind(listener, (struct sockaddr *)&address, length), 0);
    CHECK_INT(listen(listener, 16), 0);
    CHECK_INT(getsockname(listener, (struct sockaddr *)&address, &length), 0);
    snprintf(url, 64, "%s://127.0.0.1:%d", scheme, ntohs(address.sin_port));
    return listener;
}

/* The next connection, after its whole request was read. */
static inline int accept_request(int listener)
{
    int connection = accept(listener, NULL, NULL);
    char request[8192] = "";
    size_t length = 0;
    for (;;) {
        ssize_t got = recv(connection, request + length, sizeof(request) - 1 - length, 0);
        const char *head_end, *field;
        if (got <= 0)
            return connection;
        length += (size_t)got;
        request[length] = '\0';
        head_end = strstr(request, "\r\n\r\n");
        for (field = request; head_end && field < head_end; field++)
            if (strncasecmp(field, "\r\ncontent-length:", 17) == 0
                && length >= (size_t)(head_end + 4 - request) + strtoul(field + 17, NULL, 10))
                return connection;
    }
}

/* Sends a response, or nothing, and closes the connection. */
static inline void respond(int connection, const char *response)
{
    CHECK_INT(send(connection, response, strlen(response), MSG_NOSIGNAL), (long long)strlen(response));
    close(connection);
}

#endif
