/* Sends COUNT updates, each set anew, and reads the responses: for counts of what a call takes. */
#include "support.h"

int main(int argc, char **argv)
{
    skypostal_client *client = new_client(NULL);
    long left = argc == 2 ? strtol(argv[1], NULL, 10) : 0;

    for (; left > 0; left--) {
        skypostal_update *update = new_update();
        skypostal_personal_info *info = NULL;

        skypostal_update_set_customer_first_name(update, "New Name");
        skypostal_update_set_customer_last_name(update, "New Last");
        skypostal_update_set_customer_birth_date(update, "1980-08-19");
        skypostal_update_set_customer_gender(update, "M");
        CHECK_INT(skypostal_client_update_personal_info(client, update, &info, NULL), SKYPOSTAL_OK);
        CHECK_INT(skypostal_personal_info_cust_id(info), 51736835);
        CHECK_TEXT(skypostal_personal_info_customer_birth_date(info), "1980-08-19");
        skypostal_personal_info_free(info);
        skypostal_update_free(update);
    }
    skypostal_client_free(client);
    return check_result();
}
