/* The header and the library that is loaded belong together; every result code and delivery has a
 * text. */
#include "support.h"

#include <limits.h>

int main(void)
{
    int result, other;

    CHECK_INT(skypostal_version_number(), SKYPOSTAL_VERSION_NUMBER);
    CHECK_TEXT(skypostal_version(), SKYPOSTAL_VERSION);
    for (result = -1; result <= 20; result++) {
        CHECK(skypostal_strerror(result) != NULL && *skypostal_strerror(result) != '\0');
        for (other = SKYPOSTAL_OK; other <= SKYPOSTAL_MISUSE && other < result; other++)
            CHECK(result > SKYPOSTAL_MISUSE + 1
                  || strcmp(skypostal_strerror(other), skypostal_strerror(result)) != 0);
    }
    CHECK_TEXT(skypostal_strerror(INT_MIN), skypostal_strerror(-1));
    CHECK_TEXT(skypostal_strerror(INT_MAX), skypostal_strerror(-1));
    for (result = 0; result <= 4; result++) {
        const char *text = skypostal_delivery_text(result);
        CHECK(text != NULL && *text != '\0');
        for (other = SKYPOSTAL_DELIVERY_NOT_SENT; other <= SKYPOSTAL_DELIVERY_UNKNOWN; other++)
            CHECK(other == result || strcmp(skypostal_delivery_text(other), text) != 0);
    }
    CHECK_TEXT(skypostal_delivery_text(INT_MIN), skypostal_delivery_text(INT_MAX));
    return check_result();
}
