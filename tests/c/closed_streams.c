/* A host without standard streams: what it prints goes into no connection. */
#include "support.h"

#include <fcntl.h>

static skypostal_client *client;

static int call(const char *name)
{
    skypostal_update *update = new_update();
    int result;
    skypostal_update_set_customer_first_name(update, name);
    result = skypostal_client_update_personal_info(client, update, NULL, NULL);
    skypostal_update_free(update);
    return result;
}

/* The same as a bulk of one row. */
static void run(const char *name)
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

static void close_streams(void)
{
    int stream;
    for (stream = 0; stream <= 2; stream++)
        close(stream);
}

/* The host prints as ever, and neither a connection nor a file gets it. */
static void check_streams(void)
{
    int stream;
    for (stream = 0; stream <= 2; stream++) {
        char byte = 'x';
        CHECK_INT(write(stream, &byte, 1), -1);
        CHECK_INT(read(stream, &byte, 1), -1);
        CHECK(fcntl(stream, F_GETFD) & FD_CLOEXEC);
    }
}

/* The host closes its streams before the first connection, and again before a later one. */
int main(void)
{
    int kept = fcntl(2, F_DUPFD_CLOEXEC, 50), round;

    for (round = 0; round < 3; round++) {
        client = new_client(NULL);
        close_streams();
        CHECK_INT(call("A"), SKYPOSTAL_OK);
        check_streams();
        close_streams();
        run("A");
        check_streams();
        CHECK_INT(call("A"), SKYPOSTAL_OK);
        run("A");
        skypostal_client_free(client);
    }
    dup2(kept, 2);
    return check_result();
}
