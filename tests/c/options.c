/* Every option: its check, what is remembered, and which source wins. */
#include "support.h"

#include <limits.h>

typedef int (*set_text)(skypostal_options *, const char *);

/* Makes a client, which must fail because of this option, or succeed when it is NULL. */
static void make(const skypostal_options *options, int result, const char *field)
{
    void *garbage = &check_count;
    skypostal_client *client = garbage;
    skypostal_error *error = garbage;
    CHECK_INT(skypostal_client_new(options, &client, &error), result);
    if (result == SKYPOSTAL_OK) {
        CHECK(client != NULL && error == NULL);
    } else {
        CHECK(client == NULL);
        CHECK_INT(skypostal_error_kind(error), result);
        CHECK_TEXT(skypostal_error_field(error), field);
        CHECK_HOLDS(skypostal_error_message(error), field);
        CHECK(strstr(skypostal_error_message(error), "s3cret") == NULL);
        CHECK_INT(skypostal_error_delivery(error), SKYPOSTAL_DELIVERY_NOT_SENT);
        CHECK_INT(skypostal_error_attempts(error), 0);
        CHECK_INT(skypostal_client_new(options, &client, NULL), result);
    }
    skypostal_error_free(error);
    skypostal_client_free(client);
}

/* Sends an update that brings these credentials of its own, if any. */
static void call(const skypostal_options *options, int64_t user_code, const char *app_key,
                 int result, const char *field)
{
    skypostal_update *update = new_update();
    skypostal_client *client = NULL;
    skypostal_error *error = NULL;
    if (user_code)
        CHECK_INT(skypostal_update_set_user_code(update, user_code), SKYPOSTAL_OK);
    CHECK_INT(skypostal_update_set_app_key(update, app_key), SKYPOSTAL_OK);
    CHECK_INT(skypostal_client_new(options, &client, NULL), SKYPOSTAL_OK);
    CHECK_INT(skypostal_client_update_personal_info(client, update, NULL, &error), result);
    CHECK_TEXT(skypostal_error_field(error), field);
    skypostal_error_free(error);
    skypostal_client_free(client);
    skypostal_update_free(update);
}

static void texts(void)
{
    static const struct {
        const char *field;
        set_text set;
        int result;
        const char *bad[16], *good[8];
    } rows[] = {
        {"app_key", skypostal_options_set_app_key, SKYPOSTAL_INVALID_FIELD,
         {"", " ", "s3cret\n", "s3cret\xFF"}, {"a key"}},
        {"environment", skypostal_options_set_environment, SKYPOSTAL_CONFIGURATION,
         {"", "Test", "prod", " test", "\xFF"}, {"test", "production"}},
        {"base_url", skypostal_options_set_base_url, SKYPOSTAL_CONFIGURATION,
         {"", "nonsense", "localhost:8080", "ftp://localhost", "https://u:s3cret@localhost",
          "https://localhost?s3cret", "https://localhost#s3cret", "https://", "https://localhost:0",
          "https://localhost:65536", " https://localhost", "https://\xFF", "'https://localhost'",
          "https://localhost/wcf-services/service-customer.svc/customer/customer-update-personal-info",
          "https://localhost/wcf-services/"},
         {"http://localhost", "http://a.localhost:8080/base/", "http://127.8.9.1", "http://[::1]",
          "http://[::ffff:127.0.0.1]:80"}},
        {"proxy", skypostal_options_set_proxy, SKYPOSTAL_CONFIGURATION,
         {"", "http://", "socks5://localhost:1", "http://u:s3cret@localhost:0", "http://a b:1",
          "\xFF", "http://u:1/s3cret@localhost", "http://u:1?s3cret@localhost",
          "http://s3cret#@localhost", "http://s3cret\\u:p@localhost", "http://u:s3cret @localhost",
          "http://localhost/proxy.pac"},
         {"http://127.0.0.1:3128", "http://user:s3cret@proxy.test:3128", "proxy.test:3128"}},
        {"user_agent", skypostal_options_set_user_agent, SKYPOSTAL_CONFIGURATION,
         {"", " ", "a\nb", "a\r\nX-Header: 1", "a\x7F", "caf\xC3\xA9", "\xFF"},
         {"shop/1.2", "shop/1.2 (legacy; AIX)", " ~ "}},
    };
    size_t row, at;

    for (row = 0; row < COUNT(rows); row++) {
        skypostal_options *options = skypostal_options_new();
        check_about = rows[row].field;
        for (at = 0; at < COUNT(rows[row].bad) && rows[row].bad[at]; at++) {
            CHECK_INT(rows[row].set(options, rows[row].bad[at]), rows[row].result);
            make(options, rows[row].result, rows[row].field);
        }
        for (at = 0; at < COUNT(rows[row].good) && rows[row].good[at]; at++) {
            CHECK_INT(rows[row].set(options, ""), rows[row].result);
            CHECK_INT(rows[row].set(options, rows[row].good[at]), SKYPOSTAL_OK);
            make(options, SKYPOSTAL_OK, NULL);
        }
        CHECK_INT(rows[row].set(options, ""), rows[row].result);
        CHECK_INT(rows[row].set(options, NULL), SKYPOSTAL_OK);
        make(options, SKYPOSTAL_OK, NULL);
        skypostal_options_free(options);
    }
}

