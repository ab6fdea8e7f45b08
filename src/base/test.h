/*
 * base/test.h -- a test is `TEST(name) { ... }`; EXPECT_* report file, line and both values, then stop it.
 */
#pragma once

#include "base/base.h"
#include <stdio.h>
#include <string.h>

typedef void (*TestFn)(void);
void test_register(const char *name, TestFn fn);
_Noreturn void test_stop(void);

/* Ends the test as skipped: printed with the reason, and counted apart from those that ran. */
_Noreturn void test_skip(const char *why);

/* Whether memory is looked after by a sanitizer: what it takes, and how long, is not the program's then. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define TEST_IS_SANITIZED true
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define TEST_IS_SANITIZED true
#endif
#endif
#ifndef TEST_IS_SANITIZED
#define TEST_IS_SANITIZED false
#endif

#define TEST(name)                                                                                 \
    static void test_##name(void);                                                                 \
    __attribute__((constructor)) static void test_register_##name(void)                            \
    {                                                                                              \
        test_register(#name, test_##name);                                                         \
    }                                                                                              \
    static void test_##name(void)

#define EXPECT_I64(got, want)                                                                      \
    do {                                                                                           \
        const int64_t got_ = (got), want_ = (want);                                                \
        if (got_ != want_) {                                                                       \
            fprintf(stderr, "%s:%d: %s is %" PRId64 ", want %" PRId64 "\n", __FILE__, __LINE__,    \
                    #got, got_, want_);                                                            \
            test_stop();                                                                           \
        }                                                                                          \
    } while (0)

#define EXPECT_STREQ(got, want)                                                                    \
    do {                                                                                           \
        const char *got_ = (got), *want_ = (want);                                                 \
        if (strcmp(got_, want_) != 0) {                                                            \
            fprintf(stderr, "%s:%d: %s is \"%s\", want \"%s\"\n", __FILE__, __LINE__, #got, got_,  \
                    want_);                                                                        \
            test_stop();                                                                           \
        }                                                                                          \
    } while (0)
