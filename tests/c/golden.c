/* The update of the service's documentation, and what comes back; prints the raw response. */
#include "support.h"

#define RESPONSE(json) "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" json

static void documented_update(void)
{
    void *garbage = &check_count;
    skypostal_client *client = new_client(NULL);
    skypostal_update *update = new_update();
    skypostal_personal_info *info = garbage;
    skypostal_error *error = garbage;

    CHECK_INT(skypostal_update_set_customer_first_name(update, "New Name"), SKYPOSTAL_OK);
    CHECK_INT(skypostal_update_set_customer_last_name(update, "New Last"), SKYPOSTAL_OK);
    CHECK_INT(skypostal_update_set_customer_identity_number(update, NULL), SKYPOSTAL_OK);
    CHECK_INT(skypostal_update_set_customer_tax_number(update, NULL), SKYPOSTAL_OK);
    CHECK_INT(skypostal_update_set_customer_birth_date(update, "1980-08-19"), SKYPOSTAL_OK);
    CHECK_INT(skypostal_update_set_customer_gender(update, "M"), SKYPOSTAL_OK);
    CHECK_INT(skypostal_client_update_personal_info(client, update, &info, &error), SKYPOSTAL_OK);
    CHECK(error == NULL);
    CHECK_INT(skypostal_personal_info_cust_id(info), 51736835);
    CHECK_TEXT(skypostal_personal_info_customer_first_name(info), "New Name");
    CHECK_TEXT(skypostal_personal_info_customer_last_name(info), "New Last");
    CHECK_TEXT(skypostal_personal_info_customer_identity_number(info), "123456789");
    CHECK_TEXT(skypostal_personal_info_customer_tax_number(info), "0");
    CHECK_TEXT(skypostal_personal_info_customer_birth_date(info), "1980-08-19");
    CHECK_TEXT(skypostal_personal_info_customer_gender(info), "M");
    printf("%s\n", skypostal_personal_info_raw(info));
    skypostal_personal_info_free(info);

    /* The same once more, by a caller who wants to know nothing but the result code. */
    CHECK_INT(skypostal_client_update_personal_info(client, update, NULL, NULL), SKYPOSTAL_OK);
    skypostal_client_free(client);
    skypostal_update_free(update);
}

/* What the service does not tell, or what cannot be read, is absent; every digit is kept. */
static void sparse_responses(void)
{
    static const struct {
        const char *response, *birth_date, *tax_number, *first_name;
        int64_t cust_id;
    } rows[] = {
        {RESPONSE("[{\"_verify\":true}]"), NULL, NULL, NULL, 0},
        {RESPONSE("[{\"_verify\":true,\"customer_birth_date\":\"\\/Date(-62135580780000-0427)\\/\","
                "\"customer_tax_number\":null,\"cust_id\":null,\"error\":null}]"),
         NULL, NULL, NULL, 0},
        {RESPONSE("[{\"_verify\":true,\"customer_birth_date\":\"\\/Date(-72000000-0400)\\/\","
                "\"customer_tax_number\":123.4500,\"cust_id\":9007199254740993,"
                "\"customer_first_name\":\"Zo\\u00eb\"}]"),
         "1969-12-31", "123.4500", "Zo\xC3\xAB", 9007199254740993},
        {RESPONSE("[{\"_verify\":true,\"customer_first_name\":\"cut \\ud83d\"}]"),
         NULL, NULL, NULL, 0},
        {RESPONSE("[{\"_verify\":true,\"customer_tax_number\":98765432109876543210987654321.10,"
                "\"customer_first_name\":\"a\\u0000b\"}]"),
         NULL, "98765432109876543210987654321.10", "a\xEF\xBF\xBD" "b", 0},
    };
    size_t row;
    char url[64];
    int listener = listen_here(url, "http");
    skypostal_client *client = new_client(url);
    skypostal_update *update = new_update();

    for (row = 0; row < COUNT(rows); row++) {
        struct call call = {0};
        check_about = rows[row].response;
        begin_call(&call, client, update);
        respond(accept_request(listener), rows[row].response);
        end_call(&call);
        CHECK_INT(call.result, SKYPOSTAL_OK);
        CHECK_INT(skypostal_personal_info_cust_id(call.info), rows[row].cust_id);
        CHECK_TEXT(skypostal_personal_info_customer_birth_date(call.info), rows[row].birth_date);
        CHECK_TEXT(skypostal_personal_info_customer_tax_number(call.info), rows[row].tax_number);
        CHECK_TEXT(skypostal_personal_info_customer_first_name(call.info), rows[row].first_name);
        CHECK_TEXT(skypostal_personal_info_customer_last_name(call.info), NULL);
        CHECK_TEXT(skypostal_personal_info_customer_identity_number(call.info), NULL);
        CHECK_TEXT(skypostal_personal_info_customer_gender(call.info), NULL);
        CHECK_HOLDS(skypostal_personal_info_raw(call.info), "_verify");
        free_call(&call);
    }
    close(listener);
    skypostal_client_free(client);
    skypostal_update_free(update);
}

static void *work(void *nothing)
{
    documented_update();
    sparse_responses();
    return nothing;
}

int main(void)
{
    return run_on_a_thread(work);
}
