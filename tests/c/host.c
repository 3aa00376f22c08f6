/* What a host may do, and what it notices. The argument says which. */
#define _GNU_SOURCE /* for unshare */
#include "support.h"

#include <fcntl.h>
#include <locale.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>

extern char **environ;

static skypostal_client *client;

static int call(const char *name)
{
    skypostal_update *update = new_update();
    int result;
    skypostal_update_set_customer_first_name(update, name);
    result = skypostal_client_update_personal_info(client, update, NULL, NULL);
    skypostal_update_free(update);
    return result;
}

/* The same as a bulk of one row. */
static void run(const char *name)
{
    skypostal_update *update = new_update();
    skypostal_bulk *bulk = NULL;
    skypostal_outcome *outcome = NULL;
    CHECK_INT(skypostal_bulk_new(client, 1, 0, &bulk, NULL), SKYPOSTAL_OK);
    skypostal_update_set_customer_first_name(update, name);
    CHECK_INT(skypostal_bulk_submit(bulk, update), SKYPOSTAL_OK);
    CHECK_INT(skypostal_bulk_next(bulk, &outcome, NULL), SKYPOSTAL_OK);
    CHECK_INT(skypostal_outcome_index(outcome), 0);
    CHECK_INT(skypostal_outcome_result(outcome), SKYPOSTAL_OK);
    skypostal_outcome_free(outcome);
    skypostal_bulk_free(bulk);
    skypostal_update_free(update);
}

/* Numbers are part of the ABI. */
static void constants(void)
{
    static const int results[] = {
        SKYPOSTAL_OK, SKYPOSTAL_INVALID_FIELD, SKYPOSTAL_CONFIGURATION, SKYPOSTAL_CONNECT,
        SKYPOSTAL_TLS, SKYPOSTAL_LOST, SKYPOSTAL_TIMEOUT, SKYPOSTAL_STATUS, SKYPOSTAL_REFUSED,
        SKYPOSTAL_RESPONSE, SKYPOSTAL_CANCELLED, SKYPOSTAL_INTERNAL, SKYPOSTAL_MISUSE};
    int result;

    for (result = 0; result < (int)COUNT(results); result++)
        CHECK_INT(results[result], result);
    CHECK_INT(SKYPOSTAL_DELIVERY_NOT_SENT, 1);
    CHECK_INT(SKYPOSTAL_DELIVERY_REJECTED, 2);
    CHECK_INT(SKYPOSTAL_DELIVERY_UNKNOWN, 3);
}

static void *live(void *nothing)
{
    client = new_client(NULL);
    CHECK_INT(call("A"), SKYPOSTAL_OK);
    CHECK_INT(call(""), SKYPOSTAL_INVALID_FIELD);
    run("A");
    skypostal_client_free(client);
    return nothing;
}

static void small_stack(void)
{
    pthread_attr_t attributes;
    pthread_t thread;

    pthread_attr_init(&attributes);
    CHECK_INT(pthread_attr_setstacksize(&attributes, 128 * 1024), 0);
    CHECK_INT(pthread_create(&thread, &attributes, live, NULL), 0);
    CHECK_INT(pthread_join(thread, NULL), 0);
    pthread_attr_destroy(&attributes);
}

/* With TLS, certificates are read. */
static void surroundings(void)
{
    char locale[512], folder[512], now[512];
    char **environment = environ;

    setlocale(LC_ALL, "C.UTF-8");
    snprintf(locale, sizeof(locale), "%s", setlocale(LC_ALL, NULL));
    CHECK(getcwd(folder, sizeof(folder)) != NULL);
    live(NULL);
    client = new_client("https://127.0.0.1:9");
    CHECK_INT(call("A"), SKYPOSTAL_CONNECT);
    skypostal_client_free(client);
    CHECK_TEXT(setlocale(LC_ALL, NULL), locale);
    CHECK_TEXT(getcwd(now, sizeof(now)), folder);
    CHECK(environ == environment);
}

static volatile int stop, failed;

static void *keep_calling(void *nothing)
{
    while (!stop)
        if (call("Parent") != SKYPOSTAL_OK)
            failed = 1;
    return nothing;
}

/* The forks come while other threads call. */
static void fork_busy(void)
{
    pthread_t threads[2];
    size_t at;

    client = new_client(NULL);
    for (at = 0; at < COUNT(threads); at++)
        CHECK_INT(pthread_create(&threads[at], NULL, keep_calling, NULL), 0);
    for (at = 0; at < 20; at++) {
        int status = -1;
        pid_t child = fork();
        if (child == 0) {
            alarm(20);
            status = call("Child");
            skypostal_client_free(client);
            _exit(status);
        }
        CHECK_INT(waitpid(child, &status, 0), child);
        CHECK_INT(status, 0);
    }
    stop = 1;
    for (at = 0; at < COUNT(threads); at++)
        CHECK_INT(pthread_join(threads[at], NULL), 0);
    CHECK_INT(failed, 0);
    skypostal_client_free(client);
}

