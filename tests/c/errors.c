/* Errors: what went wrong, where, how often it was tried, and whether the customer was changed. */
#include "support.h"

#define KEY "YpbCNpzqxYqVWv+tzg4e4Ex6ALiT+DfKSYA3NY2dZcw="

struct expected {
    int result, delivery, attempts, http_status;
    int64_t retry_after_ms;
    int system_error;
    const char *description, *location, *body, *message; /* body and message: what they hold */
};

static void check_error(const skypostal_error *error, int result, const struct expected *expected)
{
    const char *texts[] = {skypostal_error_message(error), skypostal_error_description(error),
                           skypostal_error_location(error), skypostal_error_body(error)};
    const char *keys[] = {getenv("SKYPOSTAL_APP_KEY"), getenv("SKYPOSTAL_CUSTOMER_KEY")};
    size_t text, key;

    CHECK_INT(result, expected->result);
    CHECK_INT(skypostal_error_kind(error), expected->result);
    CHECK_INT(skypostal_error_delivery(error), expected->delivery);
    CHECK_INT(skypostal_error_attempts(error), expected->attempts);
    CHECK_INT(skypostal_error_http_status(error), expected->http_status);
    CHECK_INT(skypostal_error_retry_after_ms(error), expected->retry_after_ms);
    CHECK_INT(skypostal_error_system_error(error), expected->system_error);
    CHECK_TEXT(skypostal_error_field(error), NULL);
    CHECK_TEXT(skypostal_error_description(error), expected->description);
    CHECK_TEXT(skypostal_error_location(error), expected->location);
    CHECK_HOLDS(skypostal_error_message(error), expected->message);
    CHECK(strpbrk(skypostal_error_message(error), "\r\n") == NULL);
    if (expected->body)
        CHECK_HOLDS(skypostal_error_body(error), expected->body);
    else
        CHECK_TEXT(skypostal_error_body(error), NULL);
    for (text = 0; text < COUNT(texts); text++)
        for (key = 0; key < COUNT(keys); key++)
            CHECK(texts[text] == NULL || strstr(texts[text], keys[key]) == NULL);
}

/* A call that needs no server. */
static void fail(const skypostal_client *client, const skypostal_update *update,
                 const struct expected *expected)
{
    void *garbage = &check_count;
    skypostal_personal_info *info = garbage;
    skypostal_error *error = garbage;
    int result = skypostal_client_update_personal_info(client, update, &info, &error);
    CHECK(info == NULL);
    check_error(error, result, expected);
    skypostal_error_free(error);
}

static void of_the_sandbox(const skypostal_update *update)
{
    static const struct expected refused = {
        SKYPOSTAL_REFUSED, SKYPOSTAL_DELIVERY_REJECTED, 1, 0, -1, 0,
        "user_code and app_key do not match", "app_key", NULL, "refused the update"};
    static const struct expected not_found = {
        SKYPOSTAL_STATUS, SKYPOSTAL_DELIVERY_REJECTED, 1, 404, -1, 0,
        NULL, NULL, "Endpoint not found.", "HTTP 404; check base_url (delivery rejected, 1 attempt)"};
    skypostal_update *with_wrong_key = new_update();
    skypostal_client *client = new_client(NULL);
    char url[128];

    check_about = "refused";
    skypostal_update_set_app_key(with_wrong_key, "not the key");
    fail(client, with_wrong_key, &refused);
    skypostal_client_free(client);
    skypostal_update_free(with_wrong_key);

    check_about = "not found";
    snprintf(url, sizeof(url), "%s/elsewhere", getenv("SKYPOSTAL_BASE_URL"));
    client = new_client(url);
    fail(client, update, &not_found);
    skypostal_client_free(client);
}

