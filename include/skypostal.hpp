/*
 * skypostal for C++11 and later, over skypostal.h, whose manual holds here too.
 *
 * A whole program:
 *
 *     #include <iostream>
 *     #include <skypostal.hpp>
 *
 *     int main()
 *     {
 *         try {
 *             skypostal::options options;
 *             options.read_environment().timeout(std::chrono::seconds(10));
 *             skypostal::client client(options);
 *
 *             skypostal::update update;
 *             update.customer_box_id(811111)
 *                 .customer_key("the customer's key")
 *                 .customer_first_name("New Name");
 *
 *             skypostal::personal_info info = client.update_personal_info(update);
 *             std::cout << "now " << info.customer_first_name().value_or("nameless") << '\n';
 *         } catch (const skypostal::error &error) {
 *             std::cout << error.what() << '\n';
 *             if (error.delivery() == skypostal::delivery::unknown)
 *                 std::cout << "perhaps updated: run this again\n";
 *             return 1;
 *         }
 *     }
 *
 * - Header only: link the C library. Each class owns one C handle and each member calls the C
 *   function of its name. A client and its bulks also own the function that they log to.
 * - options, client, update, bulk, outcome and personal_info can be moved, not copied. One that
 *   was moved from holds nothing: it may be destroyed and assigned to; any other use is an error
 *   of kind::misuse, or gives what is absent.
 * - Setters return their object, so that they chain. A bad value does not throw: it is remembered
 *   until the same setter gets a good one, and the client's constructor or update_personal_info
 *   throws it with its name.
 * - An update keeps its fields from call to call: a loop over customers calls clear() first for
 *   each, or makes a new update.
 * - What may be absent is an optional. Texts are UTF-8, and copied.
 * - Threads are as in C: a client may be used by many threads at once, options, updates and bulks
 *   belong to one thread at a time. All threads may read errors, outcomes and personal information.
 * - Functions throw skypostal::error, and std::bad_alloc where texts are copied.
 */
#ifndef SKYPOSTAL_HPP
#define SKYPOSTAL_HPP

#include <skypostal.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>

namespace skypostal {

/** The kind of an error: a result code of skypostal.h. A later library may give numbers that are
 * not here. */
enum class kind : int {
    ok = SKYPOSTAL_OK,
    invalid_field = SKYPOSTAL_INVALID_FIELD,
    configuration = SKYPOSTAL_CONFIGURATION,
    connect = SKYPOSTAL_CONNECT,
    tls = SKYPOSTAL_TLS,
    lost = SKYPOSTAL_LOST,
    timeout = SKYPOSTAL_TIMEOUT,
    status = SKYPOSTAL_STATUS,
    refused = SKYPOSTAL_REFUSED,
    response = SKYPOSTAL_RESPONSE,
    cancelled = SKYPOSTAL_CANCELLED,
    internal = SKYPOSTAL_INTERNAL,
    misuse = SKYPOSTAL_MISUSE
};

/** Was the customer changed? */
enum class delivery : int {
    /** No: nothing of the update reached the service. */
    not_sent = SKYPOSTAL_DELIVERY_NOT_SENT,
    /** No: the service responded that it did not make the change. */
    rejected = SKYPOSTAL_DELIVERY_REJECTED,
    /** Perhaps. Sending the same update again is harmless: it leaves the same record. */
    unknown = SKYPOSTAL_DELIVERY_UNKNOWN
};

/** Returns the meaning of a kind, in a few words. */
inline const char *strerror(kind kind) noexcept
{
    return skypostal_strerror(static_cast<int>(kind));
}

/** Returns the meaning of a delivery, in a few words. */
inline const char *delivery_text(delivery delivery) noexcept
{
    return skypostal_delivery_text(static_cast<int>(delivery));
}

/** The version of the library that is loaded, such as "0.1.0". */
inline const char *version() noexcept { return skypostal_version(); }

/** The same as a number, to be compared with SKYPOSTAL_VERSION_NUMBER, this header's. */
inline int version_number() noexcept { return skypostal_version_number(); }

/** Returns true if the library that is loaded has all that this header uses: it is as new, or
 * newer. */
inline bool version_is_sufficient() noexcept { return version_number() >= SKYPOSTAL_VERSION_NUMBER; }

/** A value that may be absent; a part of what std::optional is from C++17 on. */
template <typename T>
class optional {
public:
    optional() noexcept : value_(), has_value_(false) {}
    optional(T value) : value_(std::move(value)), has_value_(true) {}

