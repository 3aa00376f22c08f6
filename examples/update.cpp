// Updates one customer: update FIRST_NAME LAST_NAME BIRTH_DATE GENDER
//
// An empty argument leaves its field as it is. From the environment come SKYPOSTAL_USER_CODE,
// SKYPOSTAL_APP_KEY, SKYPOSTAL_CUSTOMER_BOX_ID and SKYPOSTAL_CUSTOMER_KEY: keys do not belong into
// arguments, where everyone on the machine can read them.
//
//     c++ -Iinclude examples/update.cpp -Ltarget/release -lskypostal -o update
//
// C++98, over the C API; from C++11 on there is skypostal.hpp: see modern.cpp.
#include <skypostal.h>

#include <cstdlib>
#include <iostream>
#include <sstream>
#include <string>

// Owns a handle, and frees it with the function of its type.
template <typename T, void (*release)(T *)>
class Handle {
public:
    explicit Handle(T *handle = NULL) : handle_(handle) {}
    ~Handle() { release(handle_); }
    T *get() const { return handle_; }
    T **out() { return &handle_; }

private:
    Handle(const Handle &);
    Handle &operator=(const Handle &);
    T *handle_;
};

static const char *advice(int delivery)
{
    switch (delivery) {
    case SKYPOSTAL_DELIVERY_NOT_SENT:
        return "nothing was sent: the customer is as before";
    case SKYPOSTAL_DELIVERY_REJECTED:
        return "the service did not make the change: the customer is as before";
    default:
        return "the customer may have been changed: run this again, which does no harm";
    }
}

// NULL leaves a field as it is.
static const char *given(const std::string &argument)
{
    return argument.empty() ? NULL : argument.c_str();
}

// 0, which no box has, for what is not a number. On Windows a long is too short for one.
static int64_t number(const char *text)
{
    const std::string digits(text == NULL ? "" : text);
    const bool good = !digits.empty() && digits.size() <= 18
        && digits.find_first_not_of("0123456789") == std::string::npos;
    int64_t value = 0;
    if (good)
        std::istringstream(digits) >> value;
    return value;
}

static std::string shown(const char *value)
{
    return value == NULL ? "-" : value;
}

static std::string shown(int64_t value)
{
    std::ostringstream text;
    text << value;
    return value == 0 ? "-" : text.str();
}

int main(int argc, char **argv)
{
    if (argc != 5) {
        std::cerr << "usage: update FIRST_NAME LAST_NAME BIRTH_DATE GENDER\n";
        return 2;
    }
    const std::string first_name(argv[1]), last_name(argv[2]), birth_date(argv[3]), gender(argv[4]);

    // A setter remembers a bad value, and the calls below report it.
    Handle<skypostal_options, skypostal_options_free> options(skypostal_options_new());
    skypostal_options_read_environment(options.get());
    Handle<skypostal_update, skypostal_update_free> update(skypostal_update_new());
    skypostal_update *u = update.get();
    skypostal_update_set_customer_box_id(u, number(std::getenv("SKYPOSTAL_CUSTOMER_BOX_ID")));
    skypostal_update_set_customer_key(u, std::getenv("SKYPOSTAL_CUSTOMER_KEY"));
    skypostal_update_set_customer_first_name(u, given(first_name));
    skypostal_update_set_customer_last_name(u, given(last_name));
    skypostal_update_set_customer_birth_date(u, given(birth_date));
    skypostal_update_set_customer_gender(u, given(gender));

    Handle<skypostal_client, skypostal_client_free> client;
    Handle<skypostal_personal_info, skypostal_personal_info_free> info;
    Handle<skypostal_error, skypostal_error_free> error;
    int result = skypostal_client_new(options.get(), client.out(), error.out());
    if (result == SKYPOSTAL_OK)
        result = skypostal_client_update_personal_info(client.get(), u, info.out(), error.out());
    if (result != SKYPOSTAL_OK) {
        std::cerr << skypostal_error_message(error.get()) << '\n'
                  << advice(skypostal_error_delivery(error.get())) << '\n';
        return 1;
    }

    const skypostal_personal_info *i = info.get();
    std::cout << "cust_id: " << shown(skypostal_personal_info_cust_id(i)) << '\n'
              << "customer_first_name: " << shown(skypostal_personal_info_customer_first_name(i))
              << "\ncustomer_last_name: " << shown(skypostal_personal_info_customer_last_name(i))
              << "\ncustomer_identity_number: "
              << shown(skypostal_personal_info_customer_identity_number(i))
              << "\ncustomer_tax_number: " << shown(skypostal_personal_info_customer_tax_number(i))
              << "\ncustomer_birth_date: " << shown(skypostal_personal_info_customer_birth_date(i))
              << "\ncustomer_gender: " << shown(skypostal_personal_info_customer_gender(i)) << '\n';
    return 0;
}
