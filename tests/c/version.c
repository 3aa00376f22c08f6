/* The header and the library that is loaded belong together; every status has a text. */
#include "support.h"

#include <limits.h>

int main(void)
{
    int status, other;

    CHECK_INT(skypostal_version_number(), SKYPOSTAL_VERSION_NUMBER);
    CHECK_TEXT(skypostal_version(), SKYPOSTAL_VERSION);
    for (status = -1; status <= 20; status++) {
        CHECK(skypostal_status_text(status) != NULL && *skypostal_status_text(status) != '\0');
        for (other = SKYPOSTAL_OK; other <= SKYPOSTAL_MISUSE && other < status; other++)
            CHECK(status > SKYPOSTAL_MISUSE + 1
                  || strcmp(skypostal_status_text(other), skypostal_status_text(status)) != 0);
    }
    CHECK_TEXT(skypostal_status_text(INT_MIN), skypostal_status_text(-1));
    CHECK_TEXT(skypostal_status_text(INT_MAX), skypostal_status_text(-1));
    return check_result();
}