    bool has_value() const noexcept { return has_value_; }
    explicit operator bool() const noexcept { return has_value_; }

    /** The value; std::logic_error if it is absent. */
    const T &value() const
    {
        if (!has_value_)
            throw std::logic_error("skypostal: a value that is absent was asked for");
        return value_;
    }

    /** The same without a check: only where there is a value. */
    const T &operator*() const noexcept { return value_; }
    const T *operator->() const noexcept { return &value_; }

    /** The value, or this one if it is absent. */
    T value_or(T other) const { return has_value_ ? value_ : other; }

    friend bool operator==(const optional &a, const optional &b)
    {
        return a.has_value_ == b.has_value_ && (!a.has_value_ || a.value_ == b.value_);
    }
    friend bool operator!=(const optional &a, const optional &b) { return !(a == b); }

private:
    T value_;
    bool has_value_;
};

/** The text that a setter takes: a std::string or a C string, which nullptr unsets. */
class text {
public:
    text(const char *value) noexcept : value_(value) {}
    text(const std::string &value) : value_(value.c_str())
    {
        // C would see its beginning alone; a control character is refused in its place.
        if (value.find('\0') != std::string::npos) {
            changed_ = value;
            for (char &character : changed_)
                character = character == '\0' ? '\x01' : character;
            value_ = changed_.c_str();
        }
    }
    text(const text &) = delete;
    text &operator=(const text &) = delete;

    const char *c_str() const noexcept { return value_; }

private:
    std::string changed_;
    const char *value_;
};

namespace detail {

struct release {
    void operator()(skypostal_options *handle) const noexcept { skypostal_options_free(handle); }
    void operator()(skypostal_client *handle) const noexcept { skypostal_client_free(handle); }
    void operator()(skypostal_update *handle) const noexcept { skypostal_update_free(handle); }
    void operator()(skypostal_personal_info *handle) const noexcept
    {
        skypostal_personal_info_free(handle);
    }
    void operator()(skypostal_error *handle) const noexcept { skypostal_error_free(handle); }
    void operator()(skypostal_bulk *handle) const noexcept { skypostal_bulk_free(handle); }
    void operator()(skypostal_outcome *handle) const noexcept { skypostal_outcome_free(handle); }
};

template <typename Handle>
using owned = std::unique_ptr<Handle, release>;

// A handle that is only read; or one that an outcome lends, which lives as long as this does.
template <typename Handle>
using shared = std::shared_ptr<const Handle>;

inline optional<std::string> copy(const char *borrowed)
{
    return borrowed == nullptr ? optional<std::string>() : optional<std::string>(borrowed);
}

} // namespace detail

/** Why a function or a row of a bulk failed. Can be copied, as exceptions must; the copies share one
 * C handle. */
class error : public std::runtime_error {
public:
    /** Takes over the handle that a C function gave. */
    explicit error(skypostal_error *handle)
        : error(static_cast<skypostal::kind>(skypostal_error_kind(handle)),
                detail::shared<skypostal_error>(handle, detail::release()))
    {
    }

    /** An error of which no more is known, and nothing was sent. */
    explicit error(skypostal::kind kind) : error(kind, detail::shared<skypostal_error>()) {}

    /** Returns the kind. what() returns the message, one line without keys or personal data. */
    skypostal::kind kind() const noexcept { return kind_; }

