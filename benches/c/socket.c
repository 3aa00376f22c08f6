/*
 * The limit: the bytes that ours sends, ready-made, written to a socket, and as many read as the response
 * has. Nothing is built, checked or parsed, no deadline is kept, and there is no TLS.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "worker.h"

#define BODY                                                                                       \
    "{\"user_code\":396,\"app_key\":\"" APP_KEY "\",\"customer_box_id\":811111,"                   \
    "\"customer_key\":\"" CUSTOMER_KEY "\",\"customer_first_name\":\"" FIRST_NAME "\","            \
    "\"customer_last_name\":\"" LAST_NAME "\",\"customer_birth_date\":\"" BIRTH_DATE "\","         \
    "\"customer_gender\":\"" GENDER "\"}"

struct session {
    int socket;
    char request[4096];
    size_t request_size;
    char response[65536];
};

void *session_new(const char *base_url, const char *path)
{
    struct session *session = calloc(1, sizeof *session);
    struct sockaddr_in address = {.sin_family = AF_INET};
    int port, on = 1;

    if (sscanf(base_url, "http://localhost:%d", &port) != 1)
        fail("a plain address of this machine is needed");
    address.sin_port = htons((uint16_t)port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    session->socket = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (connect(session->socket, (struct sockaddr *)&address, sizeof address) != 0)
        fail("no connection");
    setsockopt(session->socket, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    session->request_size = (size_t)snprintf(
        session->request, sizeof session->request,
        "POST %s HTTP/1.1\r\naccept: application/json\r\nuser-agent: skypostal/0.1.0\r\n"
        "content-type: application/json\r\nhost: localhost:%d\r\ncontent-length: %zu\r\n\r\n%s",
        path, port, strlen(BODY), BODY);
    return session;
}

int session_call(void *argument, struct info *info)
{
    static const struct info documented = {51736835, FIRST_NAME, LAST_NAME, "123456789",
                                           "0",      BIRTH_DATE, GENDER};
    struct session *session = argument;
    ssize_t size = send(session->socket, session->request, session->request_size, 0);
    const char *body, *length;
    size_t whole = 0, have = 0;

    if (size != (ssize_t)session->request_size)
        return -1;
    while (whole == 0 || have < whole) {
        size = recv(session->socket, session->response + have, sizeof session->response - 1 - have, 0);
        if (size <= 0)
            return -1;
        have += (size_t)size;
        session->response[have] = '\0';
        body = strstr(session->response, "\r\n\r\n");
        length = strstr(session->response, "Content-Length: ");
        if (whole == 0 && body != NULL && length != NULL)
            whole = (size_t)(body + 4 - session->response) + strtoul(length + 16, NULL, 10);
    }
    *info = documented;
    return strncmp(session->response, "HTTP/1.1 200", 12) == 0 ? 0 : -1;
}

void session_release(void *session) { (void)session; }

void session_free(void *argument)
{
    struct session *session = argument;

    close(session->socket);
    free(session);
}
