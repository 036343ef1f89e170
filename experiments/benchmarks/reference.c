/* The benchmark's measure: the workloads as a C programmer would write them, by hand and for one purpose.

   Random numbers are those of the engine to rounding (Philox4x32-10, one counter per path, channel and pair of
   steps, Box-Muller with polynomials of its own), so results agree path by path. Paths lie side by side in SIMD lanes, blocks of LANES; the delayed
   state comes from a ring of rows. Loops are left to gcc, except Philox: gcc turns its 32 x 32 -> 64 bit
   products into 64-bit ones, four times slower, hence the intrinsics where the processor has AVX-512.
   Every function works on paths [first, first + paths); threads are the caller's affair. */

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#ifdef __AVX512F__
#include <immintrin.h>
#endif

#define INLINE static inline __attribute__((always_inline))
enum { LANES = 64, ARRIVALS = 1 };
typedef uint64_t word;

typedef struct {
  long first, paths, steps, lag, every; /* a row of states is saved at steps 0, every, 2 every, ... */
  double dt, start;
  uint32_t key[2];
} Run;

/* ---- random numbers -------------------------------------------------------------------------------- */

INLINE double as_double(word bits) { double x; memcpy(&x, &bits, 8); return x; }
INLINE word as_word(double x) { word bits; memcpy(&bits, &x, 8); return bits; }

/* Two 64-bit words for `count` counters (c0 + step0 i, c1 + step1 i, c2, c3), count a multiple of 8. */
INLINE void philox(word *a, word *b, int count, word c0, word step0, word c1, word step1, word c2, word c3,
                   const uint32_t key[2]) {
#ifdef __AVX512F__
  const __m512i m0 = _mm512_set1_epi64(0xD2511F53u), m1 = _mm512_set1_epi64(0xCD9E8D57u);
  const __m512i low = _mm512_set1_epi64(0xFFFFFFFFu), lane = _mm512_set_epi64(7, 6, 5, 4, 3, 2, 1, 0);
  const __m512i by0 = _mm512_mul_epu32(lane, _mm512_set1_epi64(step0));
  const __m512i by1 = _mm512_mul_epu32(lane, _mm512_set1_epi64(step1));
  for (int i = 0; i < count; i += 8) {
    __m512i x0 = _mm512_add_epi64(_mm512_set1_epi64(c0 + step0 * i), by0), x2 = _mm512_set1_epi64(c2);
    __m512i x1 = _mm512_add_epi64(_mm512_set1_epi64(c1 + step1 * i), by1), x3 = _mm512_set1_epi64(c3);
    uint32_t k0 = key[0], k1 = key[1];
#pragma GCC unroll 10
    for (int r = 0; r < 10; r++, k0 += 0x9E3779B9u, k1 += 0xBB67AE85u) {
      /* Only lower halves count. High words are moved by shuffles, which have a port of their own. */
      const __m512i p = _mm512_mul_epu32(x0, m0), q = _mm512_mul_epu32(x2, m1);
      x0 = _mm512_ternarylogic_epi64(_mm512_shuffle_epi32(q, 0xF5), x1, _mm512_set1_epi64(k0), 0x96);
      x2 = _mm512_ternarylogic_epi64(_mm512_shuffle_epi32(p, 0xF5), x3, _mm512_set1_epi64(k1), 0x96);
      x1 = q;
      x3 = p;
    }
    x0 = _mm512_or_si512(_mm512_slli_epi64(x0, 32), _mm512_and_si512(x1, low));
    x2 = _mm512_or_si512(_mm512_slli_epi64(x2, 32), _mm512_and_si512(x3, low));
    _mm512_storeu_si512(a + i, x0);
    _mm512_storeu_si512(b + i, x2);
  }
#else
#pragma omp simd
  for (int i = 0; i < count; i++) {
    word x0 = c0 + step0 * i, x1 = c1 + step1 * i, x2 = c2, x3 = c3;
    uint32_t k0 = key[0], k1 = key[1];
#pragma GCC unroll 10
    for (int r = 0; r < 10; r++, k0 += 0x9E3779B9u, k1 += 0xBB67AE85u) {
      const word p = (word)(uint32_t)x0 * 0xD2511F53u, q = (word)(uint32_t)x2 * 0xCD9E8D57u;
      x0 = (q >> 32) ^ (uint32_t)x1 ^ k0;
      x2 = (p >> 32) ^ (uint32_t)x3 ^ k1;
      x1 = q;
      x3 = p;
    }
    a[i] = (x0 << 32) | (uint32_t)x1;
    b[i] = (x2 << 32) | (uint32_t)x3;
  }
#endif
}