static int takes_any_advice;

/* What the library sees of the kernel: also one that takes any advice and follows none. */
int madvise(void *start, size_t length, int advice)
{
    return takes_any_advice ? 0 : (int)syscall(SYS_madvise, start, length, advice);
}

/* The next child is number 1 of a PID namespace. */
static void new_namespace(void)
{
    if (unshare(CLONE_NEWPID) != 0 && unshare(CLONE_NEWUSER | CLONE_NEWPID) != 0) {
        perror("this machine permits no PID namespace: run the test as root");
        exit(77);
    }
}

/* A new process in a namespace, without the handlers that fork calls. */
static pid_t raw_clone(void)
{
    return (pid_t)syscall(SYS_clone, CLONE_NEWPID | SIGCHLD, 0, 0, 0, 0);
}

static pid_t fork_in_namespace(void)
{
    new_namespace();
    return fork();
}

/* No other signal than SIGKILL ends number 1 of a namespace that hangs. */
static void wait_for(pid_t child)
{
    static const struct timespec a_moment = {0, 10000000};
    int status = -1, moments;

    for (moments = 0; waitpid(child, &status, WNOHANG) == 0; moments++) {
        if (moments == 1500)
            kill(child, SIGKILL);
        nanosleep(&a_moment, NULL);
    }
    CHECK_INT(status, 0);
}

/* Number 1 of a namespace makes a client, and so is its child, which uses the same one. */
static void same_number(pid_t (*fork_again)(void))
{
    pid_t child;

    CHECK_INT(getpid(), 1);
    client = new_client(NULL);
    CHECK_INT(call("Parent"), SKYPOSTAL_OK);
    run("Parent");
    child = fork_again();
    CHECK(child >= 0);
    if (child == 0) {
        CHECK_INT(syscall(SYS_getpid), 1);
        CHECK_INT(call("Child"), SKYPOSTAL_OK);
        run("Child");
        skypostal_client_free(client);
        _exit(check_failures);
    }
    wait_for(child);
    CHECK_INT(call("Parent"), SKYPOSTAL_OK);
    run("Parent");
    skypostal_client_free(client);
}

static void in_namespace(pid_t (*fork_again)(void))
{
    pid_t child;

    new_namespace();
    child = fork();
    if (child == 0) {
        same_number(fork_again);
        _exit(check_failures);
    }
    wait_for(child);
}

static void fork_namespace(void) { in_namespace(fork_in_namespace); }

static void fork_by_handler(void)
{
    takes_any_advice = 1;
    in_namespace(fork_in_namespace);
}

static void clone_namespace(void) { in_namespace(raw_clone); }

static void close_streams(void)
{
    int stream;
    for (stream = 0; stream <= 2; stream++)
        close(stream);
}

/* The host prints as ever, and neither a connection nor a file gets it. */
static void check_streams(void)
{
    int stream;
    for (stream = 0; stream <= 2; stream++) {
        char byte = 'x';
        CHECK_INT(write(stream, &byte, 1), -1);
        CHECK_INT(read(stream, &byte, 1), -1);
        CHECK(fcntl(stream, F_GETFD) & FD_CLOEXEC);
    }
}

/* The host closes its streams before the first connection, and again before a later one. */
static void closed_streams(void)
{
    int kept = fcntl(2, F_DUPFD_CLOEXEC, 50), round;

    for (round = 0; round < 3; round++) {
        client = new_client(NULL);
        close_streams();
        CHECK_INT(call("A"), SKYPOSTAL_OK);
        check_streams();
        close_streams();
        run("A");
        check_streams();
        CHECK_INT(call("A"), SKYPOSTAL_OK);
        run("A");
        skypostal_client_free(client);
    }
    dup2(kept, 2);
}

/* A setter's fault is remembered until the same setter gets a good value. */
static void faults(void)
{
    skypostal_options *options = skypostal_options_new();
    skypostal_client *none = NULL;
    skypostal_error *error = NULL;

    CHECK_INT(skypostal_options_set_user_code(options, -1), SKYPOSTAL_INVALID_FIELD);
    CHECK_INT(skypostal_options_read_environment(options), SKYPOSTAL_OK);
    CHECK_INT(skypostal_client_new(options, &none, &error), SKYPOSTAL_INVALID_FIELD);
    CHECK_TEXT(skypostal_error_field(error), "user_code");
    skypostal_error_free(error);
    skypostal_client_free(none);
    skypostal_options_free(options);
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*run)(void);
    } rows[] = {{"constants", constants},       {"small_stack", small_stack},
                {"surroundings", surroundings}, {"fork_busy", fork_busy},
                {"fork_namespace", fork_namespace},
                {"fork_by_handler", fork_by_handler},
                {"clone_namespace", clone_namespace},
                {"closed_streams", closed_streams},
                {"faults", faults}};
    size_t row;

    for (row = 0; row < COUNT(rows); row++)
        if (argc == 2 && strcmp(argv[1], rows[row].name) == 0)
            rows[row].run();
    return check_result();
}
