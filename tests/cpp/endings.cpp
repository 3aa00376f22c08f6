// Calls in destructors of static and of thread-local objects. The argument says which.
#include <skypostal.hpp>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <thread>
#include <unistd.h>

namespace {

const char *mode = "";
int calls = 0;

const skypostal::client &client_of_all()
{
    // Never destroyed, so that every destructor may use it.
    static const auto *const of_all =
        new skypostal::client(skypostal::options().read_environment());
    return *of_all;
}

bool is(const char *name)
{
    return std::strcmp(mode, name) == 0;
}

void call()
{
    try {
        skypostal::update update;
        update.customer_box_id(std::strtol(std::getenv("SKYPOSTAL_CUSTOMER_BOX_ID"), nullptr, 10));
        update.customer_key(std::getenv("SKYPOSTAL_CUSTOMER_KEY"));
        client_of_all().update_personal_info(update);
        calls++;
    } catch (const std::exception &problem) {
        std::fprintf(stderr, "%s: %s\n", mode, problem.what());
        _exit(1);
    }
}

struct Late {
    bool used = false;

    ~Late()
    {
        if (used)
            call();
    }
};

// Before it is destroyed, so are all that were made after it.
struct Last {
    ~Last()
    {
        if (is("static"))
            call();
        _exit(calls == (is("first") ? 2 : 3) ? 0 : 2);
    }
} last;

thread_local Late late;

} // namespace

int main(int argc, char **argv)
{
    mode = argc == 2 ? argv[1] : "";
    if (is("static")) {
        call();
        call();
    } else if (is("main")) {
        // A thread-local object of the main thread ends before the static ones.
        late.used = true;
        call();
        call();
    } else {
        // Made before or after those of the library.
        const bool first = is("first");
        std::thread([first] {
            if (first)
                late.used = true;
            call();
            late.used = true;
            if (!first)
                call();
        }).join();
    }
    return 0;
}