#define TIMES(p, x, c) p = __builtin_fma(p, x, c)

INLINE double uniform(word a) { return as_double(0x3FF0000000000000u | (a >> 12)) - 0.9999999999999999; }

INLINE double log_of_uniform(double u) {
  const word bits = as_word(u), biased = (bits + 0x00095F619980C433u) >> 52;
  const double e = as_double(0x4330000000000000u | biased) - 4503599627371519.0;
  const double f = as_double(bits - (biased << 52) + 0x3FF0000000000000u) - 1.0;
  double p = 0.03081756372437806;
  TIMES(p, f, -0.06618773009678613); TIMES(p, f, 0.07000691047584312); TIMES(p, f, -0.0630658816887405);
  TIMES(p, f, 0.06495252735766224); TIMES(p, f, -0.07112464720648483); TIMES(p, f, 0.0770509701696896);
  TIMES(p, f, -0.08336500776029371); TIMES(p, f, 0.09090397053862845); TIMES(p, f, -0.09999843911504927);
  TIMES(p, f, 0.111111220155228); TIMES(p, f, -0.12500003956286007); TIMES(p, f, 0.14285714172623884);
  TIMES(p, f, -0.16666666618490816); TIMES(p, f, 0.20000000000466495); TIMES(p, f, -0.2500000000022147);
  TIMES(p, f, 0.3333333333333285); TIMES(p, f, -0.49999999999999833);
  return __builtin_fma(e, 0.6931471805599453, __builtin_fma(p, f * f, f));
}

INLINE void box_muller(word a, word b, double *even, double *odd) {
  const double radius = sqrt(-2.0 * log_of_uniform(uniform(a)));
  const double t = as_double(0x3FF0000000000000u | ((b << 1) >> 12)) - 1.5, w = t * t;
  double s = -2.113362735205297e-05, c = 4.149564353942586e-06;
  TIMES(s, w, 0.0004659870158043378); TIMES(s, w, -0.0073703643265304155); TIMES(s, w, 0.08214587881631043);
  TIMES(s, w, -0.599264528825224); TIMES(s, w, 2.5501640398618677); TIMES(s, w, -5.1677127800497855);
  TIMES(s, w, 3.1415926535897927);
  TIMES(c, w, -0.00010456655338748738); TIMES(c, w, 0.0019295562724817132); TIMES(c, w, -0.025806888737002202);
  TIMES(c, w, 0.23533063012953284); TIMES(c, w, -1.335262768843447); TIMES(c, w, 4.058712126416497);
  TIMES(c, w, -4.934802200544676); TIMES(c, w, 1.0);
  *even = radius * as_double(as_word(c) ^ (b & 0x8000000000000000u));
  *odd = radius * (s * t);
}

/* The normals of one channel, steps 2 pair and 2 pair + 1, for `lanes` <= LANES neighbouring paths. */
INLINE void normals(double *even, double *odd, int lanes, long path, long pair, int channel, const uint32_t *key) {
  word a[LANES], b[LANES];
  philox(a, b, lanes, pair, 0, path, 1, 0, (word)channel << 12, key);
#pragma omp simd
  for (int l = 0; l < lanes; l++) box_muller(a[l], b[l], even + l, odd + l);
}

