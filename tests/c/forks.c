/* Clients and bulks on both sides of a fork. The argument says of which kind. */
#define _GNU_SOURCE /* for unshare */
#include "support.h"

#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>

static skypostal_client *client;

/* The child leaves the parent's connection alone, and the parent goes on using it. */
static void after_a_fork(void)
{
    skypostal_update *update = new_update();
    int status = -1;
    pid_t child;

    client = new_client(NULL);
    CHECK_INT(skypostal_client_update_personal_info(client, update, NULL, NULL), SKYPOSTAL_OK);
    child = fork();
    if (child == 0) {
        status = skypostal_client_update_personal_info(client, update, NULL, NULL);
        skypostal_client_free(client);
        _exit(status);
    }
    CHECK_INT(waitpid(child, &status, 0), child);
    CHECK_INT(status, 0);
    CHECK_INT(skypostal_client_update_personal_info(client, update, NULL, NULL), SKYPOSTAL_OK);
    skypostal_update_free(update);
    skypostal_client_free(client);
}

/* The outcome is good, and the bulk ends after it. */
static void take_the_only_outcome(skypostal_bulk *bulk)
{
    skypostal_outcome *outcome = NULL;
    CHECK_INT(skypostal_bulk_next(bulk, &outcome, NULL), SKYPOSTAL_OK);
    CHECK_INT(skypostal_outcome_index(outcome), 0);
    CHECK_INT(skypostal_outcome_result(outcome), SKYPOSTAL_OK);
    skypostal_outcome_free(outcome);
    CHECK_INT(skypostal_bulk_next(bulk, &outcome, NULL), SKYPOSTAL_OK);
    CHECK(outcome == NULL);
}

static int use_bulks_in_child(skypostal_bulk *of_parent, const skypostal_update *update)
{
    skypostal_client *good = new_client(NULL);
    skypostal_bulk *own = NULL;
    skypostal_outcome *outcome = (void *)&check_count;
    skypostal_error *error = NULL;
    int failures = check_failures;

    alarm(20);
    CHECK_INT(skypostal_bulk_capacity(of_parent), 0);
    CHECK_INT(skypostal_bulk_submit(of_parent, update), SKYPOSTAL_CONFIGURATION);
    CHECK_INT(skypostal_bulk_next(of_parent, &outcome, &error), SKYPOSTAL_CONFIGURATION);
    CHECK(outcome == NULL);
    CHECK_INT(skypostal_error_delivery(error), SKYPOSTAL_DELIVERY_NOT_SENT);
    skypostal_error_free(error);
    skypostal_bulk_free(of_parent);

    CHECK_INT(skypostal_bulk_new(good, 2, 0, &own, NULL), SKYPOSTAL_OK);
    CHECK_INT(skypostal_bulk_submit(own, update), SKYPOSTAL_OK);
    take_the_only_outcome(own);
    skypostal_bulk_free(own);
    return check_failures != failures;
}

/* The child cannot use its parent's bulk, and another one works. */
static void with_a_bulk(void)
{
    static const char response[] =
        "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n[{\"_verify\":true}]";
    char url[64];
    int listener = listen_here(url, "http"), connection, status = -1;
    skypostal_client *slow = new_client(url);
    skypostal_update *update = new_update();
    skypostal_bulk *bulk = NULL;
    pid_t child;

    CHECK_INT(skypostal_bulk_new(slow, 1, 0, &bulk, NULL), SKYPOSTAL_OK);
    CHECK_INT(skypostal_bulk_submit(bulk, update), SKYPOSTAL_OK);
    connection = accept_request(listener);
    child = fork();
    if (child == 0)
        _exit(use_bulks_in_child(bulk, update));
    CHECK_INT(waitpid(child, &status, 0), child);
    CHECK_INT(status, 0);
    respond(connection, response);
    take_the_only_outcome(bulk);
    skypostal_bulk_free(bulk);
    close(listener);
    skypostal_update_free(update);
    skypostal_client_free(slow);
}

static volatile int stop, failed;

static void *keep_calling(void *nothing)
{
    while (!stop)
        if (send_name(client, "Parent") != SKYPOSTAL_OK)
            failed = 1;
    return nothing;
}

/* The forks come while other threads call. */
static void busy(void)
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
            status = send_name(client, "Child");
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
    CHECK_INT(send_name(client, "Parent"), SKYPOSTAL_OK);
    send_name_in_bulk(client, "Parent");
    child = fork_again();
    CHECK(child >= 0);
    if (child == 0) {
        CHECK_INT(syscall(SYS_getpid), 1);
        CHECK_INT(send_name(client, "Child"), SKYPOSTAL_OK);
        send_name_in_bulk(client, "Child");
        skypostal_client_free(client);
        _exit(check_failures);
    }
    wait_for(child);
    CHECK_INT(send_name(client, "Parent"), SKYPOSTAL_OK);
    send_name_in_bulk(client, "Parent");
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

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*run)(void);
    } rows[] = {{"after_a_fork", after_a_fork},
                {"with_a_bulk", with_a_bulk},
                {"busy", busy},
                {"fork_namespace", fork_namespace},
                {"fork_by_handler", fork_by_handler},
                {"clone_namespace", clone_namespace}};
    size_t row;
    for (row = 0; row < COUNT(rows); row++)
        if (argc == 2 && strcmp(argv[1], rows[row].name) == 0)
            rows[row].run();
    return check_result();
}
