/*
 * base/test_main.c -- runs every registered test whose name contains argv[1] (all when absent).
 */
#include "base/test.h"

#include <setjmp.h>

enum { TESTS_MAX = 4096 };

static struct {
    const char *name;
    TestFn fn;
} tests[TESTS_MAX];
static int test_count;
static jmp_buf stop;
static const char *skipped_why;

void test_register(const char *name, TestFn fn)
{
    CHECK(test_count < TESTS_MAX);
    tests[test_count].name = name;
    tests[test_count].fn = fn;
    test_count++;
}

_Noreturn void test_stop(void)
{
    longjmp(stop, 1);
}

_Noreturn void test_skip(const char *why)
{
    skipped_why = why;
    longjmp(stop, 1);
}

/* setjmp in a function of its own: no local of the loop can be clobbered by the jump. */
static bool passes(int i)
{
    if (setjmp(stop) != 0)
        return false;
    tests[i].fn();
    return true;
}

int main(int argc, char **argv)
{
    const char *only = argc > 1 ? argv[1] : "";
    int ran = 0, failed = 0, skipped = 0;
    for (int i = 0; i < test_count; i++) {
        if (strstr(tests[i].name, only) == NULL)
            continue;
        ran++;
        skipped_why = NULL;
        const bool passed = passes(i);
        if (skipped_why != NULL) {
            skipped++;
            printf("SKIP %s: %s\n", tests[i].name, skipped_why);
        } else if (!passed) {
            failed++;
            printf("FAIL %s\n", tests[i].name);
        }
    }
    printf("%d passed, %d failed, %d skipped\n", ran - failed - skipped, failed, skipped);
    if (ran > 0 && ran == skipped)
        return 77; /* what meson calls skipped */
    return failed == 0 && ran > 0 ? 0 : 1;
}