/* ---- one path: saved (1 + steps / every) --------------------------------------------------------------- */

void linear_path(const Run *run, double *saved) {
  enum { PAIRS = 256 };
  const double dt = run->dt, root = sqrt(dt);
  word a[PAIRS], b[PAIRS];
  double even[PAIRS], odd[PAIRS], noise[2 * PAIRS], *past = malloc(sizeof(double) * (run->lag + run->steps + 1));
  for (long n = 0; n <= run->lag; n++) past[n] = run->start;
  double x = run->start, *now = past + run->lag;
  for (long n = 0; n < run->steps; n += 2 * PAIRS) {
    philox(a, b, PAIRS, n / 2, 1, run->first, 0, 0, 0, run->key);
#pragma omp simd
    for (int i = 0; i < PAIRS; i++) box_muller(a[i], b[i], even + i, odd + i);
    for (int i = 0; i < PAIRS; i++) noise[2 * i] = even[i], noise[2 * i + 1] = odd[i];
    const long count = run->steps - n < 2 * PAIRS ? run->steps - n : 2 * PAIRS;
    for (long i = 0; i < count; i++) now[n + i + 1] = x = x + (-past[n + i] * dt + 0.1 * (root * noise[i]));
  }
  for (long n = 0; n <= run->steps; n += run->every) saved[n / run->every] = now[n];
  free(past);
}

/* ---- many paths: saved (1 + steps / every, dim, paths) ------------------------------------------------- */

/* One step of a block: x and delayed hold dim rows of LANES states, z as many normals. */
typedef void Step(double *restrict x, double *restrict delayed, const double *restrict z, double dt, double root);

INLINE void ensemble(const Run *run, double *saved, int dim, Step *step) {
  enum { MOST = 3 };
  double x[MOST * LANES] __attribute__((aligned(64))), z[2][MOST * LANES] __attribute__((aligned(64)));
  const int row = dim * LANES;
  double *ring = aligned_alloc(64, sizeof(double) * row * run->lag);
  for (long block = 0; block < run->paths; block += LANES) {
    const long lanes = run->paths - block < LANES ? run->paths - block : LANES;
    for (int i = 0; i < row; i++) x[i] = run->start;
    for (long i = 0; i < row * run->lag; i++) ring[i] = run->start;
    for (long n = 0, slot = 0; n <= run->steps; n++, slot = slot + 1 == run->lag ? 0 : slot + 1) {
      if (n % run->every == 0)
        for (int c = 0; c < dim; c++)
          memcpy(saved + (n / run->every * dim + c) * run->paths + block, x + c * LANES, sizeof(double) * lanes);
      if (n == run->steps) break;
      if (n % 2 == 0)
        for (int c = 0; c < dim; c++)
          normals(z[0] + c * LANES, z[1] + c * LANES, LANES, run->first + block, n / 2, c, run->key);
      step(x, ring + slot * row, z[n % 2], run->dt, sqrt(run->dt));
    }
  }
  free(ring);
}

INLINE void linear_step(double *restrict x, double *restrict delayed, const double *restrict z, double dt,
                        double root) {
#pragma omp simd
  for (int l = 0; l < LANES; l++) {
    const double now = x[l], past = delayed[l];
    delayed[l] = now;
    x[l] = now + (-past * dt + 0.1 * (root * z[l]));
  }
}

INLINE void mackey_glass_step(double *restrict x, double *restrict delayed, const double *restrict z, double dt,
                              double root) {
#pragma omp simd
  for (int l = 0; l < LANES; l++) {
    const double now = x[l], past = delayed[l], two = past * past, four = two * two;
    delayed[l] = now;
    x[l] = now + ((0.2 * past / (1.0 + four * four * two) - 0.1 * now) * dt + 0.05 * now * (root * z[l]));
  }
}