    /** Returns whether the customer was changed. The kind does not say: an earlier attempt may have
     * been lost. */
    skypostal::delivery delivery() const noexcept
    {
        return handle_ == nullptr
            ? skypostal::delivery::not_sent
            : static_cast<skypostal::delivery>(skypostal_error_delivery(handle_.get()));
    }

    /** Returns the number of attempts that were begun; 0 when nothing was tried. */
    int attempts() const noexcept { return skypostal_error_attempts(handle_.get()); }

    /** Returns the field that is invalid, or the option that is unusable. */
    optional<std::string> field() const
    {
        return detail::copy(skypostal_error_field(handle_.get()));
    }

    /** Returns the HTTP status, for kind::status. */
    optional<int> http_status() const noexcept
    {
        const int http_status = skypostal_error_http_status(handle_.get());
        return http_status == 0 ? optional<int>() : optional<int>(http_status);
    }

    /** Returns the time that the service asked to wait. */
    optional<std::chrono::milliseconds> retry_after() const noexcept
    {
        const std::chrono::milliseconds wait(skypostal_error_retry_after_ms(handle_.get()));
        return wait.count() < 0 ? optional<std::chrono::milliseconds>() : wait;
    }

    /** Returns the service's own words for a refusal; keys are redacted. */
    optional<std::string> description() const
    {
        return detail::copy(skypostal_error_description(handle_.get()));
    }

    /** Returns the place in the service where a refusal arose, in the service's words. */
    optional<std::string> location() const
    {
        return detail::copy(skypostal_error_location(handle_.get()));
    }

    /** Returns true if the service called it an error of its own system; the change may have been
     * made. */
    bool system_error() const noexcept { return skypostal_error_system_error(handle_.get()) == 1; }

    /** Returns an excerpt of the response, for kind::status and kind::response; it may hold personal
     * data. */
    optional<std::string> body() const
    {
        return detail::copy(skypostal_error_body(handle_.get()));
    }

    /** The headers of the response that help SkyPostal to find the call, such as x-request-id: a line
     * "name: value" for each; absent if there is none. Keys are redacted. */
    optional<std::string> response_headers() const
    {
        return detail::copy(skypostal_error_response_headers(handle_.get()));
    }

private:
    friend class outcome;

    error(skypostal::kind kind, detail::shared<skypostal_error> handle)
        : std::runtime_error(
              handle == nullptr ? strerror(kind) : skypostal_error_message(handle.get())),
          kind_(kind), handle_(std::move(handle))
    {
    }

    skypostal::kind kind_;
    detail::shared<skypostal_error> handle_;
};

namespace detail {

// The handle remembers a bad value, which is thrown with its name later. All else is thrown now.
inline void check_setter(int result)
{
    if (result != SKYPOSTAL_OK && result != SKYPOSTAL_INVALID_FIELD
        && result != SKYPOSTAL_CONFIGURATION)
        throw error(static_cast<kind>(result));
}

// A value that C cannot take becomes 0, which is refused with the bounds.
inline std::uint32_t milliseconds(std::chrono::milliseconds time) noexcept
{
    const bool fits = time.count() > 0 && time.count() <= static_cast<std::int64_t>(UINT32_MAX);
    return fits ? static_cast<std::uint32_t>(time.count()) : 0;
}

// The function that a client logs to; the client and its bulks share it.
using log = std::shared_ptr<const std::function<void(const std::string &)>>;

extern "C" inline void skypostal_detail_write_log(void *user_data, const char *line) noexcept
{
    try {
        (*static_cast<const std::function<void(const std::string &)> *>(user_data))(line);
    } catch (...) {
        // An exception must not cross the library.
    }
}

} // namespace detail

/** The options of a client: the test environment, 30 s, 10 s and 2 retries unless set. */
class options {
public:
    options() : handle_(skypostal_options_new()) {}

