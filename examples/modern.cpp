// Updates one customer: update FIRST_NAME LAST_NAME BIRTH_DATE GENDER
//
// An empty argument leaves its field as it is. From the environment come SKYPOSTAL_USER_CODE,
// SKYPOSTAL_APP_KEY, SKYPOSTAL_CUSTOMER_BOX_ID and SKYPOSTAL_CUSTOMER_KEY: keys do not belong into
// arguments, where everyone on the machine can read them.
//
//     c++ -std=c++11 -Iinclude examples/modern.cpp -Ltarget/release -lskypostal -o update
#include <skypostal.hpp>

#include <cstdlib>
#include <iostream>
#include <string>

static const char *advice(skypostal::delivery delivery)
{
    switch (delivery) {
    case skypostal::delivery::not_sent:
        return "nothing was sent: the customer is as before";
    case skypostal::delivery::rejected:
        return "the service did not make the change: the customer is as before";
    default:
        return "the customer may have been changed: run this again, which does no harm";
    }
}

// nullptr leaves a field as it is.
static const char *given(const char *argument) { return *argument == '\0' ? nullptr : argument; }

// 0, which no box has, for what is not a number.
static long long number(const char *text)
{
    const std::string digits(text == nullptr ? "" : text);
    const bool good = !digits.empty() && digits.size() <= 18
        && digits.find_first_not_of("0123456789") == std::string::npos;
    return good ? std::stoll(digits) : 0;
}

static skypostal::personal_info update(char **arguments)
{
    skypostal::options options;
    options.read_environment();

    // What a setter finds wrong is remembered, and thrown by the call.
    skypostal::update update;
    update.customer_box_id(number(std::getenv("SKYPOSTAL_CUSTOMER_BOX_ID")))
        .customer_key(std::getenv("SKYPOSTAL_CUSTOMER_KEY"))
        .customer_first_name(given(arguments[0]))
        .customer_last_name(given(arguments[1]))
        .customer_birth_date(given(arguments[2]))
        .customer_gender(given(arguments[3]));
    return skypostal::client(options).update_personal_info(update);
}

int main(int argc, char **argv)
{
    if (argc != 5) {
        std::cerr << "usage: update FIRST_NAME LAST_NAME BIRTH_DATE GENDER\n";
        return 2;
    }
    try {
        const skypostal::personal_info info = update(argv + 1);
        const auto cust_id = info.cust_id();
        std::cout << "cust_id: " << (cust_id ? std::to_string(*cust_id) : "-")
                  << "\ncustomer_first_name: " << info.customer_first_name().value_or("-")
                  << "\ncustomer_last_name: " << info.customer_last_name().value_or("-")
                  << "\ncustomer_identity_number: " << info.customer_identity_number().value_or("-")
                  << "\ncustomer_tax_number: " << info.customer_tax_number().value_or("-")
                  << "\ncustomer_birth_date: " << info.customer_birth_date().value_or("-")
                  << "\ncustomer_gender: " << info.customer_gender().value_or("-") << '\n';
    } catch (const skypostal::error &error) {
        std::cerr << error.what() << '\n' << advice(error.delivery()) << '\n';
        return 1;
    }
    return 0;
}
