/* The header and the library that is loaded belong together; every status has a text. */
#include "support.h"

#include <limits.h>

int main(void)
{
    int status, other;

    CHECK_INT(skypostal_version_number(), SKYPOSTAL_VERSION_NUMBER);
    CHECK_TEXT(skypostal_version(), SKYPOSTAL_VERSION);
    for (status = -1; status <= 20; status++) {
        CHECK(skypostal_strerror(status) != NULL && *skypostal_strerror(status) != '\0');
        for (other = SKYPOSTAL_OK; other <= SKYPOSTAL_MISUSE && other < status; other++)
            CHECK(status > SKYPOSTAL_MISUSE + 1
                  || strcmp(skypostal_strerror(other), skypostal_strerror(status)) != 0);
    }
    CHECK_TEXT(skypostal_strerror(INT_MIN), skypostal_strerror(-1));
    CHECK_TEXT(skypostal_strerror(INT_MAX), skypostal_strerror(-1));
    return check_result();
}
