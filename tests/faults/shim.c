/* A faulty disk, preloaded into a process: everything it does to the files of one folder goes through here.
 *
 * FAULTS_DIR names the folder. FAULTS_CONTROL is a file of 64-bit words (enum word, below), mapped, so that a test
 * changes the rule while the process runs and reads what was seen. FAULTS_TRACE, if set, takes a record of every change
 * in the order in which it was made: from it a test knows what a power cut may leave (tests/faults/trace.rs).
 *
 * All calls are made as bare system calls, under one lock. What could change a file unseen ends the process with a
 * sentence, so that no test passes because the shim looked away.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

/* The bits of a rule's `kinds`, and the kinds of the trace's records. */
enum kind { OPEN, CREATE, READ, WRITE, TRUNCATE, SYNC, SYNC_FOLDER, RENAME, UNLINK, CLOSE, START, MARK };
/* The bits of a rule's `files`. */
enum file { DB, WAL, CHECKPOINT, CHECKPOINT_TMP, LOCK, NEW, TRIAL, FOLDER, OTHER };
enum action { NOTHING, FAIL, SHORT, TORN_FAIL, KILL_BEFORE, KILL_AFTER, TORN_KILL, CORRUPT, PRETEND };
/* The words of the control file. Reads and writes match where they begin within FROM..TO. SKIP matching calls pass, COUNT
 * are hit; SEEN counts matching calls, HIT the hit. HIT_AT and ENDED_AT are when the first was hit and when the process
 * came to its end, in nanoseconds of one clock. */
enum word { ACTION, KINDS, FILES, SKIP, COUNT, ERRNO, PART, FROM, TO, SEEN, HIT, HIT_AT, ENDED_AT, WORDS };

#define MOST_FILES 65536
#define EXPORTED __attribute__((visibility("default")))

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static volatile uint64_t *control;
static char folder[4096];
static size_t folder_length;
static int trace = -1;
/* 1 + enum file of what a descriptor stands for; 0: not ours. */
static unsigned char held[MOST_FILES];

struct record {
  uint8_t kind, file;
  uint16_t pad;
  uint32_t fd;
  uint64_t offset, length;
};

static void give_up(const char *why) {
  dprintf(2, "faults shim: %s\n", why);
  syscall(SYS_exit_group, 97);
}

static void die(void) {
  syscall(SYS_kill, getpid(), SIGKILL);
  for (;;) pause();
}

static void note(enum kind kind, enum file file, int fd, uint64_t offset, const void *bytes, uint64_t length,
                 uint64_t told) {
  if (trace < 0) return;
  struct record record = {kind, file, 0, (uint32_t)fd, offset, bytes ? length : told};
  struct iovec parts[2] = {{&record, sizeof record}, {(void *)bytes, length}};
  size_t all = sizeof record + (bytes ? length : 0);
  if (syscall(SYS_writev, trace, parts, bytes ? 2 : 1) != (long)all) give_up("cannot write the trace");
}

