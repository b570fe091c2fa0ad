/* A time of day that runs faster than the machine's, or is set back and forward, for one process: preloaded, it answers
 * CLOCK_REALTIME, and leaves the monotonic clock, timers and sleeps alone.
 *
 *   TEST_CLOCK="FROM_NS,SHOWS_NS,SPEED,FILE"
 *       when the monotonic clock stands at FROM_NS, the time of day is SHOWS_NS since 1970; from there it runs SPEED times
 *       as fast. The eight bytes of FILE say by how many nanoseconds it has been set since, and may change at any time.
 *
 * libfaketime does not do here: it divides the time-outs of epoll_wait by the speed as well, in whole milliseconds, so
 * that every timer of the runtime spins; and it counts from the start of each process, so that the clock of a restarted
 * one goes back. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static long long from_ns, shows_ns, speed;
static _Atomic long long *set_ns;
static int (*real_clock_gettime)(clockid_t, struct timespec *);

__attribute__((constructor)) static void begin(void) {
  const char *told = getenv("TEST_CLOCK");
  real_clock_gettime = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
  char path[4096];
  int file = -1;
  if (told && sscanf(told, "%lld,%lld,%lld,%4095s", &from_ns, &shows_ns, &speed, path) == 4) file = open(path, O_RDONLY);
  void *seen = file < 0 ? MAP_FAILED : mmap(NULL, sizeof *set_ns, PROT_READ, MAP_SHARED, file, 0);
  if (file >= 0) close(file);
  set_ns = seen;
  if (seen == MAP_FAILED) {
    speed = 0;
    fprintf(stderr, "TEST_CLOCK says no clock\n");
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
  long long ns = shows_ns + (now_ns - from_ns) * speed + *set_ns;
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
