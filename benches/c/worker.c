/*
 * The program around one way to make the call:
 *
 *     PROGRAM BASE_URL PATH
 *
 * makes one call and says so; then it reads lines `CALLS THREADS`, makes that many calls, and responds to
 * each with a line of JSON, as the workers in Python and Rust do.
 */
#define _GNU_SOURCE
#include "worker.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

static const char *base_url, *path;
static pthread_barrier_t begin;

struct thread {
    pthread_t id;
    void *session;
    long count;
    int64_t *nanoseconds;
};

void fail(const char *what)
{
    fprintf(stderr, "%s\n", what);
    exit(1);
}

const char *day(const char *text, char out[16])
{
    char *end;
    time_t seconds;
    struct tm date;
    int at, number[3];

    if (text == NULL || strncmp(text, "/Date(", 6) != 0)
        return NULL;
    seconds = strtoll(text + 6, &end, 10) / 1000;
    if (*end == '+' || *end == '-') {
        int offset = atoi(end + 1);
        seconds += (offset / 100 * 60 + offset % 100) * 60;
    }
    if (gmtime_r(&seconds, &date) == NULL || date.tm_year + 1900 < 2)
        return NULL;
    /* By hand, because printf and strftime would be a visible part of a call. */
    memcpy(out, "0000-00-00", 11);
    number[0] = date.tm_year + 1900, number[1] = date.tm_mon + 1, number[2] = date.tm_mday;
    for (at = 9; at >= 8; at--, number[2] /= 10)
        out[at] += number[2] % 10;
    for (at = 6; at >= 5; at--, number[1] /= 10)
        out[at] += number[1] % 10;
    for (at = 3; at >= 0; at--, number[0] /= 10)
        out[at] += number[0] % 10;
    return out;
}

static int64_t now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * INT64_C(1000000000) + time.tv_nsec;
}

static double seconds(struct timeval time) { return time.tv_sec + time.tv_usec / 1e6; }

/* Any other response than the documented one ends the program. */
static void call(void *session)
{
    struct info info = {0};

    if (session_call(session, &info) != 0)
        fail("the update was not accepted");
    if (info.cust_id != 51736835 || strcmp(info.customer_first_name, FIRST_NAME) != 0 ||
        strcmp(info.customer_last_name, LAST_NAME) != 0 ||
        strcmp(info.customer_identity_number, "123456789") != 0 ||
        strcmp(info.customer_tax_number, "0") != 0 ||
        strcmp(info.customer_birth_date, BIRTH_DATE) != 0 ||
        strcmp(info.customer_gender, GENDER) != 0)
        fail("the response was read otherwise than it is documented");
    session_release(session);
}

static void *calls(void *argument)
{
    struct thread *thread = argument;
    void *session = thread->session ? thread->session : session_new(base_url, path);
    long at;

    call(session); /* connects */
    pthread_barrier_wait(&begin);
    for (at = 0; at < thread->count; at++) {
        int64_t begun = now();
        call(session);
        thread->nanoseconds[at] = now() - begun;
    }
    if (thread->session == NULL)
        session_free(session);
    return NULL;
}

int main(int argc, char **argv)
{
    void *session;
    long count;
    int threads;

    if (argc != 3)
        fail("usage: PROGRAM BASE_URL PATH");
    base_url = argv[1], path = argv[2];
    session = session_new(base_url, path);
    call(session);
    puts("ready");
    fflush(stdout);

    while (scanf("%ld %d", &count, &threads) == 2) {
        struct thread *all = calloc((size_t)threads, sizeof *all);
        int64_t *nanoseconds = calloc((size_t)count, sizeof *nanoseconds);
        struct rusage before, after;
        int64_t begun, ended;
        long at;

        count -= count % threads;
        pthread_barrier_init(&begin, NULL, (unsigned)threads + 1);
        for (at = 0; at < threads; at++) {
            all[at].session = threads == 1 ? session : NULL;
            all[at].count = count / threads;
            all[at].nanoseconds = nanoseconds + at * all[at].count;
            if (pthread_create(&all[at].id, NULL, calls, &all[at]) != 0)
                fail("no thread");
        }
        pthread_barrier_wait(&begin);
        getrusage(RUSAGE_SELF, &before);
        begun = now();
        for (at = 0; at < threads; at++)
            pthread_join(all[at].id, NULL);
        ended = now();
        getrusage(RUSAGE_SELF, &after);

        printf("{\"wall_ns\": %ld, \"user_s\": %f, \"system_s\": %f, \"ns\": [",
               (long)(ended - begun), seconds(after.ru_utime) - seconds(before.ru_utime),
               seconds(after.ru_stime) - seconds(before.ru_stime));
        for (at = 0; at < count; at++)
            printf("%s%ld", at == 0 ? "" : ", ", (long)nanoseconds[at]);
        puts("]}");
        fflush(stdout);
        free(nanoseconds);
        free(all);
        pthread_barrier_destroy(&begin);
    }
    session_free(session);
    return 0;
}