/* Lorenz equations whose middle component feels the first one late. */
INLINE void lorenz_step(double *restrict x, double *restrict delayed, const double *restrict z, double dt,
                        double root) {
#pragma omp simd
  for (int l = 0; l < LANES; l++) {
    const double u = x[l], v = x[l + LANES], w = x[l + 2 * LANES], past = delayed[l];
    delayed[l] = u, delayed[l + LANES] = v, delayed[l + 2 * LANES] = w;
    x[l] = u + (10.0 * (v - u) * dt + 0.1 * (root * z[l]));
    x[l + LANES] = v + ((past * (28.0 - w) - v) * dt + 0.1 * (root * z[l + LANES]));
    x[l + 2 * LANES] = w + ((u * v - 8.0 / 3.0 * w) * dt + 0.1 * (root * z[l + 2 * LANES]));
  }
}

/* tanh x = (e - 1) / (e + 1) with e = exp(2 x) = 2^k exp(r); e - 1 keeps its digits near zero. */
INLINE double tanh_of(double x) {
  const double clipped = x > 20.0 ? 20.0 : x < -20.0 ? -20.0 : x, y = 2.0 * clipped;
  const double shifted = __builtin_fma(y, 1.4426950408889634, 6755399441055744.0); /* 1.5 * 2^52 rounds */
  const double k = shifted - 6755399441055744.0;
  const double r = __builtin_fma(k, -2.3190468138462996e-17, __builtin_fma(k, -0.6931471805599453, y));
  double p = 1.0 / 6227020800.0;
  TIMES(p, r, 1.0 / 479001600.0); TIMES(p, r, 1.0 / 39916800.0); TIMES(p, r, 1.0 / 3628800.0);
  TIMES(p, r, 1.0 / 362880.0); TIMES(p, r, 1.0 / 40320.0); TIMES(p, r, 1.0 / 5040.0); TIMES(p, r, 1.0 / 720.0);
  TIMES(p, r, 1.0 / 120.0); TIMES(p, r, 1.0 / 24.0); TIMES(p, r, 1.0 / 6.0); TIMES(p, r, 0.5);
  const double scale = as_double((as_word(shifted) + 1023) << 52);
  const double less_one = __builtin_fma(scale, __builtin_fma(p, r * r, r), scale - 1.0);
  return less_one / (less_one + 2.0);
}

static const double NETWORK[3][3] = {{0.0, 1.5, -0.5}, {-0.5, 0.0, 1.5}, {1.5, -0.5, 0.0}};

INLINE void network_step(double *restrict x, double *restrict delayed, const double *restrict z, double dt,
                         double root) {
#pragma omp simd
  for (int l = 0; l < LANES; l++) {
    const double u = x[l], v = x[l + LANES], w = x[l + 2 * LANES];
    const double f = tanh_of(delayed[l]), g = tanh_of(delayed[l + LANES]), h = tanh_of(delayed[l + 2 * LANES]);
    delayed[l] = u, delayed[l + LANES] = v, delayed[l + 2 * LANES] = w;
#define COMPONENT(i, now) \
  (NETWORK[i][0] * f + NETWORK[i][1] * g + NETWORK[i][2] * h - now) * dt + 0.1 * (root * z[l + i * LANES])
    x[l] = u + (COMPONENT(0, u));
    x[l + LANES] = v + (COMPONENT(1, v));
    x[l + 2 * LANES] = w + (COMPONENT(2, w));
  }
}

static const double MIXING[3][3] = {{0.3, 0.1, -0.2}, {0.1, 0.2, 0.1}, {-0.1, 0.2, 0.3}};

