/* One update of the environment's address, with the ca_file of the argument if there is one. */
#include <stdio.h>
#include <stdlib.h>
#include <windows.h>

#include <skypostal.h>

int wmain(int argc, wchar_t **argv)
{
    skypostal_options *options = skypostal_options_new();
    skypostal_update *update = skypostal_update_new();
    skypostal_client *client = NULL;
    skypostal_error *error = NULL;
    char ca_file[1024];
    int result;

    skypostal_options_read_environment(options);
    skypostal_options_set_max_retries(options, 0);
    if (argc == 2) {
        WideCharToMultiByte(CP_UTF8, 0, argv[1], -1, ca_file, sizeof(ca_file), NULL, NULL);
        skypostal_options_set_ca_file(options, ca_file);
    }
    skypostal_update_set_customer_box_id(update, 811111);
    skypostal_update_set_customer_key(update, getenv("SKYPOSTAL_CUSTOMER_KEY"));
    result = skypostal_client_new(options, &client, &error);
    if (result == SKYPOSTAL_OK)
        result = skypostal_client_update_personal_info(client, update, NULL, &error);
    printf("%s\n", result == SKYPOSTAL_OK ? "updated" : skypostal_error_message(error));
    skypostal_error_free(error);
    skypostal_client_free(client);
    skypostal_update_free(update);
    skypostal_options_free(options);
    return result;
}
