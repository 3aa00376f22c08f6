// Every member of skypostal.hpp: members SANDBOX_URL FAULTS_URL
//
// The second server gives the responses of tests/cpp/test_cpp.py, in the order of their use here.
// First, so that it is seen to need no other header.
#include <skypostal.hpp>

#include <atomic>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <thread>
#include <type_traits>
#include <vector>

#include "../c/check.h"

#define CHECK_STRING(actual, expected) CHECK_TEXT((actual).value_or("absent").c_str(), expected)

static const std::string sandbox_key(std::getenv("SKYPOSTAL_CUSTOMER_KEY"));

template <typename T>
struct moves_alone {
    static const bool value = std::is_nothrow_move_constructible<T>::value
        && std::is_nothrow_move_assignable<T>::value && !std::is_copy_constructible<T>::value
        && !std::is_copy_assignable<T>::value;
};

static_assert(moves_alone<skypostal::options>::value, "options own a handle");
static_assert(moves_alone<skypostal::client>::value, "a client owns a handle");
static_assert(moves_alone<skypostal::update>::value, "an update owns a handle");
static_assert(moves_alone<skypostal::personal_info>::value, "personal information owns a handle");
static_assert(moves_alone<skypostal::bulk>::value, "a bulk owns a handle");
static_assert(moves_alone<skypostal::outcome>::value, "an outcome owns a handle");
static_assert(std::is_nothrow_copy_constructible<skypostal::error>::value, "exceptions are copied");
static_assert(std::is_base_of<std::runtime_error, skypostal::error>::value, "an error is standard");
static_assert(noexcept(std::declval<const skypostal::client &>().cancel()), "cancel throws nothing");
static_assert(!std::is_convertible<std::chrono::microseconds, std::chrono::milliseconds>::value,
              "a time that is cut must be cut by the caller");

static skypostal::options options_for(const char *url)
{
    skypostal::options options;
    options.read_environment().base_url(url).max_retries(0);
    return options;
}

static skypostal::update customer()
{
    skypostal::update update;
    update.customer_box_id(811111).customer_key(sandbox_key);
    return update;
}

// What the call throws; an error without a handle if it throws nothing.
template <typename Call>
static skypostal::error thrown(const Call &call)
{
    try {
        call();
    } catch (const skypostal::error &error) {
        return error;
    }
    return skypostal::error(skypostal::kind::ok);
}

static skypostal::error send(const skypostal::client &client, const skypostal::update &update)
{
    return thrown([&] { client.update_personal_info(update); });
}

static void check_error(const skypostal::error &error, skypostal::kind kind,
                        skypostal::delivery delivery, int attempts)
{
    CHECK_TEXT(skypostal::strerror(error.kind()), skypostal::strerror(kind));
    CHECK_INT(static_cast<int>(error.delivery()), static_cast<int>(delivery));
    CHECK_INT(error.attempts(), attempts);
    CHECK(*error.what() != '\0');
}

static void the_version_and_the_texts()
{
    check_about = "version";
    CHECK_TEXT(skypostal::version(), SKYPOSTAL_VERSION);
    CHECK_INT(skypostal::version_number(), SKYPOSTAL_VERSION_NUMBER);
    CHECK(skypostal::version_is_sufficient());
    CHECK_TEXT(skypostal::strerror(skypostal::kind::refused),
               "the service refused the update, or reported an error");
    CHECK_TEXT(skypostal::delivery_text(skypostal::delivery::unknown),
               skypostal_delivery_text(SKYPOSTAL_DELIVERY_UNKNOWN));
    CHECK_INT(static_cast<int>(skypostal::kind::misuse), SKYPOSTAL_MISUSE);
    CHECK_INT(static_cast<int>(skypostal::delivery::unknown), SKYPOSTAL_DELIVERY_UNKNOWN);
}

static void optionals()
{
    const skypostal::optional<int> none, one(1), two(2);

    check_about = "optional";
    CHECK(!none && !none.has_value() && one && one.has_value());
    CHECK_INT(*one, 1);
    CHECK_INT(two.value(), 2);
    CHECK_INT(none.value_or(3), 3);
    CHECK_INT(one.value_or(3), 1);
    CHECK(one == skypostal::optional<int>(1) && one != two && one != none);
    CHECK(none == skypostal::optional<int>());
    CHECK_INT(static_cast<int>(skypostal::optional<std::string>("four")->size()), 4);
    bool absent = false;
    try {
        none.value();
    } catch (const std::logic_error &) {
        absent = true;
    }
    CHECK(absent);
}