__attribute__((constructor)) static void start(void) {
  const char *dir = getenv("FAULTS_DIR"), *words = getenv("FAULTS_CONTROL"), *records = getenv("FAULTS_TRACE");
  if (!dir || !words) return;
  snprintf(folder, sizeof folder, "%s", dir);
  folder_length = strlen(folder);
  int fd = (int)syscall(SYS_openat, AT_FDCWD, words, O_RDWR | O_CLOEXEC, 0);
  void *map = fd < 0 ? MAP_FAILED : mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (map == MAP_FAILED) give_up("cannot map the control file");
  syscall(SYS_close, fd);
  if (records) {
    trace = (int)syscall(SYS_openat, AT_FDCWD, records, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    if (trace < 0) give_up("cannot open the trace");
    note(START, OTHER, 0, 0, NULL, 0, 0);
  }
  control = map;
}

static uint64_t uptime(void) {
  struct timespec now;
  syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &now);
  return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

__attribute__((destructor)) static void end(void) {
  if (control) control[ENDED_AT] = uptime();
}

/* The name within the folder, "" for the folder itself, NULL for anything else. */
static const char *ours(const char *path) {
  if (!control || !path || strncmp(path, folder, folder_length) != 0) return NULL;
  path += folder_length;
  if (*path == 0 || (path[0] == '/' && path[1] == 0)) return "";
  return *path == '/' ? path + 1 : NULL;
}

static int ends(const char *name, const char *end) {
  size_t length = strlen(name), tail = strlen(end);
  return length >= tail && strcmp(name + length - tail, end) == 0;
}

static enum file file_of(const char *name) {
  if (*name == 0) return FOLDER;
  if (strcmp(name, "journal.db") == 0) return DB;
  if (strcmp(name, "journal.db-wal") == 0) return WAL;
  if (strncmp(name, "journal.db.new", 14) == 0) return NEW;
  if (strncmp(name, "checkpoint-", 11) == 0) return ends(name, ".bin") ? CHECKPOINT : CHECKPOINT_TMP;
  if (strcmp(name, "LOCK") == 0) return LOCK;
  return ends(name, ".tmp") ? TRIAL : OTHER;
}

/* What is to be done to this call, which the rule may be about. KILL_BEFORE does not return. */
static enum action decide(enum kind kind, enum file file) {
  enum action action = (enum action)control[ACTION];
  if (!(control[KINDS] >> kind & 1) || !(control[FILES] >> file & 1)) return NOTHING;
  uint64_t place = control[SEEN]++;
  if (action == NOTHING || place < control[SKIP] || place - control[SKIP] >= control[COUNT]) return NOTHING;
  if (control[HIT]++ == 0) control[HIT_AT] = uptime();
  if (action == KILL_BEFORE) die();
  return action;
}

/* Likewise, of a read or a write that begins there. */
static enum action decide_at(enum kind kind, enum file file, off_t offset) {
  return (uint64_t)offset < control[FROM] || (uint64_t)offset >= control[TO] ? NOTHING : decide(kind, file);
}

static int failed(void) {
  errno = (int)control[ERRNO];
  return -1;
}

static int is_held(int fd) { return control && fd >= 0 && fd < MOST_FILES && held[fd]; }
static enum file file_held(int fd) { return (enum file)(held[fd] - 1); }

static int open_at(int at, const char *path, int flags, mode_t mode) {
  const char *name = at == AT_FDCWD || (path && *path == '/') ? ours(path) : NULL;
  if (!name) return (int)syscall(SYS_openat, at, path, flags, mode);
  enum file file = file_of(name);
  pthread_mutex_lock(&lock);
  int creates = (flags & O_CREAT) && syscall(SYS_faccessat, AT_FDCWD, path, F_OK, 0) != 0;
  enum action action = decide(creates ? CREATE : OPEN, file);
  int fd;
  if (action != NOTHING && action != KILL_AFTER) {
    fd = failed();
  } else {
    fd = (int)syscall(SYS_openat, at, path, flags, mode);
    if (fd >= MOST_FILES) give_up("too many descriptors");
    if (fd >= 0) {
      held[fd] = (unsigned char)(1 + file);
      note(creates ? CREATE : OPEN, file, fd, 0, name, strlen(name), 0);
      if (!creates && (flags & O_TRUNC)) note(TRUNCATE, file, fd, 0, NULL, 0, 0);
    }
    if (action == KILL_AFTER) die();
  }
  pthread_mutex_unlock(&lock);
  return fd;
}

#define MODE(flags, mode)                      \
  mode_t mode = 0;                             \
  if ((flags) & (O_CREAT | O_TMPFILE)) {       \
    va_list more;                              \
    va_start(more, flags);                     \
    mode = va_arg(more, mode_t);               \
    va_end(more);                              \
  }

EXPORTED int open(const char *path, int flags, ...) { MODE(flags, mode) return open_at(AT_FDCWD, path, flags, mode); }
EXPORTED int open64(const char *path, int flags, ...) { MODE(flags, mode) return open_at(AT_FDCWD, path, flags, mode); }
EXPORTED int openat(int at, const char *path, int flags, ...) { MODE(flags, mode) return open_at(at, path, flags, mode); }
EXPORTED int openat64(int at, const char *path, int flags, ...) { MODE(flags, mode) return open_at(at, path, flags, mode); }
EXPORTED int creat(const char *path, mode_t mode) { return open_at(AT_FDCWD, path, O_WRONLY | O_CREAT | O_TRUNC, mode); }
EXPORTED int creat64(const char *path, mode_t mode) { return open_at(AT_FDCWD, path, O_WRONLY | O_CREAT | O_TRUNC, mode); }

EXPORTED int close(int fd) {
  if (is_held(fd)) {
    pthread_mutex_lock(&lock);
    note(CLOSE, file_held(fd), fd, 0, NULL, 0, 0);
    held[fd] = 0;
    pthread_mutex_unlock(&lock);
  }
  return (int)syscall(SYS_close, fd);
}

/* Where a call begins; `offset` -1: at the file's own place, which moves. */
static off_t place_of(int fd, off_t offset) { return offset >= 0 ? offset : syscall(SYS_lseek, fd, 0, SEEK_CUR); }

static ssize_t read_at(int fd, void *bytes, size_t length, off_t offset) {
  enum action action = NOTHING;
  if (is_held(fd)) {
    pthread_mutex_lock(&lock);
    action = decide_at(READ, file_held(fd), place_of(fd, offset));
    pthread_mutex_unlock(&lock);
  }
  if (action == KILL_AFTER) die();
  if (action == FAIL) return failed();
  if (action == SHORT) length /= 2;
  ssize_t done = offset < 0 ? syscall(SYS_read, fd, bytes, length) : syscall(SYS_pread64, fd, bytes, length, offset);
  if (action == CORRUPT && done > 0) ((char *)bytes)[done / 2] ^= 0x10;
  return done;
}

static ssize_t put(int fd, const void *bytes, size_t length, off_t offset) {
  return offset < 0 ? syscall(SYS_write, fd, bytes, length) : syscall(SYS_pwrite64, fd, bytes, length, offset);
}

static ssize_t write_at(int fd, const void *bytes, size_t length, off_t offset) {
  if (!is_held(fd)) return put(fd, bytes, length, offset);
  pthread_mutex_lock(&lock);
  enum file file = file_held(fd);
  int appends = offset < 0 && (syscall(SYS_fcntl, fd, F_GETFL) & O_APPEND);
  off_t place = appends ? syscall(SYS_lseek, fd, 0, SEEK_END) : place_of(fd, offset);
  enum action action = decide_at(WRITE, file, place);
  ssize_t done = -1;
  if (action == FAIL) {
    failed();
  } else {
    int is_part = action == SHORT || action == TORN_FAIL || action == TORN_KILL;
    size_t part = is_part ? length * control[PART] / 1024 : length;
    /* Of something, a short write writes something. */
    if (action == SHORT && part == 0) part = length > 0;
    done = action == PRETEND ? (ssize_t)length : put(fd, bytes, part, offset);
    if (done > 0 && action != PRETEND) note(WRITE, file, fd, (uint64_t)place, bytes, (uint64_t)done, 0);
    if (action == TORN_FAIL) done = failed();
    if (action == TORN_KILL || action == KILL_AFTER) die();
  }
  pthread_mutex_unlock(&lock);
  return done;
}

EXPORTED ssize_t read(int fd, void *bytes, size_t length) { return read_at(fd, bytes, length, -1); }
EXPORTED ssize_t pread(int fd, void *bytes, size_t length, off_t offset) { return read_at(fd, bytes, length, offset); }
EXPORTED ssize_t pread64(int fd, void *bytes, size_t length, off_t offset) { return read_at(fd, bytes, length, offset); }
EXPORTED ssize_t write(int fd, const void *bytes, size_t length) { return write_at(fd, bytes, length, -1); }
EXPORTED ssize_t pwrite(int fd, const void *bytes, size_t length, off_t offset) { return write_at(fd, bytes, length, offset); }
EXPORTED ssize_t pwrite64(int fd, const void *bytes, size_t length, off_t offset) { return write_at(fd, bytes, length, offset); }

EXPORTED ssize_t writev(int fd, const struct iovec *parts, int count) {
  /* A short write is allowed at any time, so the first part is enough. */
  if (is_held(fd)) return count > 0 ? write_at(fd, parts[0].iov_base, parts[0].iov_len, -1) : 0;
  return syscall(SYS_writev, fd, parts, count);
}

EXPORTED int ftruncate(int fd, off_t length) {
  if (!is_held(fd)) return (int)syscall(SYS_ftruncate, fd, length);
  pthread_mutex_lock(&lock);
  enum action action = decide(TRUNCATE, file_held(fd));
  int done;
  if (action != NOTHING && action != KILL_AFTER) {
    done = failed();
  } else {
    done = (int)syscall(SYS_ftruncate, fd, length);
    if (done == 0) note(TRUNCATE, file_held(fd), fd, 0, NULL, 0, (uint64_t)length);
    if (action == KILL_AFTER) die();
  }
  pthread_mutex_unlock(&lock);
  return done;
}
EXPORTED int ftruncate64(int fd, off_t length) { return ftruncate(fd, length); }

/* A sync that fails may have written or not: nothing is noted, so for the trace it has not. */
static int sync_by(long call, int fd) {
  if (!is_held(fd)) return (int)syscall(call, fd);
  pthread_mutex_lock(&lock);
  enum kind kind = file_held(fd) == FOLDER ? SYNC_FOLDER : SYNC;
  enum action action = decide(kind, file_held(fd));
  int done = 0;
  if (action == PRETEND) {
  } else if (action != NOTHING && action != KILL_AFTER) {
    done = failed();
  } else {
    done = (int)syscall(call, fd);
    if (done == 0) note(kind, file_held(fd), fd, 0, NULL, 0, 0);
    if (action == KILL_AFTER) die();
  }
  pthread_mutex_unlock(&lock);
  return done;
}
EXPORTED int fsync(int fd) { return sync_by(SYS_fsync, fd); }
EXPORTED int fdatasync(int fd) { return sync_by(SYS_fdatasync, fd); }

EXPORTED int rename(const char *from, const char *to) {
  const char *source = ours(from), *target = ours(to);
  if (!source != !target) give_up("a rename into or out of the folder");
  if (!source) return (int)syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, 0);
  pthread_mutex_lock(&lock);
  enum action action = decide(RENAME, file_of(source));
  int done;
  if (action != NOTHING && action != KILL_AFTER) {
    done = failed();
  } else {
    done = (int)syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, 0);
    char names[1024];
    int length = snprintf(names, sizeof names, "%s/%s", source, target);
    if (done == 0) note(RENAME, file_of(source), 0, 0, names, (uint64_t)length, 0);
    if (action == KILL_AFTER) die();
  }
  pthread_mutex_unlock(&lock);
  return done;
}