static void numbers(void)
{
    skypostal_options *options = skypostal_options_new();

    check_about = "numbers";
    CHECK_INT(skypostal_options_set_user_code(options, 0), SKYPOSTAL_INVALID_FIELD);
    make(options, SKYPOSTAL_INVALID_FIELD, "user_code");
    CHECK_INT(skypostal_options_set_user_code(options, -396), SKYPOSTAL_INVALID_FIELD);
    CHECK_INT(skypostal_options_set_user_code(options, INT64_MAX), SKYPOSTAL_OK);
    CHECK_INT(skypostal_options_set_timeout_ms(options, 0), SKYPOSTAL_CONFIGURATION);
    CHECK_INT(skypostal_options_set_connect_timeout_ms(options, 0), SKYPOSTAL_CONFIGURATION);
    CHECK_INT(skypostal_options_set_user_code(options, INT64_MIN), SKYPOSTAL_INVALID_FIELD);
    CHECK_INT(skypostal_options_set_user_code(options, 396), SKYPOSTAL_OK);
    CHECK_INT(skypostal_options_set_max_retries(options, INT_MAX), SKYPOSTAL_OK);
    CHECK_INT(skypostal_options_set_max_retries(options, INT_MIN), SKYPOSTAL_CONFIGURATION);
    CHECK_INT(skypostal_options_set_max_retries(options, -1), SKYPOSTAL_CONFIGURATION);
    make(options, SKYPOSTAL_CONFIGURATION, "timeout");
    CHECK_INT(skypostal_options_set_timeout_ms(options, 1), SKYPOSTAL_OK);
    make(options, SKYPOSTAL_CONFIGURATION, "connect_timeout");
    CHECK_INT(skypostal_options_set_connect_timeout_ms(options, UINT32_MAX), SKYPOSTAL_OK);
    make(options, SKYPOSTAL_CONFIGURATION, "max_retries");
    CHECK_INT(skypostal_options_set_max_retries(options, 0), SKYPOSTAL_OK);
    make(options, SKYPOSTAL_OK, NULL);
    CHECK_INT(skypostal_options_set_trust_env(options, INT_MAX), SKYPOSTAL_CONFIGURATION);
    CHECK_INT(skypostal_options_set_trust_env(options, 2), SKYPOSTAL_CONFIGURATION);
    CHECK_INT(skypostal_options_set_allow_http(options, INT_MIN), SKYPOSTAL_CONFIGURATION);
    CHECK_INT(skypostal_options_set_allow_http(options, -1), SKYPOSTAL_CONFIGURATION);
    make(options, SKYPOSTAL_CONFIGURATION, "trust_env");
    CHECK_INT(skypostal_options_set_trust_env(options, 0), SKYPOSTAL_OK);
    make(options, SKYPOSTAL_CONFIGURATION, "allow_http");
    CHECK_INT(skypostal_options_set_allow_http(options, 0), SKYPOSTAL_OK);
    CHECK_INT(skypostal_options_set_trust_env(options, 1), SKYPOSTAL_OK);
    make(options, SKYPOSTAL_OK, NULL);
    CHECK_INT(skypostal_options_set_ca_file(options, ""), SKYPOSTAL_CONFIGURATION);
    make(options, SKYPOSTAL_CONFIGURATION, "ca_file");
    /* A path that is no UTF-8. */
#ifdef _WIN32
    CHECK_INT(skypostal_options_set_ca_file(options, "caf\xE9"), SKYPOSTAL_CONFIGURATION);
#else
    CHECK_INT(skypostal_options_set_ca_file(options, "caf\xE9"), SKYPOSTAL_OK);
#endif
    make(options, SKYPOSTAL_CONFIGURATION, "ca_file");
    CHECK_INT(skypostal_options_set_ca_file(options, NULL), SKYPOSTAL_OK);
    make(options, SKYPOSTAL_OK, NULL);
    skypostal_options_free(options);
}

