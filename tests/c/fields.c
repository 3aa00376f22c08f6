/* Every setter of an update: a bad value is told at once, remembered, and never sent. */
#include "support.h"

typedef int (*set_text)(skypostal_update *, const char *);
typedef int (*set_integer)(skypostal_update *, int64_t);

static skypostal_client *client;
static int arrived;

/* A check finds what the call would, and sends nothing. */
static void check_says(const skypostal_update *update, int result, const char *message)
{
    skypostal_error *error = (void *)&check_count;
    CHECK_INT(skypostal_client_check(client, update, &error), result);
    CHECK_TEXT(skypostal_error_message(error), message);
    CHECK_INT(skypostal_client_check(client, update, NULL), result);
    skypostal_error_free(error);
}

/* Sends the update, which must be stopped before it leaves, because of this field. */
static void refuse(const skypostal_update *update, const char *field, const char *value)
{
    skypostal_personal_info *info = NULL;
    skypostal_error *error = NULL;
    CHECK_INT(skypostal_client_update_personal_info(client, update, &info, &error),
              SKYPOSTAL_INVALID_FIELD);
    CHECK(info == NULL);
    CHECK_INT(skypostal_error_kind(error), SKYPOSTAL_INVALID_FIELD);
    CHECK_TEXT(skypostal_error_field(error), field);
    CHECK_HOLDS(skypostal_error_message(error), field);
    CHECK_INT(skypostal_error_delivery(error), SKYPOSTAL_DELIVERY_NOT_SENT);
    CHECK_INT(skypostal_error_attempts(error), 0);
    check_says(update, SKYPOSTAL_INVALID_FIELD, skypostal_error_message(error));
    if (value && strlen(value) > 4)
        CHECK(strstr(skypostal_error_message(error), value) == NULL);
    skypostal_error_free(error);
}

static void arrive(const skypostal_update *update)
{
    skypostal_error *error = NULL;
    int result = skypostal_client_update_personal_info(client, update, NULL, &error);
    check_says(update, SKYPOSTAL_OK, NULL);
    check(result == SKYPOSTAL_OK, __FILE__, __LINE__, "not sent: %s",
          error ? skypostal_error_message(error) : "");
    skypostal_error_free(error);
    arrived++;
}

static void texts(void)
{
    static char longest[8193], too_long[8194], emoji[4 * 4096 + 1], too_many_emoji[4 * 4097 + 1];
    const struct {
        const char *field;
        set_text set;
        const char *bad[12], *good[7];
    } rows[] = {
        {"customer_first_name", skypostal_update_set_customer_first_name,
         {"", " \t ", "\xC2\xA0\xE3\x80\x80", "line\nbreak", "\x7F", "C1 \xC2\x85", "cut \xC3",
          "half \xED\xA0\xBD", too_long, too_many_emoji, "\xE2\x80\x8B\xC2\xAD", "\xEF\xBB\xBF" "Ana"},
         {"New Name", longest, emoji, "Zo\xC3\xAB \xF0\x9F\x98\x80", "\xEF\xBF\xBE", " \"\\/ ",
          "\xDB\x8C\xE2\x80\x8C\xD8\xAE"}},
        {"customer_last_name", skypostal_update_set_customer_last_name,
         {"", "\xE2\x80\x83", "tab\t", too_long, "\xFF"}, {"O'Neill", longest}},
        {"customer_identity_number", skypostal_update_set_customer_identity_number,
         {"", " ", "1\r2", too_long, "\xC0\x80"}, {"123-456", longest}},
        {"customer_tax_number", skypostal_update_set_customer_tax_number,
         {"", "-1", "+1", "1e3", "1.", ".5", "1,5", " 1", "12345678901234567890123456789",
          "\xD9\xA1"},
         {"0", "123.450", "0007", "1234567890123456789012345678", "0.10"}},
        {"customer_birth_date", skypostal_update_set_customer_birth_date,
         {"", "1980-02-30", "1980-8-19", "19800819", "19.08.1980", "1752-12-31", "9999-12-31",
          "+1980-8-19", "1980-08-19T00:00", "\xFE"},
         {"1753-01-01", "2000-02-29"}},
        {"customer_gender", skypostal_update_set_customer_gender,
         {"", "m", "f", "X", "MF", " M", "\xFF"}, {"M", "F"}},
        {"customer_key", skypostal_update_set_customer_key,
         {"", "  ", "key\n", "\xFF", "se\xC3(cret"}, {NULL}},
        {"app_key", skypostal_update_set_app_key,
         {"", "  ", "key\x01", "\xFF", "se\xC3(cret"}, {NULL}},
    };
    size_t row, at;

    memset(longest, 'a', sizeof(longest) - 1);
    memset(too_long, 'a', sizeof(too_long) - 1);
    for (at = 0; at < 4097; at++) {
        memcpy(too_many_emoji + 4 * at, "\xF0\x9F\x98\x80", 4);
        if (at < 4096)
            memcpy(emoji + 4 * at, "\xF0\x9F\x98\x80", 4);
    }
    for (row = 0; row < COUNT(rows); row++) {
        skypostal_update *update = new_update();
        check_about = rows[row].field;
        for (at = 0; at < COUNT(rows[row].bad) && rows[row].bad[at]; at++) {
            const char *bad = rows[row].bad[at];
            CHECK_INT(rows[row].set(update, bad), SKYPOSTAL_INVALID_FIELD);
            refuse(update, rows[row].field, bad);
        }
        for (at = 0; at < COUNT(rows[row].good) && rows[row].good[at]; at++) {
            CHECK_INT(rows[row].set(update, "\x01"), SKYPOSTAL_INVALID_FIELD);
            CHECK_INT(rows[row].set(update, rows[row].good[at]), SKYPOSTAL_OK);
            arrive(update);
        }
        /* NULL unsets the value and its fault; only a customer cannot do without a key. */
        CHECK_INT(rows[row].set(update, "\x01"), SKYPOSTAL_INVALID_FIELD);
        CHECK_INT(rows[row].set(update, NULL), SKYPOSTAL_OK);
        if (rows[row].set == skypostal_update_set_customer_key)
            refuse(update, "customer_key", NULL);
        else
            arrive(update);
        skypostal_update_free(update);
    }
}

