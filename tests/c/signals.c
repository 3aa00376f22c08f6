/* The host's signals, threads and locale are left alone. */
#define _GNU_SOURCE /* for syscall and RTLD_NEXT */
#include "support.h"

#include <dirent.h>
#include <dlfcn.h>
#include <locale.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/time.h>

#define SIGNALS 65

static volatile sig_atomic_t handled;

static void handle(int signal) { handled = signal; }

static int waits;

/* What the library takes of the signals that are pending. */
int sigtimedwait(const sigset_t *set, siginfo_t *info, const struct timespec *time)
{
    waits++;
    return (int)syscall(SYS_rt_sigtimedwait, set, info, time, (SIGNALS - 1) / 8);
}

static int taken_by_another;

/* What the library sees of this process's signals: one that another thread takes a moment later. */
int sigpending(sigset_t *set)
{
    sigemptyset(set);
    if (taken_by_another)
        return sigaddset(set, SIGPIPE);
    return (int)syscall(SYS_rt_sigpending, set, (SIGNALS - 1) / 8);
}

struct state {
    struct sigaction actions[SIGNALS];
    sigset_t mask, pending;
    int threads;
    char locale[64];
};

static struct state look(void)
{
    struct state state;
    DIR *tasks = opendir("/proc/self/task");
    int signal;

    memset(&state, 0, sizeof(state));
    for (signal = 1; signal < SIGNALS; signal++)
        sigaction(signal, NULL, &state.actions[signal]);
    pthread_sigmask(SIG_SETMASK, NULL, &state.mask);
    sigpending(&state.pending);
    while (readdir(tasks))
        state.threads++;
    closedir(tasks);
    snprintf(state.locale, sizeof(state.locale), "%s", setlocale(LC_ALL, NULL));
    return state;
}

static void check_same(const struct state *before)
{
    struct state after = look();
    int signal;

    for (signal = 1; signal < SIGNALS; signal++) {
        CHECK(after.actions[signal].sa_handler == before->actions[signal].sa_handler);
        CHECK_INT(after.actions[signal].sa_flags, before->actions[signal].sa_flags);
        CHECK_INT(sigismember(&after.mask, signal), sigismember(&before->mask, signal));
        CHECK_INT(sigismember(&after.pending, signal), sigismember(&before->pending, signal));
    }
    CHECK_INT(after.threads, before->threads);
    CHECK_TEXT(after.locale, before->locale);
}

/* A client's whole life, with a call that succeeds. */
static void live(void)
{
    skypostal_client *client = new_client(NULL);
    skypostal_update *update = new_update();
    CHECK_INT(skypostal_client_update_personal_info(client, update, NULL, NULL), SKYPOSTAL_OK);
    skypostal_update_free(update);
    skypostal_client_free(client);
}

/* A bulk of 30 rows, each of which ends so. */
static void live_bulk(const skypostal_client *client, const skypostal_update *update, int expected)
{
    skypostal_bulk *bulk = NULL;
    skypostal_outcome *outcome = NULL;
    int at, before = waits;

    CHECK_INT(skypostal_bulk_new(client, 4, 0, &bulk, NULL), SKYPOSTAL_OK);
    for (at = 0; at < 30; at++)
        CHECK_INT(skypostal_bulk_submit(bulk, update), SKYPOSTAL_OK);
    for (at = 0; at < 30; at++) {
        CHECK_INT(skypostal_bulk_next(bulk, &outcome, NULL), SKYPOSTAL_OK);
        CHECK_INT(skypostal_outcome_result(outcome), expected);
        CHECK(skypostal_outcome_index(outcome) >= 0);
        skypostal_outcome_free(outcome);
    }
    skypostal_bulk_free(bulk);
    /* A SIGPIPE that this thread gets meanwhile is the host's. */
    CHECK_INT(waits, before);
}

/* Begins to respond while most of the request is still to come, and hangs up: the client reads the
 * head, goes on writing, and would get SIGPIPE. */
