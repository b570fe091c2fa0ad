/* A time of day that runs faster than the machine's, for one process: preloaded, it answers CLOCK_REALTIME, and leaves
 * the monotonic clock, timers and sleeps alone.
 *
 *   SOAK_CLOCK="FROM_NS,SHOWS_NS,SPEED"   when the monotonic clock stands at FROM_NS, the time of day is SHOWS_NS since
 *                                         1970; from there it runs SPEED times as fast
 *
 * libfaketime does not do here: it divides the time-outs of epoll_wait by the speed as well, in whole milliseconds, so
 * that every timer of the runtime spins; and it counts from the start of each process, so that the clock of a restarted
 * one goes back. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static long long from_ns, shows_ns, speed;
static int (*real_clock_gettime)(clockid_t, struct timespec *);

__attribute__((constructor)) static void begin(void) {
  const char *told = getenv("SOAK_CLOCK");
  real_clock_gettime = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
  if (!told || sscanf(told, "%lld,%lld,%lld", &from_ns, &shows_ns, &speed) != 3) {
    fprintf(stderr, "SOAK_CLOCK says no clock\n");
    _exit(99);
  }
}

static int real_time(clockid_t clock, struct timespec *time) {
  if (!real_clock_gettime) return (int)syscall(SYS_clock_gettime, clock, time);
  return real_clock_gettime(clock, time);
}

int clock_gettime(clockid_t clock, struct timespec *time) {
  if ((clock != CLOCK_REALTIME && clock != CLOCK_REALTIME_COARSE) || !speed) return real_time(clock, time);
  int failed = real_time(CLOCK_MONOTONIC, time);
  if (failed) return failed;
  long long now_ns = time->tv_sec * 1000000000ll + time->tv_nsec;
  long long ns = shows_ns + (now_ns - from_ns) * speed;
  time->tv_sec = ns / 1000000000ll;
  time->tv_nsec = ns % 1000000000ll;
  return 0;
}

int gettimeofday(struct timeval *restrict time, void *restrict zone) {
  (void)zone;
  struct timespec now;
  int failed = clock_gettime(CLOCK_REALTIME, &now);
  time->tv_sec = now.tv_sec;
  time->tv_usec = now.tv_nsec / 1000;
  return failed;
}

time_t time(time_t *place) {
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  if (place) *place = now.tv_sec;
  return now.tv_sec;
}