    /** Reads SKYPOSTAL_USER_CODE, SKYPOSTAL_APP_KEY or the file that SKYPOSTAL_APP_KEY_FILE names,
     * SKYPOSTAL_ENVIRONMENT and SKYPOSTAL_BASE_URL; what a setter sets wins. */
    options &read_environment() { return set(skypostal_options_read_environment(get())); }

    /** The user code given by SkyPostal: positive. An update may bring its own. */
    options &user_code(std::int64_t value)
    {
        return set(skypostal_options_set_user_code(get(), value));
    }

    /** The application key given by SkyPostal. Secret. An update may bring its own. */
    options &app_key(const text &value)
    {
        return set(skypostal_options_set_app_key(get(), value.c_str()));
    }

    /** "test" or "production". */
    options &environment(const text &value)
    {
        return set(skypostal_options_set_environment(get(), value.c_str()));
    }

    /** Where the service is, "https://host:port"; wins over the environment. */
    options &base_url(const text &value)
    {
        return set(skypostal_options_set_base_url(get(), value.c_str()));
    }

    /** The timeout of a whole call, retries and waits included: from 1 ms to 49 days. */
    options &timeout(std::chrono::milliseconds value)
    {
        return set(skypostal_options_set_timeout_ms(get(), detail::milliseconds(value)));
    }

    /** The timeout of one connection, from the look-up of the name to TLS. */
    options &connect_timeout(std::chrono::milliseconds value)
    {
        return set(skypostal_options_set_connect_timeout_ms(get(), detail::milliseconds(value)));
    }

    /** The number of retries of a call at most; with 0 an update is sent at most once. */
    options &max_retries(int value)
    {
        return set(skypostal_options_set_max_retries(get(), value));
    }

    /** The proxy to use, "http://[user:password@]host:port"; wins over the environment's. */
    options &proxy(const text &value)
    {
        return set(skypostal_options_set_proxy(get(), value.c_str()));
    }

    /** The path of a PEM file of certificates to trust beside the operating system's. */
    options &ca_file(const text &value)
    {
        return set(skypostal_options_set_ca_file(get(), value.c_str()));
    }

    /** True if the proxy variables are read, such as HTTPS_PROXY and NO_PROXY. */
    options &trust_env(bool value)
    {
        return set(skypostal_options_set_trust_env(get(), value ? 1 : 0));
    }

    /** True if plain http:// may leave this machine, with the keys readable on the way. */
    options &allow_http(bool value)
    {
        return set(skypostal_options_set_allow_http(get(), value ? 1 : 0));
    }

    /** The name of your program, such as "shop/1.2", which follows this library's in User-Agent. */
    options &user_agent(const text &value)
    {
        return set(skypostal_options_set_user_agent(get(), value.c_str()));
    }

    /**
     * The function that receives one line for each attempt of a call or a row when it has ended. The
     * line holds no key and no personal data. An empty function, the default: no log.
     *
     * The function runs on the thread that waits for the call, or that takes the outcome of a row: so
     * perhaps on several threads at once. An exception of it ends there, unseen. It may make a call
     * of its own, which is not logged. The client and its bulks keep it alive.
     */
    options &log(std::function<void(const std::string &)> function)
    {
        const bool logs = static_cast<bool>(function);
        log_ = logs ? std::make_shared<const std::function<void(const std::string &)>>(
                          std::move(function))
                    : nullptr;
        void *user_data = const_cast<std::function<void(const std::string &)> *>(log_.get());
        return set(skypostal_options_set_log(
            get(), logs ? detail::skypostal_detail_write_log : nullptr, user_data));
    }

    /** The C handle, still owned by this object; NULL once it was moved from. */
    skypostal_options *get() const noexcept { return handle_.get(); }

private:
    options &set(int result)
    {
        detail::check_setter(result);
        return *this;
    }

    friend class client;

