/* Assertions that go on after a failure, for any thread. */
#ifndef CHECK_H
#define CHECK_H

#include <stdio.h>
#include <string.h>

#define CHECK(condition) check((condition) != 0, __FILE__, __LINE__, "%s", #condition)
#define CHECK_INT(actual, expected) check_int(actual, expected, __FILE__, __LINE__, #actual)
/* NULL is equal to NULL alone. */
#define CHECK_TEXT(actual, expected) check_text(actual, expected, __FILE__, __LINE__, #actual)
#define CHECK_HOLDS(text, part) check_holds(text, part, __FILE__, __LINE__, #text)

static int check_count, check_failures;
/* Told with a failure: which row of a table it is about. */
static const char *check_about = "";

#define check(good, file, line, ...)                                                               \
    do {                                                                                           \
        __atomic_fetch_add(&check_count, 1, __ATOMIC_RELAXED);                                     \
        if (!(good)) {                                                                             \
            __atomic_fetch_add(&check_failures, 1, __ATOMIC_RELAXED);                              \
            fprintf(stderr, "%s:%d: %s: ", file, line, check_about);                               \
            fprintf(stderr, __VA_ARGS__);                                                          \
            fprintf(stderr, "\n");                                                                 \
        }                                                                                          \
    } while (0)

static inline void check_int(long long actual, long long expected, const char *file, int line,
                             const char *what)
{
    check(actual == expected, file, line, "%s is %lld, not %lld", what, actual, expected);
}

static inline void check_text(const char *actual, const char *expected, const char *file, int line,
                              const char *what)
{
    int equal = actual && expected ? strcmp(actual, expected) == 0 : actual == expected;
    check(equal, file, line, "%s is \"%s\", not \"%s\"", what, actual ? actual : "(NULL)",
          expected ? expected : "(NULL)");
}

static inline void check_holds(const char *text, const char *part, const char *file, int line,
                               const char *what)
{
    check(text && strstr(text, part), file, line, "%s is \"%s\", without \"%s\"", what,
          text ? text : "(NULL)", part);
}

/* The exit code of the program. */
static inline int check_result(void)
{
    if (check_count == 0)
        check_failures++;
    fprintf(stderr, "%d checks, %d failures\n", check_count, check_failures);
    return check_failures != 0;
}

#endif