EXPORTED int unlink(const char *path) {
  const char *name = ours(path);
  if (!name) return (int)syscall(SYS_unlinkat, AT_FDCWD, path, 0);
  pthread_mutex_lock(&lock);
  enum action action = decide(UNLINK, file_of(name));
  int done;
  if (action != NOTHING && action != KILL_AFTER) {
    done = failed();
  } else {
    done = (int)syscall(SYS_unlinkat, AT_FDCWD, path, 0);
    if (done == 0) note(UNLINK, file_of(name), 0, 0, name, strlen(name), 0);
    if (action == KILL_AFTER) die();
  }
  pthread_mutex_unlock(&lock);
  return done;
}

/* What would change a file of the folder unseen. */
#define UNKNOWN(fd, what) if (is_held(fd)) give_up(what " of a file in the folder, which it does not know")

EXPORTED void *mmap(void *at, size_t length, int protection, int flags, int fd, off_t offset) {
  if ((flags & MAP_SHARED) && (protection & PROT_WRITE)) { UNKNOWN(fd, "a shared mapping"); }
  return (void *)syscall(SYS_mmap, at, length, protection, flags, fd, offset);
}
EXPORTED void *mmap64(void *at, size_t length, int protection, int flags, int fd, off_t offset) {
  return mmap(at, length, protection, flags, fd, offset);
}
EXPORTED int fallocate(int fd, int mode, off_t offset, off_t length) {
  UNKNOWN(fd, "fallocate");
  return (int)syscall(SYS_fallocate, fd, mode, offset, length);
}
EXPORTED int fallocate64(int fd, int mode, off_t offset, off_t length) { return fallocate(fd, mode, offset, length); }
EXPORTED int posix_fallocate(int fd, off_t offset, off_t length) { return fallocate(fd, 0, offset, length) ? errno : 0; }
EXPORTED int posix_fallocate64(int fd, off_t offset, off_t length) { return posix_fallocate(fd, offset, length); }
EXPORTED ssize_t pwritev(int fd, const struct iovec *parts, int count, off_t offset) {
  UNKNOWN(fd, "pwritev");
  return syscall(SYS_pwritev, fd, parts, count, offset, 0);
}
EXPORTED ssize_t pwritev64(int fd, const struct iovec *parts, int count, off_t offset) { return pwritev(fd, parts, count, offset); }
EXPORTED ssize_t copy_file_range(int in, off64_t *from, int out, off64_t *to, size_t length, unsigned flags) {
  UNKNOWN(out, "copy_file_range");
  return syscall(SYS_copy_file_range, in, from, out, to, length, flags);
}
EXPORTED int link(const char *from, const char *to) {
  if (ours(from) || ours(to)) give_up("a link in the folder");
  return (int)syscall(SYS_linkat, AT_FDCWD, from, AT_FDCWD, to, 0);
}