    detail::owned<skypostal_options> handle_;
    detail::log log_;
};

/**
 * Which customer to change, and what. What is not set is not sent, and keeps its value.
 *
 * WARNING: a loop that uses one update for many customers must call clear() first for each of them.
 * A field that it does not set for a customer would otherwise be sent with the value of the
 * customer before.
 */
class update {
public:
    update() : handle_(skypostal_update_new()) {}

    /** Unsets every field and the timeout, and forgets every bad value: the update is as new. */
    update &clear() noexcept
    {
        skypostal_update_clear(get());
        return *this;
    }

    /** Unsets one field by its name, such as "user_code", an integer too. */
    update &unset(const text &field)
    {
        return set(skypostal_update_unset(get(), field.c_str()));
    }

    /** The timeout of the call or the row that sends this update, in place of the client's
     * timeout. 0, the default: the client's. A time that is over, below 0, counts as 1 ms. */
    update &timeout(std::chrono::milliseconds value)
    {
        const bool is_long = value.count() > static_cast<std::int64_t>(UINT32_MAX);
        const std::uint32_t bounded = is_long ? UINT32_MAX
            : value.count() < 0               ? 1
                                              : static_cast<std::uint32_t>(value.count());
        return set(skypostal_update_set_timeout_ms(get(), bounded));
    }

    /** The user code given by SkyPostal, in place of the client's: positive. */
    update &user_code(std::int64_t value)
    {
        return set(skypostal_update_set_user_code(get(), value));
    }

    /** The application key given by SkyPostal, in place of the client's. Secret. */
    update &app_key(const text &value)
    {
        return set(skypostal_update_set_app_key(get(), value.c_str()));
    }

    /** The customer's box, obtained by registration or login: positive. Required. */
    update &customer_box_id(std::int64_t value)
    {
        return set(skypostal_update_set_customer_box_id(get(), value));
    }

    /** The customer's key, obtained by registration or login. Required. Secret. */
    update &customer_key(const text &value)
    {
        return set(skypostal_update_set_customer_key(get(), value.c_str()));
    }

    /** The new first name. */
    update &customer_first_name(const text &value)
    {
        return set(skypostal_update_set_customer_first_name(get(), value.c_str()));
    }

    /** The new last name. */
    update &customer_last_name(const text &value)
    {
        return set(skypostal_update_set_customer_last_name(get(), value.c_str()));
    }

    /** The new identity number. */
    update &customer_identity_number(const text &value)
    {
        return set(skypostal_update_set_customer_identity_number(get(), value.c_str()));
    }

    /** The new tax number: digits with an optional fraction, at most 28 digits. */
    update &customer_tax_number(const text &value)
    {
        return set(skypostal_update_set_customer_tax_number(get(), value.c_str()));
    }

    /** The new birth date: "YYYY-MM-DD", from 1753-01-01 to today. */
    update &customer_birth_date(const text &value)
    {
        return set(skypostal_update_set_customer_birth_date(get(), value.c_str()));
    }

    /** The new gender: "M" or "F". */
    update &customer_gender(const text &value)
    {
        return set(skypostal_update_set_customer_gender(get(), value.c_str()));
    }

    /** The C handle, still owned by this object; NULL once it was moved from. */
    skypostal_update *get() const noexcept { return handle_.get(); }

private:
    update &set(int result)
    {
        detail::check_setter(result);
        return *this;
    }

    detail::owned<skypostal_update> handle_;
};

/** A customer's personal information after an update, as the service reported it. */
class personal_info {
public:
    /** Takes over the handle that a C function gave. */
    explicit personal_info(skypostal_personal_info *handle) : handle_(handle, detail::release()) {}

    personal_info(personal_info &&) noexcept = default;
    personal_info &operator=(personal_info &&) noexcept = default;

    /** Returns the number of attempts that were begun until the service accepted the update. */
    int attempts() const noexcept { return skypostal_personal_info_attempts(get()); }