static void integers(void)
{
    static const struct {
        const char *field;
        set_integer set;
        int64_t good;
    } rows[] = {
        {"user_code", skypostal_update_set_user_code, 396},
        {"customer_box_id", skypostal_update_set_customer_box_id, 811111},
    };
    static const int64_t bad[] = {0, -1, INT64_MIN};
    size_t row, at;

    for (row = 0; row < COUNT(rows); row++) {
        skypostal_update *update = new_update();
        check_about = rows[row].field;
        for (at = 0; at < COUNT(bad); at++) {
            CHECK_INT(rows[row].set(update, bad[at]), SKYPOSTAL_INVALID_FIELD);
            refuse(update, rows[row].field, NULL);
        }
        CHECK_INT(rows[row].set(update, INT64_MAX), SKYPOSTAL_OK);
        CHECK_INT(rows[row].set(update, rows[row].good), SKYPOSTAL_OK);
        arrive(update);
        skypostal_update_free(update);
    }
}

/* Good values of their own that together make the request too long: found by the call. */
static void too_much_together(void)
{
    static char text[3 * 8192 + 1];
    skypostal_update *update = new_update();
    size_t at;

    check_about = "too much together";
    for (at = 0; at < 8192; at++)
        memcpy(text + 3 * at, "\xE4\xB8\x96", 3);
    CHECK_INT(skypostal_update_set_customer_first_name(update, text), SKYPOSTAL_OK);
    CHECK_INT(skypostal_update_set_customer_last_name(update, text), SKYPOSTAL_OK);
    arrive(update);
    text[3 * 8191] = '\0';
    CHECK_INT(skypostal_update_set_customer_identity_number(update, text), SKYPOSTAL_OK);
    refuse(update, "customer_last_name", text);
    CHECK_INT(skypostal_update_set_customer_identity_number(update, NULL), SKYPOSTAL_OK);
    arrive(update);
    skypostal_update_free(update);
}

