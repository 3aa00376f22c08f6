/* A host without standard streams: what it prints goes into no connection. */
#include "support.h"

#include <fcntl.h>

static skypostal_client *client;

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
        CHECK_INT(send_name(client, "A"), SKYPOSTAL_OK);
        check_streams();
        close_streams();
        send_name_in_bulk(client, "A");
        check_streams();
        CHECK_INT(send_name(client, "A"), SKYPOSTAL_OK);
        send_name_in_bulk(client, "A");
        skypostal_client_free(client);
    }
    dup2(kept, 2);
    return check_result();
}