/* Each component is shaken in proportion to itself by three Wiener processes. */
INLINE void mixed_step(double *restrict x, double *restrict delayed, const double *restrict z, double dt,
                       double root) {
#pragma omp simd
  for (int l = 0; l < LANES; l++) {
    const double a = root * z[l], b = root * z[l + LANES], c = root * z[l + 2 * LANES];
    const double u = x[l], v = x[l + LANES], w = x[l + 2 * LANES];
    const double f = -delayed[l], g = -delayed[l + LANES], h = -delayed[l + 2 * LANES];
    delayed[l] = u, delayed[l + LANES] = v, delayed[l + 2 * LANES] = w;
#define SHAKEN(i, now) (MIXING[i][0] * now * a + MIXING[i][1] * now * b + MIXING[i][2] * now * c)
    x[l] = u + (f * dt + SHAKEN(0, u));
    x[l + LANES] = v + (g * dt + SHAKEN(1, v));
    x[l + 2 * LANES] = w + (h * dt + SHAKEN(2, w));
  }
}

void linear(const Run *run, double *saved) { ensemble(run, saved, 1, linear_step); }
void mackey_glass(const Run *run, double *saved) { ensemble(run, saved, 1, mackey_glass_step); }
void lorenz(const Run *run, double *saved) { ensemble(run, saved, 3, lorenz_step); }
void network(const Run *run, double *saved) { ensemble(run, saved, 3, network_step); }
void mixed(const Run *run, double *saved) { ensemble(run, saved, 3, mixed_step); }

/* ---- 32 components: the matrix times a block of delayed states; final states (32, paths) --------------- */

enum { DIM = 32, FEW = 16 };
typedef double vector __attribute__((vector_size(64)));
/* Fortran's dgemm, from any BLAS; null for the product written here. */
typedef void Product(const char *, const char *, const int *, const int *, const int *, const double *,
                     const double *, const int *, const double *, const int *, const double *, double *,
                     const int *);

/* out = matrix @ x; eight rows by two vectors are summed in registers. */
INLINE void product(vector *restrict out, const double *restrict matrix, const vector *restrict x) {
  for (int i = 0; i < DIM; i += 8) {
    vector sum[8][2] = {{{0}}};
    for (int j = 0; j < DIM; j++)
#pragma GCC unroll 8
      for (int r = 0; r < 8; r++) {
        sum[r][0] += matrix[(i + r) * DIM + j] * x[2 * j];
        sum[r][1] += matrix[(i + r) * DIM + j] * x[2 * j + 1];
      }
    memcpy(out + 2 * i, sum, sizeof sum);
  }
}

void dense(const Run *run, double *saved, const double *matrix, Product *dgemm) {
  enum { ROW = DIM * FEW };
  double x[ROW] __attribute__((aligned(64))), z[2][ROW] __attribute__((aligned(64)));
  double out[ROW] __attribute__((aligned(64))), *ring = aligned_alloc(64, sizeof(double) * ROW * run->lag);
  const double dt = run->dt, root = sqrt(dt), one = 1.0, zero = 0.0;
  const int dim = DIM, few = FEW;
  for (long block = 0; block < run->paths; block += FEW) {
    const long lanes = run->paths - block < FEW ? run->paths - block : FEW;
    for (int i = 0; i < ROW; i++) x[i] = run->start;
    for (long i = 0; i < ROW * run->lag; i++) ring[i] = run->start;
    for (long n = 0, slot = 0; n < run->steps; n++, slot = slot + 1 == run->lag ? 0 : slot + 1) {
      double *delayed = ring + slot * ROW;
      if (n % 2 == 0)
        for (int c = 0; c < DIM; c++)
          normals(z[0] + c * FEW, z[1] + c * FEW, FEW, run->first + block, n / 2, c, run->key);
      if (dgemm) /* rows here are columns there */
        dgemm("N", "N", &few, &dim, &dim, &one, delayed, &few, matrix, &dim, &zero, out, &few);
      else
        product((vector *)out, matrix, (const vector *)delayed);
#pragma omp simd
      for (int i = 0; i < ROW; i++) {
        delayed[i] = x[i];
        x[i] = x[i] + (out[i] * dt + 0.1 * (root * z[n % 2][i]));
      }
    }
    for (int c = 0; c < DIM; c++) memcpy(saved + c * run->paths + block, x + c * FEW, sizeof(double) * lanes);
  }
  free(ring);
}