/* Plain http:// stays on this machine unless it is allowed to leave. */
static void plain_http(void)
{
    static const char *const urls[] = {"http://api-box-test.skypostal.com", "http://192.0.2.1",
                                       "http://0.0.0.0", "http://localhost.example.com",
                                       "http://[::]"};
    size_t row;

    for (row = 0; row < COUNT(urls); row++) {
        skypostal_options *options = skypostal_options_new();
        check_about = urls[row];
        CHECK_INT(skypostal_options_set_base_url(options, urls[row]), SKYPOSTAL_OK);
        make(options, SKYPOSTAL_CONFIGURATION, "base_url");
        CHECK_INT(skypostal_options_set_allow_http(options, 1), SKYPOSTAL_OK);
        make(options, SKYPOSTAL_OK, NULL);
        CHECK_INT(skypostal_options_set_allow_http(options, 0), SKYPOSTAL_OK);
        make(options, SKYPOSTAL_CONFIGURATION, "base_url");
        skypostal_options_free(options);
    }
}

static void ca_file(const char *program)
{
    skypostal_options *options = skypostal_options_new();

    check_about = "ca_file";
    CHECK_INT(skypostal_options_set_ca_file(options, "/no/such/file"), SKYPOSTAL_OK);
    make(options, SKYPOSTAL_CONFIGURATION, "ca_file");
    CHECK_INT(skypostal_options_set_ca_file(options, program), SKYPOSTAL_OK);
    make(options, SKYPOSTAL_CONFIGURATION, "ca_file");
    CHECK_INT(skypostal_options_set_ca_file(options, NULL), SKYPOSTAL_OK);
    make(options, SKYPOSTAL_OK, NULL);
    skypostal_options_free(options);
}

/* Without credentials a client can be made, and each call that brings none is refused. */
static void missing_credentials(const char *url, const char *app_key)
{
    skypostal_options *options = skypostal_options_new();

    check_about = "missing credentials";
    CHECK_INT(skypostal_options_set_base_url(options, url), SKYPOSTAL_OK);
    call(options, 0, NULL, SKYPOSTAL_CONFIGURATION, "user_code");
    call(options, 0, app_key, SKYPOSTAL_CONFIGURATION, "user_code");
    call(options, 396, NULL, SKYPOSTAL_CONFIGURATION, "app_key");
    call(options, 396, app_key, SKYPOSTAL_OK, NULL);
    CHECK_INT(skypostal_options_set_user_code(options, 396), SKYPOSTAL_OK);
    CHECK_INT(skypostal_options_set_app_key(options, "not the key"), SKYPOSTAL_OK);
    call(options, 0, NULL, SKYPOSTAL_REFUSED, NULL);
    call(options, 0, app_key, SKYPOSTAL_OK, NULL);
    skypostal_options_free(options);
}