    /** The service's own number of the customer. */
    optional<std::int64_t> cust_id() const noexcept
    {
        const std::int64_t id = skypostal_personal_info_cust_id(get());
        return id == 0 ? optional<std::int64_t>() : optional<std::int64_t>(id);
    }

    /** The first name. */
    optional<std::string> customer_first_name() const
    {
        return detail::copy(skypostal_personal_info_customer_first_name(get()));
    }

    /** The last name. */
    optional<std::string> customer_last_name() const
    {
        return detail::copy(skypostal_personal_info_customer_last_name(get()));
    }

    /** The identity number. */
    optional<std::string> customer_identity_number() const
    {
        return detail::copy(skypostal_personal_info_customer_identity_number(get()));
    }

    /** The tax number in decimal, with every digit the service sent. */
    optional<std::string> customer_tax_number() const
    {
        return detail::copy(skypostal_personal_info_customer_tax_number(get()));
    }

    /** The birth date, "YYYY-MM-DD". */
    optional<std::string> customer_birth_date() const
    {
        return detail::copy(skypostal_personal_info_customer_birth_date(get()));
    }

    /** The gender, "M" or "F" as documented. */
    optional<std::string> customer_gender() const
    {
        return detail::copy(skypostal_personal_info_customer_gender(get()));
    }

    /** The whole JSON object that the service sent; absent only once this was moved from. */
    optional<std::string> raw() const { return detail::copy(skypostal_personal_info_raw(get())); }

    /** The C handle, still owned by this object; NULL once it was moved from. */
    const skypostal_personal_info *get() const noexcept { return handle_.get(); }

private:
    friend class outcome;

    explicit personal_info(detail::shared<skypostal_personal_info> handle) noexcept
        : handle_(std::move(handle))
    {
    }

    detail::shared<skypostal_personal_info> handle_;
};

/** The outcome of one row of a bulk. */
class outcome {
public:
    /** Of no row, to be filled by bulk::next. */
    outcome() noexcept {}

    /** Takes over the handle that a C function gave. */
    explicit outcome(skypostal_outcome *handle) : handle_(handle, detail::release()) {}

    outcome(outcome &&) noexcept = default;
    outcome &operator=(outcome &&) noexcept = default;

    /** The number of the row in its bulk, from 0 on; -1 of no row. */
    std::int64_t index() const noexcept { return skypostal_outcome_index(get()); }

    /** Returns kind::ok, or the kind of the row's error; kind::misuse of no row. */
    kind result() const noexcept { return static_cast<kind>(skypostal_outcome_result(get())); }

    /** Returns true if the service accepted the update. */
    explicit operator bool() const noexcept { return result() == kind::ok; }

    /** Returns the number of attempts that were begun; 0 when nothing was tried. */
    int attempts() const noexcept { return skypostal_outcome_attempts(get()); }

    /** The record as it then is; of a row that failed all is absent. May outlive this. */
    personal_info info() const noexcept
    {
        return personal_info({handle_, skypostal_outcome_info(get())});
    }

    /** Why the row failed; of kind::ok if it did not. May outlive this. */
    skypostal::error error() const
    {
        const skypostal_error *handle = skypostal_outcome_error(get());
        return handle == nullptr ? skypostal::error(result())
                                 : skypostal::error(result(), {handle_, handle});
    }

    /** The C handle, still owned by this object; NULL of no row, and once it was moved from. */
    const skypostal_outcome *get() const noexcept { return handle_.get(); }

private:
    detail::shared<skypostal_outcome> handle_;
};

/** A client with its connections. Made once, used for every call, by any number of threads. Destroy it
 * or assign to it when no call with it is in flight. */
class client {
public:
    /** The options are copied. Throws an error that names the first option that is unusable. */
    explicit client(const options &options) : log_(options.log_)
    {
        skypostal_client *handle = nullptr;
        skypostal_error *error = nullptr;
        if (skypostal_client_new(options.get(), &handle, &error) != SKYPOSTAL_OK)
            throw skypostal::error(error);
        handle_.reset(handle);
    }