static void *hang_up(void *listener)
{
    static const char head[] = "HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n[";
    const struct linger at_once = {.l_onoff = 1, .l_linger = 0};
    char some[100];
    int connection;

    while ((connection = accept(*(int *)listener, NULL, NULL)) >= 0) {
        recv(connection, some, sizeof(some), 0);
        send(connection, head, sizeof(head) - 1, MSG_NOSIGNAL);
        shutdown(connection, SHUT_WR);
        setsockopt(connection, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
        close(connection);
    }
    return NULL;
}

static int with_runs;

static void be_hung_up_on(void)
{
    static char name[3 * 8192 + 1];
    const int small_segments = 536, small_buffer = 2048;
    char url[64];
    int listener = listen_here(url, "http"), at;
    skypostal_client *client = new_client(url);
    skypostal_update *update = new_update();
    pthread_t server;

    /* A request of 48 KiB must not fit into the buffers of the connection. */
    setsockopt(listener, IPPROTO_TCP, TCP_MAXSEG, &small_segments, sizeof(int));
    setsockopt(listener, SOL_SOCKET, SO_RCVBUF, &small_buffer, sizeof(int));
    for (at = 0; at < 8192; at++)
        memcpy(name + 3 * at, "\xE4\xB8\x96", 3);
    skypostal_update_set_customer_first_name(update, name);
    skypostal_update_set_customer_last_name(update, name);
    CHECK_INT(pthread_create(&server, NULL, hang_up, &listener), 0);
    for (at = 0; at < 50; at++)
        CHECK_INT(skypostal_client_update_personal_info(client, update, NULL, NULL),
                  SKYPOSTAL_LOST);
    if (with_runs)
        live_bulk(client, update, SKYPOSTAL_LOST);
    shutdown(listener, SHUT_RDWR);
    CHECK_INT(pthread_join(server, NULL), 0);
    close(listener);
    skypostal_update_free(update);
    skypostal_client_free(client);
}

/* The first row starts the thread that all later ones use. */
static void start_bulks(void)
{
    skypostal_client *client = new_client(NULL);
    skypostal_update *update = new_update();
    live_bulk(client, update, SKYPOSTAL_OK);
    skypostal_update_free(update);
    skypostal_client_free(client);
    with_runs = 1;
}

/* What the library sees of the look-up: the host gets a signal meanwhile. */
static int look_ups;

int getaddrinfo(const char *restrict name, const char *restrict service,
                const struct addrinfo *restrict hints, struct addrinfo **restrict found)
{
    static int (*of_system)(const char *, const char *, const struct addrinfo *,
                            struct addrinfo **);

    *(void **)&of_system = dlsym(RTLD_NEXT, "getaddrinfo");
    look_ups++;
    kill(getpid(), SIGUSR1);
    return of_system(name, service, hints, found);
}

/* A thread that looks a name up takes no signal of the host, and ends with the look-up. */
static void look_a_name_up(void)
{
    char url[64];
    skypostal_client *client;
    skypostal_update *update = new_update();
    struct state before;
    sigset_t set;
    int threads = look().threads;

    snprintf(url, sizeof(url), "http://localhost%s", strrchr(getenv("SKYPOSTAL_BASE_URL"), ':'));
    client = new_client(url);
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    CHECK_INT(skypostal_client_update_personal_info(client, update, NULL, NULL), SKYPOSTAL_OK);
    CHECK_INT(look_ups, 1);
    before = look();
    CHECK_INT(sigismember(&before.pending, SIGUSR1), 1);
    CHECK_INT(handled, 0);
    pthread_sigmask(SIG_UNBLOCK, &set, NULL);
    CHECK_INT(handled, SIGUSR1);
    handled = 0;
    skypostal_update_free(update);
    skypostal_client_free(client);
    while (look().threads > threads)
        usleep(1000);
}

/* Signals that come all the time, to a handler that interrupts what is interruptible, end no call. */
static void be_interrupted(void)
{
    static const struct itimerval often = {{0, 1000}, {0, 1000}}, never = {{0, 0}, {0, 0}};
    struct sigaction action;
    int at;

    memset(&action, 0, sizeof(action));
    action.sa_handler = handle;
    sigaction(SIGALRM, &action, NULL);
    setitimer(ITIMER_REAL, &often, NULL);
    for (at = 0; at < 50; at++)
        live();
    setitimer(ITIMER_REAL, &never, NULL);
    CHECK_INT(handled, SIGALRM);
    handled = 0;
}

int main(void)
{
    struct state before;
    struct sigaction action;
    sigset_t set;

    check_about = "a host that changes nothing";
    signal(SIGPIPE, SIG_DFL);
    before = look();
    live();
    be_hung_up_on();
    check_same(&before);

    check_about = "a host that is interrupted";
    be_interrupted();

    check_about = "a SIGPIPE that another thread takes";
    signal(SIGALRM, SIG_DFL);
    alarm(20);
    taken_by_another = 1;
    live();
    taken_by_another = 0;
    alarm(0);

    check_about = "a host that handles SIGPIPE";
    memset(&action, 0, sizeof(action));
    action.sa_handler = handle;
    sigaction(SIGPIPE, &action, NULL);
    before = look();
    live();
    be_hung_up_on();
    check_same(&before);
    CHECK_INT(handled, 0);

    check_about = "a host that blocks a signal and has a name looked up";
    sigaction(SIGUSR1, &action, NULL);
    look_a_name_up();
    signal(SIGUSR1, SIG_DFL);

    check_about = "a host that blocks signals, with some pending";
    sigemptyset(&set);
    sigaddset(&set, SIGPIPE);
    sigaddset(&set, SIGUSR1);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    raise(SIGPIPE);
    kill(getpid(), SIGUSR1);
    before = look();
    CHECK_INT(sigismember(&before.pending, SIGPIPE), 1);
    live();
    be_hung_up_on();
    check_same(&before);
    CHECK_INT(handled, 0);

    check_about = "a host that handles SIGPIPE, with bulks";
    sigaction(SIGUSR1, &action, NULL);
    start_bulks();
    before = look();
    live();
    be_hung_up_on();
    check_same(&before);
    /* SIGUSR1 waits for this thread, though the background thread could have taken it. */
    CHECK_INT(handled, 0);
    CHECK_INT(sigismember(&before.pending, SIGUSR1), 1);

    check_about = "a host that changes nothing, with bulks";
    signal(SIGUSR1, SIG_IGN);
    signal(SIGPIPE, SIG_IGN); /* what is pending goes */
    signal(SIGPIPE, SIG_DFL);
    pthread_sigmask(SIG_UNBLOCK, &set, NULL);
    before = look();
    be_hung_up_on();
    check_same(&before);
    return check_result();
}