static void an_update(const char *url)
{
    const skypostal::client client(options_for(url));
    skypostal::update update = customer();

    check_about = "update";
    update.user_code(396)
        .app_key(std::getenv("SKYPOSTAL_APP_KEY"))
        .customer_first_name("Zo\xC3\xAB")
        .customer_last_name(std::string("O'Neill"))
        .customer_identity_number("123-4")
        .customer_tax_number("000123.450")
        .customer_birth_date("1969-12-31")
        .customer_gender("F");
    const skypostal::personal_info info = client.update_personal_info(update);
    CHECK_INT(info.cust_id().value(), 51736835);
    CHECK_INT(info.attempts(), 1);
    CHECK_STRING(info.customer_first_name(), "Zo\xC3\xAB");
    CHECK_STRING(info.customer_last_name(), "O'Neill");
    CHECK_STRING(info.customer_identity_number(), "123-4");
    CHECK_STRING(info.customer_tax_number(), "123.450");
    CHECK_STRING(info.customer_birth_date(), "1969-12-31");
    CHECK_STRING(info.customer_gender(), "F");
    CHECK_HOLDS(info.raw().value().c_str(), "\"_verify\":true");
    CHECK_TEXT(skypostal_personal_info_customer_gender(info.get()), "F");

    // nullptr unsets: the customer keeps the gender. A chain may end in the call.
    update.customer_gender("M").customer_gender(nullptr);
    CHECK_STRING(client.update_personal_info(update).customer_gender(), "F");
    CHECK_STRING(client.update_personal_info(customer().customer_gender("M")).customer_gender(), "M");

    check_about = "clear and unset";
    update.customer_gender("F").customer_birth_date("never").user_code(1).unset("user_code");
    CHECK_STRING(send(client, update).field(), "customer_birth_date");
    update.unset("customer_birth_date").unset("customer_gender");
    CHECK_STRING(client.update_personal_info(update).customer_gender(), "M");
    CHECK_STRING(send(client, update.unset("gender")).field(), "gender");
    CHECK_STRING(send(client, update.clear()).field(), "customer_box_id");
    update.customer_box_id(811111).customer_key(sandbox_key);
    CHECK_STRING(client.update_personal_info(update).customer_gender(), "M");
}

// A check throws what the call would; its parentheses keep it from the macro of check.h. A time that is over is over at once, and not the client's.
static void a_check_and_a_timeout(const char *url)
{
    const skypostal::client client(options_for(url));
    skypostal::update update = customer();

    check_about = "check and timeout";
    (client.check)(update);
    for (const std::chrono::milliseconds over :
         {std::chrono::milliseconds(-1), std::chrono::milliseconds::min()}) {
        const skypostal::error error = send(client, update.timeout(over));
        CHECK(error.kind() == skypostal::kind::timeout || error.kind() == skypostal::kind::ok);
        CHECK(error.kind() == skypostal::kind::ok || std::strstr(error.what(), "0.001 s"));
    }
    update.timeout(std::chrono::milliseconds(0)).timeout(std::chrono::milliseconds::max());
    client.update_personal_info(update);
    const skypostal::error error = thrown([&] { (client.check)(update.customer_gender("X")); });
    check_error(error, skypostal::kind::invalid_field, skypostal::delivery::not_sent, 0);
    CHECK_STRING(error.field(), "customer_gender");
}

// The client and its bulks keep the function, which may be the last owner of what it holds.
static void a_log(const char *url)
{
    auto lines = std::make_shared<std::vector<std::string>>();
    skypostal::options options = options_for(url);
    options.log([lines](const std::string &line) {
        lines->push_back(line);
        throw std::runtime_error("ends in the log");
    });
    skypostal::client client(options);

    check_about = "log";
    options = skypostal::options();
    client.update_personal_info(customer());
    CHECK_INT(static_cast<int>(lines->size()), 1);
    CHECK_HOLDS(lines->at(0).c_str(), ": 200 in ");
    skypostal::bulk bulk(client);
    client = skypostal::client(options_for(url).log(nullptr));
    client.update_personal_info(customer());
    skypostal::outcome row;
    CHECK(bulk.submit(customer()) && bulk.next(row) && row);
    CHECK_INT(row.info().attempts(), 1);
    CHECK_INT(static_cast<int>(lines->size()), 2);
    CHECK(lines.use_count() == 2);
    bulk = skypostal::bulk(client);
    CHECK(lines.use_count() == 1);
}

