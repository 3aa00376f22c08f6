/* One update without a C library: what Microsoft's linker, or LLVM's, makes of skypostal.lib alone. */
#include <skypostal.h>

__declspec(dllimport) void __stdcall ExitProcess(unsigned int code);

void start(void)
{
    skypostal_options *options = skypostal_options_new();
    skypostal_update *update = skypostal_update_new();
    skypostal_client *client = 0;
    int result;

    skypostal_options_read_environment(options);
    skypostal_update_set_customer_box_id(update, 811111);
    skypostal_update_set_customer_key(update, CUSTOMER_KEY);
    skypostal_update_set_customer_first_name(update, "Linked");
    result = skypostal_client_new(options, &client, 0);
    if (result == SKYPOSTAL_OK)
        result = skypostal_client_update_personal_info(client, update, 0, 0);
    skypostal_client_free(client);
    skypostal_update_free(update);
    skypostal_options_free(options);
    ExitProcess((unsigned int)result);
}