/* The first fault is named, then the next; required fields last; values are copied. */
static void several_faults_and_reuse(void)
{
    skypostal_update *update = skypostal_update_new();
    char name[] = "First";

    check_about = "several faults";
    CHECK_INT(skypostal_update_set_customer_gender(update, "X"), SKYPOSTAL_INVALID_FIELD);
    CHECK_INT(skypostal_update_set_customer_first_name(update, ""), SKYPOSTAL_INVALID_FIELD);
    refuse(update, "customer_gender", NULL);
    CHECK_INT(skypostal_update_set_customer_gender(update, "F"), SKYPOSTAL_OK);
    refuse(update, "customer_first_name", NULL);
    CHECK_INT(skypostal_update_set_customer_first_name(update, name), SKYPOSTAL_OK);
    refuse(update, "customer_box_id", NULL);
    CHECK_INT(skypostal_update_set_customer_box_id(update, 811111), SKYPOSTAL_OK);
    refuse(update, "customer_key", NULL);
    CHECK_INT(skypostal_update_set_customer_key(update, getenv("SKYPOSTAL_CUSTOMER_KEY")),
              SKYPOSTAL_OK);
    memset(name, 'x', sizeof(name) - 1);
    arrive(update);

    check_about = "reuse";
    CHECK_INT(skypostal_update_set_customer_first_name(update, "Second"), SKYPOSTAL_OK);
    CHECK_INT(skypostal_update_set_customer_gender(update, NULL), SKYPOSTAL_OK);
    CHECK_INT(skypostal_update_set_customer_tax_number(update, "000123.4500"), SKYPOSTAL_OK);
    arrive(update);
    skypostal_update_free(update);
}

/* As new: neither a value nor a fault of the last customer is left for the next one. */
static void cleared(void)
{
    skypostal_update *update = new_update();
    const char *key = getenv("SKYPOSTAL_CUSTOMER_KEY");

    check_about = "clear";
    CHECK_INT(skypostal_update_set_user_code(update, 1), SKYPOSTAL_OK);
    CHECK_INT(skypostal_update_set_app_key(update, "not the key"), SKYPOSTAL_OK);
    CHECK_INT(skypostal_update_set_customer_first_name(update, "First"), SKYPOSTAL_OK);
    CHECK_INT(skypostal_update_set_customer_tax_number(update, "1"), SKYPOSTAL_OK);
    CHECK_INT(skypostal_update_set_customer_birth_date(update, "yesterday"),
              SKYPOSTAL_INVALID_FIELD);
    CHECK_INT(skypostal_update_set_timeout_ms(update, 1), SKYPOSTAL_OK);
    skypostal_update_clear(update);
    refuse(update, "customer_box_id", NULL);
    CHECK_INT(skypostal_update_set_customer_box_id(update, 811111), SKYPOSTAL_OK);
    refuse(update, "customer_key", NULL);
    CHECK_INT(skypostal_update_set_customer_key(update, key), SKYPOSTAL_OK);
    CHECK_INT(skypostal_update_set_customer_last_name(update, "Cleared"), SKYPOSTAL_OK);
    arrive(update);
    skypostal_update_clear(update);
    skypostal_update_clear(update);
    skypostal_update_clear(NULL);
    skypostal_update_free(update);
}

/* Any field, an integer too, with its fault. A name that is none cannot be meant for nothing. */
static void unset(void)
{
    skypostal_update *update = new_update();

    check_about = "unset";
    CHECK_INT(skypostal_update_set_user_code(update, 1), SKYPOSTAL_OK);
    CHECK_INT(skypostal_update_unset(update, "user_code"), SKYPOSTAL_OK);
    arrive(update); /* with the client's user code: the service takes no other */
    CHECK_INT(skypostal_update_set_user_code(update, -1), SKYPOSTAL_INVALID_FIELD);
    CHECK_INT(skypostal_update_unset(update, "user_code"), SKYPOSTAL_OK);
    CHECK_INT(skypostal_update_set_customer_first_name(update, "First"), SKYPOSTAL_OK);
    CHECK_INT(skypostal_update_unset(update, "customer_first_name"), SKYPOSTAL_OK);
    CHECK_INT(skypostal_update_set_customer_gender(update, "M"), SKYPOSTAL_OK);
    arrive(update);
    CHECK_INT(skypostal_update_unset(update, "customer_box_id"), SKYPOSTAL_OK);
    refuse(update, "customer_box_id", NULL);
    CHECK_INT(skypostal_update_set_customer_box_id(update, 811111), SKYPOSTAL_OK);
    CHECK_INT(skypostal_update_unset(update, NULL), SKYPOSTAL_MISUSE);
    CHECK_INT(skypostal_update_unset(update, "User_Code"), SKYPOSTAL_INVALID_FIELD);
    refuse(update, "User_Code", NULL);
    skypostal_update_clear(update);
    CHECK_INT(skypostal_update_unset(update, "\xFF"), SKYPOSTAL_INVALID_FIELD);
    skypostal_update_free(update);
}

int main(void)
{
    client = new_client(NULL);
    texts();
    integers();
    too_much_together();
    several_faults_and_reuse();
    cleared();
    unset();
    skypostal_client_free(client);
    printf("%d\n", arrived);
    return check_result();
}