    /** Sends the update and waits for the response, for as long as the timeout at most. Throws an
     * error, whose delivery() says whether the customer was changed. */
    personal_info update_personal_info(const update &update) const
    {
        skypostal_personal_info *info = nullptr;
        skypostal_error *error = nullptr;
        const int result
            = skypostal_client_update_personal_info(get(), update.get(), &info, &error);
        if (result != SKYPOSTAL_OK)
            throw skypostal::error(error);
        return personal_info(info);
    }

    /** Checks an update as the call that sends it does, and sends nothing. Throws an error that names
     * the first problem. */
    void check(const update &update) const
    {
        skypostal_error *error = nullptr;
        if (skypostal_client_check(get(), update.get(), &error) != SKYPOSTAL_OK)
            throw skypostal::error(error);
    }

    /** Ends the calls and bulks in flight, from any thread: each call, and the next() of each bulk in
     * the end, throws an error of kind::cancelled. False if this was moved from. */
    bool cancel() const noexcept { return skypostal_client_cancel(get()) == SKYPOSTAL_OK; }

    /** The C handle, still owned by this object; NULL once it was moved from. */
    const skypostal_client *get() const noexcept { return handle_.get(); }

private:
    friend class bulk;

    // It outlives the handle, whose calls write to it.
    detail::log log_;
    detail::owned<skypostal_client> handle_;
};

/**
 * Many updates in one go. Destroying it ends it.
 *
 *     skypostal::bulk bulk(client);
 *     skypostal::outcome outcome;
 *     do {
 *         while (bulk.capacity() > 0 && read_row(file, update.clear()))
 *             bulk.submit(update);
 *     } while (bulk.next(outcome) && report(outcome));
 */
class bulk {
public:
    /** A bulk without rows. At most so many rows are in flight at once, 1 to 100, or 0 for 8; and so
     * many attempts begin a second, or 0 for as many as the service takes. Throws an error that
     * names a number out of range. */
    explicit bulk(const client &client, int concurrency = 0, double rate = 0) : log_(client.log_)
    {
        skypostal_bulk *handle = nullptr;
        skypostal_error *error = nullptr;
        if (skypostal_bulk_new(client.get(), concurrency, rate, &handle, &error) != SKYPOSTAL_OK)
            throw skypostal::error(error);
        handle_.reset(handle);
    }

    /** Returns the number of rows that keep the bulk busy; 0 once it has stopped. Never waits. */
    int capacity() const noexcept { return skypostal_bulk_capacity(get()); }

    /** Submits a row, even if there is no capacity, and never waits. The update is copied; what is
     * wrong with it is the row's outcome. False if the bulk has stopped: the row was not submitted. */
    bool submit(const update &update)
    {
        const int result = skypostal_bulk_submit(get(), update.get());
        if (result == SKYPOSTAL_MISUSE)
            throw skypostal::error(skypostal::kind::misuse);
        return result == SKYPOSTAL_OK;
    }

    /** Waits for the next row to end, in any order. False, with an outcome of no row, when every row
     * that was submitted has had its outcome; if the bulk has stopped, throws why instead. */
    bool next(outcome &outcome)
    {
        skypostal_outcome *handle = nullptr;
        skypostal_error *error = nullptr;
        if (skypostal_bulk_next(get(), &handle, &error) != SKYPOSTAL_OK)
            throw skypostal::error(error);
        outcome = skypostal::outcome(handle);
        return handle != nullptr;
    }

    /** The C handle, still owned by this object; NULL once it was moved from. */
    skypostal_bulk *get() const noexcept { return handle_.get(); }

private:
    detail::log log_;
    detail::owned<skypostal_bulk> handle_;
};

} // namespace skypostal

#endif // SKYPOSTAL_HPP