// What a setter finds wrong is thrown by the call, until the setter gets a good value.
static void bad_fields(const char *url)
{
    const skypostal::client client(options_for(url));
    skypostal::update update = customer();

    check_about = "bad fields";
    update.customer_gender("X").customer_birth_date("1980-02-30");
    skypostal::error error = send(client, update);
    check_error(error, skypostal::kind::invalid_field, skypostal::delivery::not_sent, 0);
    CHECK_STRING(error.field(), "customer_gender");
    update.customer_gender("M");
    CHECK_STRING(send(client, update).field(), "customer_birth_date");
    update.customer_birth_date("2000-02-29").customer_first_name(std::string("a\0b", 3));
    error = send(client, update);
    CHECK_STRING(error.field(), "customer_first_name");
    CHECK_HOLDS(error.what(), "control character (character 2)");
    update.customer_first_name(nullptr).customer_box_id(-1);
    CHECK_STRING(send(client, update).field(), "customer_box_id");
    update.customer_box_id(811111).customer_key(nullptr);
    CHECK_STRING(send(client, update).field(), "customer_key");
    CHECK_STRING(send(client, update.customer_key(sandbox_key).user_code(0)).field(), "user_code");
}

static skypostal::optional<std::string> bad_option(const skypostal::options &options)
{
    const skypostal::error error = thrown([&] { skypostal::client client(options); });
    CHECK_INT(static_cast<int>(error.delivery()), SKYPOSTAL_DELIVERY_NOT_SENT);
    return error.field();
}

static void every_option()
{
    const std::chrono::milliseconds longest(UINT32_MAX), none(0);
    skypostal::options options;

    check_about = "options";
    CHECK_STRING(bad_option(options.user_code(0)), "user_code");
    CHECK_STRING(bad_option(options.user_code(396).app_key("")), "app_key");
    CHECK_STRING(bad_option(options.app_key("a key").environment("prod")), "environment");
    CHECK_STRING(bad_option(options.environment("test").base_url("nonsense")), "base_url");
    CHECK_STRING(bad_option(options.base_url(std::string("http://localhost\0", 17))), "base_url");
    options.base_url("http://localhost");
    for (const std::chrono::milliseconds bad :
         {none, std::chrono::milliseconds(-1), longest + std::chrono::milliseconds(1),
          std::chrono::milliseconds::max(), std::chrono::milliseconds::min()}) {
        CHECK_STRING(bad_option(options.timeout(bad)), "timeout");
        CHECK_STRING(bad_option(options.timeout(longest).connect_timeout(bad)), "connect_timeout");
        options.connect_timeout(longest);
    }
    options.timeout(std::chrono::hours(1)).connect_timeout(std::chrono::seconds(1));
    CHECK_STRING(bad_option(options.max_retries(-1)), "max_retries");
    CHECK_STRING(bad_option(options.max_retries(3).user_agent("a\nb")), "user_agent");
    options.user_agent("shop/1.2").user_agent(nullptr);
    CHECK_STRING(bad_option(options.proxy("socks5://localhost")), "proxy");
    CHECK_STRING(bad_option(options.proxy(nullptr).ca_file("/no/such/file")), "ca_file");
    options.ca_file(nullptr).base_url("http://192.0.2.1").trust_env(false);
    CHECK_STRING(bad_option(options), "base_url");
    CHECK_STRING(bad_option(options.allow_http(true)), "absent");
    CHECK_INT(skypostal_options_set_user_code(options.get(), 1), SKYPOSTAL_OK);
}