/* ---- Poisson kicks x -= kick * x(t - lag dt), event by event; final states (paths) ---------------------- */

void kicks(const Run *run, double *saved, double rate, double kick) {
  enum { AHEAD = 64, ROOM = 1024 }; /* ROOM: more arrivals than one delay ever holds at these rates */
  const double delay = run->lag * run->dt, end = run->steps * run->dt;
  word a[AHEAD], b[AHEAD];
  double gaps[2 * AHEAD], times[ROOM], states[ROOM];
  for (long path = 0; path < run->paths; path++) {
    double t = 0.0, x = run->start, late = run->start;
    long read = 0, write = 0, pair = 0;
    for (int i = 2 * AHEAD;; i++) {
      if (i == 2 * AHEAD) {
        philox(a, b, AHEAD, pair, 1, run->first + path, 0, (word)ARRIVALS << 28, 0, run->key);
#pragma omp simd
        for (int l = 0; l < AHEAD; l++) {
          gaps[2 * l] = -log_of_uniform(uniform(a[l])) / rate;
          gaps[2 * l + 1] = -log_of_uniform(uniform(b[l])) / rate;
        }
        pair += AHEAD;
        i = 0;
      }
      t += gaps[i];
      if (t > end) break;
      for (; read < write && times[read % ROOM] <= t - delay; read++) late = states[read % ROOM];
      x -= kick * late;
      times[write % ROOM] = t;
      states[write++ % ROOM] = x;
    }
    saved[path] = x;
  }
}

/* ---- delays that change, and arrivals inside steps; final states (paths) -------------------------------- */

INLINE double between(const double *ring, long slots, long slot, long lane, double lag) {
  const long whole = (long)lag;
  long newer = slot - whole;
  newer += newer < 0 ? slots : 0;
  const long older = newer == 0 ? slots - 1 : newer - 1;
  const double v = ring[newer * LANES + lane];
  return v + (lag - whole) * (ring[older * LANES + lane] - v);
}

/* dx = -x(t - tau) dt + 0.1 dW with tau = longest (0.5 + 0.4 sin t), or longest (0.5 + 0.4 x^2 / (1 + x^2)). */
INLINE void changing(const Run *run, double *saved, int by_state) {
  const long slots = run->lag + 2;
  const double dt = run->dt, root = sqrt(dt), longest = run->lag * dt;
  double z[2][LANES] __attribute__((aligned(64)));
  double *ring = aligned_alloc(64, sizeof(double) * LANES * slots);
  for (long block = 0; block < run->paths; block += LANES) {
    const long lanes = run->paths - block < LANES ? run->paths - block : LANES;
    for (long i = 0; i < LANES * slots; i++) ring[i] = run->start;
    long slot = 0;
    for (long n = 0; n < run->steps; n++) {
      if (n % 2 == 0) normals(z[0], z[1], LANES, run->first + block, n / 2, 0, run->key);
      const long next = slot + 1 == slots ? 0 : slot + 1;
      const double *restrict x = ring + slot * LANES;
      double *restrict y = ring + next * LANES;
      if (by_state) {
#pragma omp simd
        for (int l = 0; l < LANES; l++) {
          const double square = x[l] * x[l], tau = longest * (0.5 + 0.4 * square / (1.0 + square));
          y[l] = x[l] + (-between(ring, slots, slot, l, tau / dt) * dt + 0.1 * (root * z[n % 2][l]));
        }
      } else {
        const double lag = longest * (0.5 + 0.4 * sin(n * dt)) / dt;
        for (int l = 0; l < LANES; l++)
          y[l] = x[l] + (-between(ring, slots, slot, l, lag) * dt + 0.1 * (root * z[n % 2][l]));
      }
      slot = next;
    }
    memcpy(saved + block, ring + slot * LANES, sizeof(double) * lanes);
  }
  free(ring);
}

