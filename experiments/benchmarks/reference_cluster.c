/* Asynchronous SGD on a scalar quadratic, event by event, with a binary heap of next events.

   Workers have exponential compute times of mean 1. With `exact` set the compute time of job j of
   worker w comes from the same address of the same generator as in the package (Philox4x32-10, two
   jobs to a counter), so that the parameter must agree; otherwise from xoshiro256++, the cheapest
   bits there are. */

#include <math.h>
#include <stdint.h>
#include <stdlib.h>

typedef struct { double time; long worker; } Event;

static inline void philox(uint32_t c[4], uint32_t k0, uint32_t k1) {
    for (int round = 0; round < 10; round++) {
        uint64_t a = (uint64_t)0xD2511F53 * c[0], b = (uint64_t)0xCD9E8D57 * c[2];
        uint32_t next[4] = {(uint32_t)(b >> 32) ^ c[1] ^ k0, (uint32_t)b,
                            (uint32_t)(a >> 32) ^ c[3] ^ k1, (uint32_t)a};
        for (int i = 0; i < 4; i++) c[i] = next[i];
        k0 += 0x9E3779B9; k1 += 0xBB67AE85;
    }
}

static inline double open_uniform(uint64_t bits) {
    return ((double)(bits >> 12) + 0.5) * 0x1p-52;
}

static inline uint64_t rotate(uint64_t x, int k) { return (x << k) | (x >> (64 - k)); }

static inline uint64_t xoshiro(uint64_t s[4]) {
    uint64_t result = rotate(s[0] + s[3], 23) + s[0], t = s[1] << 17;
    s[2] ^= s[0]; s[3] ^= s[1]; s[1] ^= s[2]; s[0] ^= s[3]; s[2] ^= t; s[3] = rotate(s[3], 45);
    return result;
}

/* Run `updates` updates from x = 1; `counts` (room entries) gets the staleness. Returns x. */
double async_sgd(long workers, long updates, double rate, int exact, const uint32_t key[2],
                 uint32_t stream, long *counts, long room, double *end) {
    Event *heap = malloc(sizeof(Event) * workers);
    double *read = malloc(sizeof(double) * workers), *spare = malloc(sizeof(double) * workers);
    long *version = calloc(workers, sizeof(long)), *job = calloc(workers, sizeof(long));
    uint64_t state[4] = {key[0] + 1, key[1] + 2, 3, 4};
    double x = 1.0, now = 0.0;

    for (long step = -workers; step < updates; step++) {
        long w, i;
        if (step < 0) {          /* the first job of each worker */
            w = step + workers;
            i = w;
        } else {
            w = heap[0].worker;
            now = heap[0].time;
            x -= rate * read[w];
            long late = step - version[w];
            counts[late < room ? late : room - 1]++;
            version[w] = step + 1;
            job[w]++;
            i = 0;
        }
        read[w] = x;
        double u;
        if (!exact) {
            u = open_uniform(xoshiro(state));
        } else if (job[w] & 1) {
            u = spare[w];
        } else {
            uint64_t pair = (uint64_t)job[w] >> 1;
            uint32_t c[4] = {(uint32_t)pair, 0, (uint32_t)(pair >> 32) | stream << 28,
                             (uint32_t)w << 12};
            philox(c, key[0], key[1]);
            u = open_uniform((uint64_t)c[0] << 32 | c[1]);
            spare[w] = open_uniform((uint64_t)c[2] << 32 | c[3]);
        }
        double time = now - log(1.0 - u);
        if (step < 0) {          /* up from the end */
            while (i > 0 && heap[(i - 1) / 2].time > time) {
                heap[i] = heap[(i - 1) / 2];
                i = (i - 1) / 2;
            }
        } else {                 /* down from the root */
            for (;;) {
                long child = 2 * i + 1;
                if (child >= workers) break;
                if (child + 1 < workers && heap[child + 1].time < heap[child].time) child++;
                if (heap[child].time >= time) break;
                heap[i] = heap[child];
                i = child;
            }
        }
        heap[i].time = time;
        heap[i].worker = w;
    }
    *end = now;
    free(heap); free(read); free(spare); free(version); free(job);
    return x;
}