/* A response for each kind of error; NULL closes the connection without one. */
static void of_responses(const skypostal_update *update)
{
    static const struct {
        const char *response;
        struct expected expected;
    } rows[] = {
        {NULL,
         {SKYPOSTAL_LOST, SKYPOSTAL_DELIVERY_UNKNOWN, 1, 0, -1, 0, NULL, NULL, NULL, "lost"}},
        {"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n[{",
         {SKYPOSTAL_LOST, SKYPOSTAL_DELIVERY_UNKNOWN, 1, 0, -1, 0, NULL, NULL, NULL, "lost"}},
        {"HTTP/1.1 503 \r\nRetry-After: 7\r\nContent-Length: 0\r\n\r\n",
         {SKYPOSTAL_STATUS, SKYPOSTAL_DELIVERY_UNKNOWN, 1, 503, 7000, 0, NULL, NULL, "",
          "HTTP 503"}},
        {"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n<html>" KEY "</html>",
         {SKYPOSTAL_STATUS, SKYPOSTAL_DELIVERY_UNKNOWN, 1, 400, -1, 0, NULL, NULL,
          "<html>***</html>", "HTTP 400"}},
        {"HTTP/1.1 302 Found\r\nLocation: http://192.0.2.1/\r\nContent-Length: 0\r\n\r\n",
         {SKYPOSTAL_STATUS, SKYPOSTAL_DELIVERY_REJECTED, 1, 302, -1, 0, NULL, NULL, "",
          "HTTP 302"}},
        {"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]",
         {SKYPOSTAL_RESPONSE, SKYPOSTAL_DELIVERY_UNKNOWN, 1, 0, -1, 0, NULL, NULL, "[]",
          "not in the documented form"}},
        {"220 mail.example.com ESMTP\r\n\r\n",
         {SKYPOSTAL_RESPONSE, SKYPOSTAL_DELIVERY_UNKNOWN, 1, 0, -1, 0, NULL, NULL, "", "HTTP"}},
        {"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n[{\"_verify\":false,\"error\":{"
         "\"error_description\":\"down, " KEY "\",\"error_location\":\"Db\\nline 2\","
         "\"system_error\":true}}]",
         {SKYPOSTAL_REFUSED, SKYPOSTAL_DELIVERY_UNKNOWN, 1, 0, -1, 1, "down, ***", "Db line 2",
          NULL, "down, *** (at Db line 2)"}},
        {"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n[{\"_verify\":true,\"error\":{"
         "\"error_description\":\"done, but\",\"system_error\":false}}]",
         {SKYPOSTAL_REFUSED, SKYPOSTAL_DELIVERY_UNKNOWN, 1, 0, -1, 0, "done, but", "", NULL,
          "the service reported an error: done, but; the change may have been made"}},
    };
    char url[64];
    int listener = listen_here(url, "http");
    skypostal_client *client = new_client(url);
    size_t row;

    for (row = 0; row < COUNT(rows); row++) {
        const char *response = rows[row].response ? rows[row].response : "";
        struct call call = {0};
        check_about = response;
        begin_call(&call, client, update);
        respond(accept_request(listener), response);
        end_call(&call);
        CHECK(call.info == NULL);
        check_error(call.error, call.result, &rows[row].expected);
        free_call(&call);
    }
    skypostal_client_free(client);
    close(listener);
}

/* What helps SkyPostal to find the call, and nothing else of the response's head. */
static void of_headers(const skypostal_update *update)
{
    char url[64];
    int listener = listen_here(url, "http");
    skypostal_client *client = new_client(url);
    struct call call = {0};

    check_about = "headers";
    begin_call(&call, client, update);
    respond(accept_request(listener),
            "HTTP/1.1 500 Oops\r\nServer: Microsoft-IIS/10.0\r\nX-Request-Id: 7 " KEY "\r\n"
            "Set-Cookie: a=b\r\nContent-Length: 0\r\n\r\n");
    end_call(&call);
    CHECK_INT(call.result, SKYPOSTAL_STATUS);
    CHECK_TEXT(skypostal_error_response_headers(call.error),
               "server: Microsoft-IIS/10.0\nx-request-id: 7 ***");
    free_call(&call);
    skypostal_client_free(client);
    close(listener);
}

static void of_connections(const skypostal_update *update)
{
    static const struct expected timed_out = {
        SKYPOSTAL_TIMEOUT, SKYPOSTAL_DELIVERY_UNKNOWN, 1, 0, -1, 0, NULL, NULL, NULL, "0.05 s"};
    static const struct expected no_tls = {
        SKYPOSTAL_TLS, SKYPOSTAL_DELIVERY_NOT_SENT, 1, 0, -1, 0, NULL, NULL, NULL, "secure"};
    static const struct expected no_connection = {
        SKYPOSTAL_CONNECT, SKYPOSTAL_DELIVERY_NOT_SENT, 2, 0, -1, 0, NULL, NULL, NULL,
        "(delivery not_sent, 2 attempts)"};
    char url[64];
    int listener = listen_here(url, "http");
    skypostal_options *options = skypostal_options_new();
    skypostal_client *client = NULL;

    check_about = "a server that never responds";
    skypostal_options_read_environment(options);
    skypostal_options_set_base_url(options, url);
    skypostal_options_set_timeout_ms(options, 50);
    CHECK_INT(skypostal_client_new(options, &client, NULL), SKYPOSTAL_OK);
    fail(client, update, &timed_out);
    CHECK_TEXT(skypostal_error_response_headers(NULL), NULL);
    skypostal_client_free(client);

    check_about = "no server listens";
    close(listener);
    skypostal_options_set_timeout_ms(options, 10000);
    skypostal_options_set_max_retries(options, 1);
    CHECK_INT(skypostal_client_new(options, &client, NULL), SKYPOSTAL_OK);
    skypostal_options_free(options);
    fail(client, update, &no_connection);
    skypostal_client_free(client);

    check_about = "a server without TLS";
    listener = listen_here(url, "https");
    client = new_client(url);
    {
        struct call call = {0};
        char hello[4096];
        int connection;
        begin_call(&call, client, update);
        connection = accept(listener, NULL, NULL);
        CHECK(recv(connection, hello, sizeof(hello), 0) > 0);
        respond(connection, "HTTP/1.1 400 Bad Request\r\n\r\n");
        end_call(&call);
        check_error(call.error, call.result, &no_tls);
        free_call(&call);
    }
    skypostal_client_free(client);
    close(listener);
}

static void *work(void *nothing)
{
    skypostal_update *update = new_update();
    CHECK_TEXT(getenv("SKYPOSTAL_CUSTOMER_KEY"), KEY);
    of_the_sandbox(update);
    of_responses(update);
    of_headers(update);
    of_connections(update);
    skypostal_update_free(update);
    return nothing;
}

int main(void)
{
    return run_on_a_thread(work);
}