void swinging(const Run *run, double *saved) { changing(run, saved, 0); }
void stretching(const Run *run, double *saved) { changing(run, saved, 1); }

/* One uniform number: Philox on plain numbers. */
INLINE double one_uniform(const uint32_t key[2], word path, word step, word stream) {
  word x0 = (uint32_t)(step >> 1), x1 = (uint32_t)path, x2 = ((step >> 33) | stream << 28), x3 = path >> 32;
  uint32_t k0 = key[0], k1 = key[1];
#pragma GCC unroll 10
  for (int r = 0; r < 10; r++, k0 += 0x9E3779B9u, k1 += 0xBB67AE85u) {
    const word p = (word)(uint32_t)x0 * 0xD2511F53u, q = (word)(uint32_t)x2 * 0xCD9E8D57u;
    x0 = (q >> 32) ^ (uint32_t)x1 ^ k0;
    x2 = (p >> 32) ^ (uint32_t)x3 ^ k1;
    x1 = (uint32_t)q;
    x3 = (uint32_t)p;
  }
  return uniform(step & 1 ? (x2 << 32 | (uint32_t)x3) : (x0 << 32 | (uint32_t)x1));
}

/* dx = -x(t - tau) dt + 0.1 dW, and -kick x(s - tau) at arrivals of rate bound x^2 / (1 + x^2), by thinning. */
void thinned(const Run *run, double *saved, double bound, double kick) {
  enum { DECISIONS = 8 };
  const long slots = run->lag + 2;
  const double dt = run->dt, root = sqrt(dt), delay = run->lag * dt;
  double z[2][LANES] __attribute__((aligned(64))), upcoming[LANES];
  double *ring = aligned_alloc(64, sizeof(double) * LANES * slots);
  long counts[LANES];
  for (long block = 0; block < run->paths; block += LANES) {
    const long lanes = run->paths - block < LANES ? run->paths - block : LANES;
    const word first = run->first + block;
    for (long i = 0; i < LANES * slots; i++) ring[i] = run->start;
    for (long l = 0; l < lanes; l++) {
      counts[l] = 0;
      upcoming[l] = -log_of_uniform(one_uniform(run->key, first + l, 0, ARRIVALS)) / bound;
    }
    long slot = 0;
    for (long n = 0; n < run->steps; n++) {
      if (n % 2 == 0) normals(z[0], z[1], LANES, first, n / 2, 0, run->key);
      const long next = slot + 1 == slots ? 0 : slot + 1;
      const long late = slot - run->lag < 0 ? slot - run->lag + slots : slot - run->lag;
      const long later = late + 1 == slots ? 0 : late + 1;
      const double *restrict x = ring + slot * LANES, *restrict old = ring + late * LANES;
      double *restrict y = ring + next * LANES;
#pragma omp simd
      for (int l = 0; l < LANES; l++) y[l] = x[l] + (-old[l] * dt + 0.1 * (root * z[n % 2][l]));
      const double t = n * dt, end = (n + 1) * dt;
      for (long l = 0; l < lanes; l++) {
        double total = 0.0;
        const double base = y[l];
        while (upcoming[l] <= end) {
          const double s = upcoming[l], before = x[l] + (s - t) / dt * (base - x[l]) + total;
          const long k = counts[l]++;
          upcoming[l] = s - log_of_uniform(one_uniform(run->key, first + l, k + 1, ARRIVALS)) / bound;
          const double square = before * before;
          if (one_uniform(run->key, first + l, k, DECISIONS) < square / (1.0 + square)) {
            const double share = (s - delay) / dt - (n - run->lag);
            total -= kick * (ring[late * LANES + l] + share * (ring[later * LANES + l] - ring[late * LANES + l]));
          }
        }
        y[l] = base + total;
      }
      slot = next;
    }
    memcpy(saved + block, ring + slot * LANES, sizeof(double) * lanes);
  }
  free(ring);
}