static void refusals(const char *url)
{
    check_about = "refused";
    const skypostal::client client(options_for(url));
    const skypostal::error error = send(client, customer().app_key("not the key"));
    check_error(error, skypostal::kind::refused, skypostal::delivery::rejected, 1);
    CHECK_STRING(error.description(), "user_code and app_key do not match");
    CHECK_STRING(error.location(), "app_key");
    CHECK(!error.system_error());
    CHECK(!error.field() && !error.body() && !error.http_status() && !error.retry_after());
}

static void faults(const char *url)
{
    const skypostal::client client(options_for(url));
    const skypostal::update update = customer();

    check_about = "status";
    skypostal::error error = send(client, update);
    check_error(error, skypostal::kind::status, skypostal::delivery::unknown, 1);
    CHECK_INT(error.http_status().value(), 503);
    CHECK(error.retry_after() == std::chrono::milliseconds(7000));
    CHECK_STRING(error.body(), "busy");
    CHECK_STRING(error.response_headers(), "x-request-id: 42");

    check_about = "response";
    error = send(client, update);
    check_error(error, skypostal::kind::response, skypostal::delivery::unknown, 1);
    CHECK_STRING(error.body(), "[]");

    check_about = "system error";
    error = send(client, update);
    check_error(error, skypostal::kind::refused, skypostal::delivery::unknown, 1);
    CHECK(error.system_error());

    check_about = "lost";
    check_error(send(client, update), skypostal::kind::lost, skypostal::delivery::unknown, 1);

    check_about = "timeout";
    const skypostal::client hasty(options_for(url).timeout(std::chrono::milliseconds(300)));
    check_error(send(hasty, update), skypostal::kind::timeout, skypostal::delivery::unknown, 1);

    check_about = "cancelled";
    // A cancel that comes before the call has entered does nothing.
    std::atomic<bool> ended(false);
    std::thread caller([&] {
        error = send(client, update);
        ended = true;
    });
    while (!ended)
        CHECK(client.cancel());
    caller.join();
    CHECK(error.kind() == skypostal::kind::cancelled);
}

static void many_updates(const char *url)
{
    const skypostal::client client(options_for(url));
    skypostal::bulk bulk(client, 2);
    skypostal::outcome row;
    std::vector<skypostal::personal_info> infos;
    std::vector<skypostal::error> errors;
    int submitted = 0;

    check_about = "bulk";
    CHECK_INT(row.index(), -1);
    CHECK(!row && !row.info().raw() && row.get() == nullptr);
    CHECK(row.result() == skypostal::kind::misuse && row.error().kind() == skypostal::kind::misuse);
    do {
        for (; submitted < 10 && bulk.capacity() > 0; submitted++)
            CHECK(bulk.submit(customer().customer_gender(submitted == 3 ? "X" : "M")));
        if (row) {
            CHECK_STRING(row.info().customer_gender(), "M");
            CHECK(row.result() == skypostal::kind::ok && row.error().kind() == skypostal::kind::ok);
            CHECK_INT(row.attempts(), 1);
            infos.push_back(row.info());
        } else if (row.index() >= 0) {
            CHECK_INT(row.index(), 3);
            CHECK_INT(row.attempts(), 0);
            CHECK(row.result() == skypostal::kind::invalid_field && !row.info().raw());
            errors.push_back(row.error());
        }
    } while (bulk.next(row));
    CHECK_INT(row.index(), -1);

    check_about = "what outlives its outcome";
    CHECK_INT(static_cast<int>(infos.size()), 9);
    for (const skypostal::personal_info &info : infos)
        CHECK_STRING(info.customer_gender(), "M");
    CHECK_INT(static_cast<int>(errors.size()), 1);
    check_error(errors[0], skypostal::kind::invalid_field, skypostal::delivery::not_sent, 0);
    CHECK_STRING(errors[0].field(), "customer_gender");

    check_about = "a bulk that stops";
    const skypostal::client nowhere(options_for("http://127.0.0.1:9"));
    skypostal::bulk stopped(nowhere, 1, 1000);
    for (submitted = 0; submitted < 10; submitted++)
        CHECK(stopped.submit(customer()));
    for (submitted = 0; submitted < 10; submitted++) {
        CHECK(stopped.next(row));
        check_error(row.error(), skypostal::kind::connect, skypostal::delivery::not_sent, 1);
    }
    CHECK(!stopped.submit(customer()));
    CHECK(thrown([&] { stopped.next(row); }).kind() == skypostal::kind::connect);
    CHECK_STRING(thrown([&] { skypostal::bulk none(client, 101); }).field(), "concurrency");
    CHECK_STRING(thrown([&] { skypostal::bulk none(client, 1, -1); }).field(), "rate");

    check_about = "a bulk that moved";
    skypostal::bulk moved(std::move(bulk));
    CHECK(moved.submit(customer()) && moved.next(row) && row.index() == 10);
    CHECK(bulk.get() == nullptr && bulk.capacity() == 0 && moved.get() != nullptr);
    CHECK(thrown([&] { bulk.submit(customer()); }).kind() == skypostal::kind::misuse);
    CHECK(thrown([&] { bulk.next(row); }).kind() == skypostal::kind::misuse);
    skypostal::outcome row_2(std::move(row));
    CHECK(row_2.index() == 10 && row_2 && row.index() == -1 && !row && row.get() == nullptr);
}

