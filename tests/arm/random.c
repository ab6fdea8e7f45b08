/*
 * tests/arm/random.c -- what base/rand.c asks of libsodium, from the kernel: the library is not there for ARM.
 */
#include <stddef.h>
#include <stdlib.h>
#include <sys/random.h>

int sodium_init(void);
void randombytes_buf(void *out, size_t n);

int sodium_init(void)
{
    return 0;
}

void randombytes_buf(void *out, size_t n)
{
    for (size_t done = 0; done < n;) {
        const ssize_t got = getrandom((char *)out + done, n - done, 0);
        if (got < 0)
            abort();
        done += (size_t)got;
    }
}
