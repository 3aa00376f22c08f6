/*
 * Updates one customer: update FIRST_NAME LAST_NAME BIRTH_DATE GENDER
 *
 * An empty argument leaves its field as it is. From the environment come SKYPOSTAL_USER_CODE,
 * SKYPOSTAL_APP_KEY, SKYPOSTAL_CUSTOMER_BOX_ID and SKYPOSTAL_CUSTOMER_KEY: keys do not belong into
 * arguments, where everyone on the machine can read them. To compile:
 *     cc -Iinclude examples/update.c -Ltarget/release -lskypostal -o update
 */
#include <skypostal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const advice_by_delivery[] = {
    "", "nothing was sent: the customer is as before",
    "the service did not make the change: the customer is as before",
    "the customer may have been changed: run this again, which does no harm"};

/* NULL leaves a field as it is. */
static const char *given(const char *argument) { return argument[0] == '\0' ? NULL : argument; }

/* 0, which no box has, for what is not a number. On Windows a long is too short for one. */
static int64_t number(const char *text)
{
    size_t digits = text == NULL ? 0 : strspn(text, "0123456789"), at;
    int64_t value = 0;
    if (digits > 18 || (text != NULL && text[digits] != '\0'))
        return 0;
    for (at = 0; at < digits; at++)
        value = value * 10 + (text[at] - '0');
    return value;
}

/* The digits of a number, at the end of a text with room for them. */
static const char *digits_of(int64_t value, char text[24])
{
    char *at = text + 23;
    *at = '\0';
    do
        *--at = (char)('0' + value % 10);
    while ((value /= 10) > 0);
    return at;
}

static void print(const char *name, const char *value)
{
    printf("%s: %s\n", name, value == NULL ? "-" : value);
}

int main(int argc, char **argv)
{
    skypostal_options *options = skypostal_options_new();
    skypostal_update *update = skypostal_update_new();
    skypostal_client *client = NULL;
    skypostal_personal_info *info = NULL;
    skypostal_error *error = NULL;
    char cust_id[24];
    int64_t id;
    int result = argc == 5 ? 1 : 2;

    if (argc != 5) {
        fprintf(stderr, "usage: update FIRST_NAME LAST_NAME BIRTH_DATE GENDER\n");
        goto done;
    }
    /* A setter remembers a bad value, and the calls below report it. */
    skypostal_options_read_environment(options);
    skypostal_update_set_customer_box_id(update, number(getenv("SKYPOSTAL_CUSTOMER_BOX_ID")));
    skypostal_update_set_customer_key(update, getenv("SKYPOSTAL_CUSTOMER_KEY"));
    skypostal_update_set_customer_first_name(update, given(argv[1]));
    skypostal_update_set_customer_last_name(update, given(argv[2]));
    skypostal_update_set_customer_birth_date(update, given(argv[3]));
    skypostal_update_set_customer_gender(update, given(argv[4]));

    if (skypostal_client_new(options, &client, &error) != SKYPOSTAL_OK
        || skypostal_client_update_personal_info(client, update, &info, &error) != SKYPOSTAL_OK) {
        fprintf(stderr, "%s\n%s\n", skypostal_error_message(error),
                advice_by_delivery[skypostal_error_delivery(error)]);
        goto done;
    }
    id = skypostal_personal_info_cust_id(info);
    print("cust_id", id == 0 ? NULL : digits_of(id, cust_id));
    print("customer_first_name", skypostal_personal_info_customer_first_name(info));
    print("customer_last_name", skypostal_personal_info_customer_last_name(info));
    print("customer_identity_number", skypostal_personal_info_customer_identity_number(info));
    print("customer_tax_number", skypostal_personal_info_customer_tax_number(info));
    print("customer_birth_date", skypostal_personal_info_customer_birth_date(info));
    print("customer_gender", skypostal_personal_info_customer_gender(info));
    result = 0;
done:
    skypostal_error_free(error);
    skypostal_personal_info_free(info);
    skypostal_client_free(client);
    skypostal_update_free(update);
    skypostal_options_free(options);
    return result;
}