static void moves(const char *url)
{
    skypostal::options options = options_for(url);
    skypostal::client client(options);
    skypostal::update update = customer();
    skypostal::personal_info info = client.update_personal_info(update);

    check_about = "moved to";
    skypostal::options options_2(std::move(options));
    skypostal::client client_2(std::move(client));
    skypostal::update update_2(std::move(update));
    skypostal::personal_info info_2(std::move(info));
    CHECK(info_2.cust_id().has_value());
    CHECK(client_2.update_personal_info(update_2).cust_id() == info_2.cust_id());

    check_about = "moved from";
    const auto misuse = skypostal::kind::misuse;
    const auto not_sent = skypostal::delivery::not_sent;
    check_error(thrown([&] { options.max_retries(1); }), misuse, not_sent, 0);
    check_error(thrown([&] { options.read_environment(); }), misuse, not_sent, 0);
    check_error(thrown([&] { skypostal::client none(options); }), misuse, not_sent, 0);
    check_error(thrown([&] { update.customer_gender("M"); }), misuse, not_sent, 0);
    check_error(send(client, update_2), misuse, not_sent, 0);
    CHECK_HOLDS(send(client_2, update).what(), "update is NULL");
    CHECK(!client.cancel());
    CHECK(options.get() == nullptr && client.get() == nullptr && update.get() == nullptr);
    CHECK(info.get() == nullptr && !info.cust_id() && !info.customer_first_name() && !info.raw());

    check_about = "assigned to again";
    options = std::move(options_2);
    client = skypostal::client(options);
    update = std::move(update_2);
    info = client.update_personal_info(update);
    CHECK(info.cust_id().has_value());
    std::vector<skypostal::client> clients;
    clients.push_back(std::move(client));
    clients.emplace_back(options);
    CHECK(clients[0].cancel() && clients[1].cancel());
}

// An error outlives what it came from, is caught by its bases, and may be copied and stored.
static void exceptions(const char *url)
{
    std::exception_ptr stored;
    skypostal::error kept(skypostal::kind::ok);

    check_about = "exceptions";
    try {
        skypostal::client(options_for(url)).update_personal_info(skypostal::update());
    } catch (const std::runtime_error &error) {
        CHECK_HOLDS(error.what(), "customer_box_id");
        kept = dynamic_cast<const skypostal::error &>(error);
        stored = std::current_exception();
    }
    CHECK_STRING(kept.field(), "customer_box_id");
    try {
        std::rethrow_exception(stored);
    } catch (const skypostal::error &error) {
        CHECK_TEXT(error.what(), kept.what());
    }
    CHECK_TEXT(skypostal::error(skypostal::kind::misuse).what(),
               skypostal::strerror(skypostal::kind::misuse));
}

int main(int argc, char **argv)
{
    if (argc != 3)
        return 2;
    // On a thread: see run_on_a_thread in tests/c/support.h.
    std::thread([argv] {
        the_version_and_the_texts();
        optionals();
        an_update(argv[1]);
        a_check_and_a_timeout(argv[1]);
        a_log(argv[1]);
        bad_fields(argv[1]);
        every_option();
        refusals(argv[1]);
        faults(argv[2]);
        many_updates(argv[1]);
        moves(argv[1]);
        exceptions(argv[1]);
    }).join();
    return check_result();
}