static void environment(const char *url, const char *app_key)
{
    static const struct {
        const char *variable, *bad, *good, *field;
        int result;
    } rows[] = {
        {"SKYPOSTAL_USER_CODE", "x", "396", "user_code", SKYPOSTAL_INVALID_FIELD},
        {"SKYPOSTAL_USER_CODE", "-1", "396", "user_code", SKYPOSTAL_INVALID_FIELD},
        {"SKYPOSTAL_APP_KEY", "\n", "a key", "app_key", SKYPOSTAL_INVALID_FIELD},
        {"SKYPOSTAL_ENVIRONMENT", "prod", "test", "environment", SKYPOSTAL_CONFIGURATION},
        {"SKYPOSTAL_BASE_URL", "nonsense", "http://localhost", "base_url", SKYPOSTAL_CONFIGURATION},
    };
    skypostal_options *options;
    size_t row;
    int before;

    for (row = 0; row < COUNT(rows); row++) {
        check_about = rows[row].variable;
        options = skypostal_options_new();
        setenv(rows[row].variable, rows[row].bad, 1);
        make(options, SKYPOSTAL_OK, NULL);
        CHECK_INT(skypostal_options_read_environment(options), rows[row].result);
        make(options, rows[row].result, rows[row].field);
        setenv(rows[row].variable, rows[row].good, 1);
        CHECK_INT(skypostal_options_read_environment(options), SKYPOSTAL_OK);
        make(options, SKYPOSTAL_OK, NULL);
        setenv(rows[row].variable, rows[row].bad, 1);
        CHECK_INT(skypostal_options_read_environment(options), rows[row].result);
        unsetenv(rows[row].variable);
        CHECK_INT(skypostal_options_read_environment(options), SKYPOSTAL_OK);
        make(options, SKYPOSTAL_OK, NULL);
        skypostal_options_free(options);
    }

    /* A bad variable does not matter where a setter wins, and a good one corrects no setter. */
    for (before = 0; before < 2; before++) {
        check_about = before ? "setters, then bad variables" : "bad variables, then setters";
        options = skypostal_options_new();
        setenv("SKYPOSTAL_USER_CODE", "x", 1);
        setenv("SKYPOSTAL_BASE_URL", "nonsense", 1);
        if (!before)
            CHECK_INT(skypostal_options_read_environment(options), SKYPOSTAL_INVALID_FIELD);
        CHECK_INT(skypostal_options_set_user_code(options, 396), SKYPOSTAL_OK);
        CHECK_INT(skypostal_options_set_base_url(options, "http://localhost"), SKYPOSTAL_OK);
        if (before)
            CHECK_INT(skypostal_options_read_environment(options), SKYPOSTAL_INVALID_FIELD);
        make(options, SKYPOSTAL_OK, NULL);
        CHECK_INT(skypostal_options_set_base_url(options, NULL), SKYPOSTAL_OK);
        make(options, SKYPOSTAL_CONFIGURATION, "base_url");
        setenv("SKYPOSTAL_USER_CODE", "396", 1);
        setenv("SKYPOSTAL_BASE_URL", "http://localhost", 1);
        CHECK_INT(skypostal_options_set_user_code(options, -396), SKYPOSTAL_INVALID_FIELD);
        CHECK_INT(skypostal_options_read_environment(options), SKYPOSTAL_OK);
        make(options, SKYPOSTAL_INVALID_FIELD, "user_code");
        skypostal_options_free(options);
    }

    check_about = "the environment";
    setenv("SKYPOSTAL_USER_CODE", "396", 1);
    setenv("SKYPOSTAL_APP_KEY", app_key, 1);
    setenv("SKYPOSTAL_BASE_URL", url, 1);
    setenv("SKYPOSTAL_ENVIRONMENT", "", 1);
    options = skypostal_options_new();
    CHECK_INT(skypostal_options_set_base_url(options, url), SKYPOSTAL_OK);
    call(options, 0, NULL, SKYPOSTAL_CONFIGURATION, "user_code");
    CHECK_INT(skypostal_options_read_environment(options), SKYPOSTAL_OK);
    call(options, 0, NULL, SKYPOSTAL_OK, NULL);
    skypostal_options_free(options);

    /* What a setter sets wins, before and after; unset, it is the environment's turn. */
    setenv("SKYPOSTAL_USER_CODE", "1", 1);
    setenv("SKYPOSTAL_APP_KEY", "not the key", 1);
    setenv("SKYPOSTAL_BASE_URL", "http://127.0.0.1:9", 1);
    for (before = 0; before < 2; before++) {
        options = skypostal_options_new();
        check_about = before ? "setters, then the environment" : "the environment, then setters";
        if (!before)
            CHECK_INT(skypostal_options_read_environment(options), SKYPOSTAL_OK);
        CHECK_INT(skypostal_options_set_user_code(options, 396), SKYPOSTAL_OK);
        CHECK_INT(skypostal_options_set_app_key(options, app_key), SKYPOSTAL_OK);
        CHECK_INT(skypostal_options_set_base_url(options, url), SKYPOSTAL_OK);
        if (before)
            CHECK_INT(skypostal_options_read_environment(options), SKYPOSTAL_OK);
        call(options, 0, NULL, SKYPOSTAL_OK, NULL);
        CHECK_INT(skypostal_options_set_app_key(options, NULL), SKYPOSTAL_OK);
        call(options, 0, NULL, SKYPOSTAL_REFUSED, NULL);
        CHECK_INT(skypostal_options_set_max_retries(options, 0), SKYPOSTAL_OK);
        CHECK_INT(skypostal_options_set_base_url(options, NULL), SKYPOSTAL_OK);
        call(options, 0, NULL, SKYPOSTAL_CONNECT, NULL);
        skypostal_options_free(options);
    }
}

int main(int argc, char **argv)
{
    /* Taken out of the environment: what is read from there is set here. */
    char *url = strdup(getenv("SKYPOSTAL_BASE_URL")), *key = strdup(getenv("SKYPOSTAL_APP_KEY"));
    unsetenv("SKYPOSTAL_BASE_URL");
    unsetenv("SKYPOSTAL_APP_KEY");
    unsetenv("SKYPOSTAL_USER_CODE");
    CHECK_INT(argc, 1);
    texts();
    numbers();
    plain_http();
    ca_file(argv[0]);
    missing_credentials(url, key);
    environment(url, key);
    free(url);
    free(key);
    return check_result();
}
