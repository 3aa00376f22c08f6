/* One update with what the environment says, of a program that may have privileges that its caller
 * lacks. The first argument is the address to set, or "-" for that of the environment. It writes
 * whether the kernel says so, the result code, the delivery, and the option that is wrong. */
#define _DEFAULT_SOURCE
#include "support.h"

#include <sys/auxv.h>

int main(int argc, char **argv)
{
    skypostal_options *options = skypostal_options_new();
    skypostal_update *update = new_update();
    skypostal_client *client = NULL;
    skypostal_error *error = NULL;
    const char *field;
    int result;

    skypostal_options_read_environment(options);
    if (argc == 2 && strcmp(argv[1], "-") != 0)
        skypostal_options_set_base_url(options, argv[1]);
    skypostal_options_set_max_retries(options, 0);
    skypostal_options_set_timeout_ms(options, 5000);
    result = skypostal_client_new(options, &client, &error);
    if (result == SKYPOSTAL_OK)
        result = skypostal_client_update_personal_info(client, update, NULL, &error);
    field = error ? skypostal_error_field(error) : NULL;
    printf("%lu %s", getauxval(AT_SECURE), skypostal_strerror(result));
    printf("%s%s\n", field ? ": " : "", field ? field : "");
    skypostal_error_free(error);
    skypostal_client_free(client);
    skypostal_update_free(update);
    skypostal_options_free(options);
    return 0;
}
