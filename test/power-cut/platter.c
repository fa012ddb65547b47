/*
 * A disk that can lose its power. Preloaded into a process, this shim keeps beside the files below PLATTER_FOLDER what
 * a disk would still hold if the power failed at this instant. A killed process proves nothing about durability, as
 * the kernel keeps its page cache and writes it out later; the platter forgets everything that was not synced.
 *
 * PLATTER_DISK is a folder outside the process, so that after SIGKILL nothing more needs doing:
 *   files/   the surviving files under their names: the state after the cut
 *   store/   the same files by number, also those whose name is not durable yet (hard links, as on a real disk)
 *   calls    eight counters, so that the parent sees that the calls really came through here
 *
 * The model, strict where POSIX promises nothing and never stricter than that:
 * - A write or truncation goes to the real file and is remembered. fsync and fdatasync put all remembered changes of
 *   the file on the platter, in order, before they return: what is acknowledged after them is there.
 * - A share of the changes (PLATTER_EARLY) lands at once, so later ones may survive earlier ones. A share of these
 *   (PLATTER_TORN) lands torn: each sector of 512 bytes survives or not by itself. Bytes beside a write stay as they
 *   were, and a hole reads as zeros. Whatever subset of the unsynced changes is there, a real disk could hold it.
 * - Creating, removing and renaming change a directory and are durable when that directory is synced, not when the
 *   file is. POSIX asks for this, SQLite does it (with its journal and with the first sync of its WAL), and a program
 *   that forgets it should fail. Entries of a directory land in order, as a journalled file system writes them.
 * - mkdir is durable at once, and `-shm` files are left alone: SQLite rebuilds that index after a crash.
 * - A way of writing that is not modelled (sendfile, copy_file_range, link, a writable mapping, O_SYNC, a duplicated
 *   descriptor) stays off the platter. It shows as loss, so a gap of the model cannot pass for durability.
 * - Real syncs are skipped, since only the platter is judged. Each sync pauses for up to PLATTER_PAUSE_US microseconds
 *   somewhere between its changes instead, so that cuts fall into syncs too.
 *
 * One process per platter, of any number of threads: changes that wait for a sync live in its memory, and a second
 * process could not sync them. PLATTER_SEED seeds the choices; the instant of the kill is the parent's. Linux, glibc.
 */
#define _GNU_SOURCE
#undef _FORTIFY_SOURCE /* its inline wrappers would clash with the definitions below */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

/* The function of libc behind the one defined here; looked up late, because libraries may call before our start. */
#define REAL(name) ({ static __typeof__(&name) real; if (!real) real = dlsym(RTLD_NEXT, #name); real; })

enum { SECTOR = 512, DESCRIPTORS = 65536, NAME = 2 * PATH_MAX };
enum call { OPEN, WRITE, TRUNCATE, SYNC, ENTRY, SYNC_DIRECTORY, EARLY, TORN, CALLS };

/* One change of a file that no sync has covered yet. `length` is -1 for a truncation to `offset`. */
struct change { struct change *next; off_t offset; ssize_t length; char bytes[]; };
/* A file or directory that the process has met, kept until it ends. `name` is below the folder, NULL once removed. */
struct file { struct file *next; char *name; int is_directory; unsigned number; struct change *first, **last; };
/* A change of a directory: created (no `from`), removed (no `to`) or renamed. */
struct entry { struct entry *next; struct file *file; char *from, *to; };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static char folder[PATH_MAX], disk[PATH_MAX];
static struct file *files, *volatile open_files[DESCRIPTORS];
static struct entry *entries;
static uint64_t *calls, random_state;
static double early, torn, pause_us;

/* The simulation itself must not go on half-broken: it would report a loss that never was, or none where one was. */
static void check(int fine, const char *what, const char *name) {
  if (fine) return;
  dprintf(2, "platter: %s: %s (%s)\n", what, name, strerror(errno));
  abort();
}

static const char *setting(const char *name) {
  check(getenv(name) != NULL, "this environment variable must be set", name);
  return getenv(name);
}

__attribute__((constructor)) static void start(void) {
  check(realpath(setting("PLATTER_FOLDER"), folder) && realpath(setting("PLATTER_DISK"), disk), "no folder", folder);
  early = atof(setting("PLATTER_EARLY"));
  torn = atof(setting("PLATTER_TORN"));
  pause_us = atof(setting("PLATTER_PAUSE_US"));
  random_state = strtoull(setting("PLATTER_SEED"), NULL, 10) * 0x9E3779B97F4A7C15u + 0x2545F4914F6CDD1Du;
}

/* In [0, 1), by xorshift64* (S. Vigna, "An experimental exploration of Marsaglia's xorshift generators", 2016). */
static double chance(void) {
  random_state ^= random_state >> 12;
  random_state ^= random_state << 25;
  random_state ^= random_state >> 27;
  return (double)((random_state * 0x2545F4914F6CDD1Du) >> 11) / 9007199254740992.0;
}

/* The first tracked call claims the counters, with a lock that ends with the process. */
static void count(enum call call) {
  if (!calls) {
    char name[NAME];
    snprintf(name, NAME, "%s/calls", disk);
    int fd = REAL(openat)(AT_FDCWD, name, O_RDWR | O_CLOEXEC);
    check(fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) == 0, "a second process writes below this folder", folder);
    calls = mmap(NULL, CALLS * sizeof *calls, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    check(calls != MAP_FAILED, "cannot map", name);
  }
  calls[call]++;
}

/* Writes the name below the folder and says true when the path leads there. The parent must exist, not the file. */
static int below(int directory, const char *path, char name[PATH_MAX]) {
  char full[NAME], real[NAME];
  int saved = errno;
  if (path[0] == '/' || directory == AT_FDCWD) snprintf(full, NAME, "%s%s", path[0] == '/' ? "" : "./", path);
  else snprintf(full, NAME, "/proc/self/fd/%d/%s", directory, path);
  char *base = strrchr(full, '/') + 1, last[NAME];
  int is_plain = *base && strcmp(base, ".") && strcmp(base, "..");
  snprintf(last, NAME, is_plain ? "/%s" : "%s", is_plain ? base : "");
  if (is_plain) *base = 0;
  int exists = realpath(full, real) != NULL;
  errno = saved;
  size_t prefix = strlen(folder);
  if (!exists || strlen(real) + strlen(last) >= PATH_MAX) return 0;
  strcat(real, last);
  if (strncmp(real, folder, prefix) || (real[prefix] && real[prefix] != '/')) return 0;
  strcpy(name, real[prefix] ? real + prefix + 1 : "");
  return strlen(name) < 4 || strcmp(name + strlen(name) - 4, "-shm");
}

static char *copy(const char *text) {
  char *copied = text ? strdup(text) : NULL;
  check(copied || !text, "no memory", disk);
  return copied;
}

static void on_disk(char path[NAME], const char *name) { snprintf(path, NAME, "%s/files/%s", disk, name); }
static void in_store(char path[NAME], struct file *file) { snprintf(path, NAME, "%s/store/%u", disk, file->number); }

static int open_stored(struct file *file) {
  char stored[NAME];
  in_store(stored, file);
  int fd = REAL(openat)(AT_FDCWD, stored, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  check(fd >= 0, "cannot open", stored);
  return fd;
}

/* The file of this name, met now or before. A `created` one is empty, another has what the platter has. */
static struct file *meet(const char *name, int created, int is_directory) {
  struct file *file = files;
  while (file && !(file->name && !strcmp(file->name, name))) file = file->next;
  if (file) return file;
  check((file = calloc(1, sizeof *file)) != NULL, "no memory", name);
  *file = (struct file){ files, copy(name), is_directory, files ? files->number + 1 : 0, NULL, &file->first };
  char stored[NAME], named[NAME];
  in_store(stored, file);
  on_disk(named, name);
  int fails = !is_directory && !created && linkat(AT_FDCWD, named, AT_FDCWD, stored, 0);
  check(!fails || errno == ENOENT, "cannot link", named);
  if (!is_directory) REAL(close)(open_stored(file));
  return files = file;
}

static void land(int fd, struct change *change, int is_torn) {
  if (change->length < 0) check(REAL(ftruncate)(fd, change->offset) == 0, "cannot truncate on the platter", disk);
  off_t end = change->offset + change->length;
  for (off_t at = change->offset, next; at < end; at = next) {
    next = is_torn ? (at / SECTOR + 1) * SECTOR : end;
    if (next > end) next = end;
    if (is_torn && chance() < 0.5) continue;
    ssize_t landed = REAL(pwrite)(fd, change->bytes + (at - change->offset), (size_t)(next - at), at);
    check(landed == next - at, "cannot write to the platter", disk);
  }
}

/* Remembers a change that has reached the real file; `length` is -1 for a truncation to `offset`. */
static void remember(struct file *file, off_t offset, ssize_t length, const struct iovec *parts) {
  struct change *change = malloc(sizeof *change + (length > 0 ? (size_t)length : 0));
  check(change != NULL, "no memory", disk);
  *change = (struct change){ .offset = offset, .length = length };
  for (ssize_t done = 0; done < length; parts++) {
    size_t part = parts->iov_len < (size_t)(length - done) ? parts->iov_len : (size_t)(length - done);
    memcpy(change->bytes + done, parts->iov_base, part);
    done += (ssize_t)part;
  }
  *file->last = change;
  file->last = &change->next;
  count(length < 0 ? TRUNCATE : WRITE);
  if (chance() >= early) return;
  int fd = open_stored(file), is_torn = chance() < torn;
  count(is_torn ? TORN : EARLY);
  land(fd, change, is_torn);
  REAL(close)(fd);
}

/* A cut in here leaves the first of the changes, and of the others whatever had landed early. */
static void sync_changes(struct file *file) {
  int fd = open_stored(file), waiting = 0;
  for (struct change *change = file->first; change; change = change->next) waiting++;
  int pause_at = (int)(chance() * (waiting + 1));
  for (int landed = 0; landed <= waiting; landed++) {
    if (landed == pause_at) usleep((useconds_t)(chance() * pause_us));
    struct change *change = file->first;
    if (!change) break;
    land(fd, change, 0);
    file->first = change->next;
    free(change);
  }
  file->last = &file->first;
  REAL(close)(fd);
  count(SYNC);
}

static size_t parent_length(const char *name) { return strrchr(name, '/') ? (size_t)(strrchr(name, '/') - name) : 0; }

/* A name is given by a rename, so that no cut finds the old entry gone and the new one not yet there. */
static void land_entry(struct entry *entry) {
  char from[NAME], to[NAME], stored[NAME];
  if (entry->from) on_disk(from, entry->from);
  if (!entry->to) {
    check(REAL(unlink)(from) == 0 || errno == ENOENT, "cannot remove from the platter", from);
    return;
  }
  on_disk(to, entry->to);
  for (char *slash = to + strlen(disk) + 7; (slash = strchr(slash, '/')); *slash++ = '/') *slash = 0, mkdir(to, 0755);
  in_store(stored, entry->file);
  if (!entry->from || access(from, F_OK)) {
    snprintf(from, NAME, "%s/store/named", disk);
    check(linkat(AT_FDCWD, stored, AT_FDCWD, from, 0) == 0, "cannot link", stored);
  }
  check(REAL(rename)(from, to) == 0, "cannot name on the platter", to);
}

static void sync_entries(const char *directory, size_t length) {
  for (struct entry **at = &entries, *entry; (entry = *at);) {
    const char *name = entry->to ? entry->to : entry->from;
    if (parent_length(name) != length || strncmp(name, directory, length)) { at = &entry->next; continue; }
    land_entry(entry);
    *at = entry->next;
    free(entry->from), free(entry->to), free(entry);
  }
}

static void remember_entry(struct file *file, const char *from, const char *to) {
  struct entry *entry = calloc(1, sizeof *entry), **at = &entries;
  check(entry != NULL, "no memory", disk);
  *entry = (struct entry){ NULL, file, copy(from), copy(to) };
  while (*at) at = &(*at)->next;
  *at = entry;
  free(file->name);
  file->name = copy(to);
  count(ENTRY);
  if (chance() < early) sync_entries(to ? to : from, parent_length(to ? to : from));
}

/* The tracked file behind a descriptor. Untracked ones, sockets and pipes among them, never wait for the lock. */
static struct file *tracked(int fd) { return fd >= 0 && fd < DESCRIPTORS ? open_files[fd] : NULL; }

static int open_at(int directory, const char *path, int flags, mode_t mode) {
  char name[PATH_MAX];
  struct stat stat;
  int follows = (flags & O_TMPFILE) != O_TMPFILE && below(directory, path, name);
  if (follows) pthread_mutex_lock(&lock);
  int created = follows && faccessat(directory, path, F_OK, 0) != 0;
  int fd = REAL(openat)(directory, path, flags, mode);
  if (tracked(fd)) open_files[fd] = NULL; /* closed behind our back, and the number came again */
  if (follows && fd >= 0 && fd < DESCRIPTORS) {
    check(fstat(fd, &stat) == 0, "cannot look at", path);
    struct file *file = open_files[fd] = meet(name, created, S_ISDIR(stat.st_mode));
    count(OPEN);
    if (created) remember_entry(file, NULL, name);
    else if ((flags & O_TRUNC) && (flags & O_ACCMODE) != O_RDONLY) remember(file, 0, -1, NULL);
  }
  if (follows) pthread_mutex_unlock(&lock);
  return fd;
}

#define OPEN_AT(directory) \
  va_list rest; \
  va_start(rest, flags); \
  mode_t mode = flags & (O_CREAT | __O_TMPFILE) ? va_arg(rest, mode_t) : 0; \
  va_end(rest); \
  return open_at(directory, path, flags, mode);
int open(const char *path, int flags, ...) { OPEN_AT(AT_FDCWD) }
int open64(const char *path, int flags, ...) { OPEN_AT(AT_FDCWD) }
int openat(int directory, const char *path, int flags, ...) { OPEN_AT(directory) }
int openat64(int directory, const char *path, int flags, ...) { OPEN_AT(directory) }
int creat(const char *path, mode_t mode) { return open_at(AT_FDCWD, path, O_CREAT | O_WRONLY | O_TRUNC, mode); }
int creat64(const char *path, mode_t mode) { return creat(path, mode); }

int close(int fd) {
  if (tracked(fd)) open_files[fd] = NULL; /* first, because the number is free for another thread once it is closed */
  return REAL(close)(fd);
}

/* Calls and remembers under one lock, so that the platter sees the changes in the order of the file. */
#define REMEMBERED(type, call, when, offset, length, parts) \
  struct file *file = tracked(fd); \
  if (!file) return call; \
  pthread_mutex_lock(&lock); \
  type done = call; \
  if (when) remember(file, offset, length, parts); \
  pthread_mutex_unlock(&lock); \
  return done;
#define WRITTEN(call, at, parts) { REMEMBERED(ssize_t, call, done > 0, at, done, parts) }
#define WHOLE (&(struct iovec){ (void *)bytes, length })
#define BEFORE (lseek(fd, 0, SEEK_CUR) - done) /* also right with O_APPEND, which moves to the end first */
ssize_t write(int fd, const void *bytes, size_t length) WRITTEN(REAL(write)(fd, bytes, length), BEFORE, WHOLE)
ssize_t writev(int fd, const struct iovec *parts, int n) WRITTEN(REAL(writev)(fd, parts, n), BEFORE, parts)
ssize_t pwrite(int fd, const void *bytes, size_t length, off_t at)
  WRITTEN(REAL(pwrite)(fd, bytes, length, at), at, WHOLE)
ssize_t pwrite64(int fd, const void *bytes, size_t length, off64_t at) { return pwrite(fd, bytes, length, at); }
ssize_t pwritev(int fd, const struct iovec *parts, int n, off_t at) WRITTEN(REAL(pwritev)(fd, parts, n, at), at, parts)
ssize_t pwritev64(int fd, const struct iovec *parts, int n, off64_t at) { return pwritev(fd, parts, n, at); }
int ftruncate(int fd, off_t length) { REMEMBERED(int, REAL(ftruncate)(fd, length), done == 0, length, -1, NULL) }
int ftruncate64(int fd, off64_t length) { return ftruncate(fd, length); }

static int sync_file(struct file *file) {
  pthread_mutex_lock(&lock);
  if (file->is_directory) sync_entries(file->name, strlen(file->name)), count(SYNC_DIRECTORY);
  else sync_changes(file);
  pthread_mutex_unlock(&lock);
  return 0;
}
int fsync(int fd) { return tracked(fd) ? sync_file(tracked(fd)) : REAL(fsync)(fd); }
int fdatasync(int fd) { return tracked(fd) ? sync_file(tracked(fd)) : REAL(fdatasync)(fd); }

int unlinkat(int directory, const char *path, int flags) {
  char name[PATH_MAX];
  int follows = !(flags & AT_REMOVEDIR) && below(directory, path, name);
  if (follows) pthread_mutex_lock(&lock);
  int result = REAL(unlinkat)(directory, path, flags);
  if (follows && result == 0) remember_entry(meet(name, 0, 0), name, NULL);
  if (follows) pthread_mutex_unlock(&lock);
  return result;
}
int unlink(const char *path) { return unlinkat(AT_FDCWD, path, 0); }

int rename(const char *from, const char *to) {
  char old[PATH_MAX], name[PATH_MAX];
  int leaves = below(AT_FDCWD, from, old), arrives = below(AT_FDCWD, to, name);
  if (!leaves && !arrives) return REAL(rename)(from, to);
  int is_plain = leaves && arrives && parent_length(old) == parent_length(name);
  check(is_plain && !strncmp(old, name, parent_length(name)), "a rename between directories is not modelled", to);
  pthread_mutex_lock(&lock);
  int result = REAL(rename)(from, to);
  if (result == 0 && strcmp(old, name)) {
    struct file *replaced = meet(name, 0, 0), *file = meet(old, 0, 0);
    check(!file->is_directory, "the rename of a directory is not modelled", to);
    free(replaced->name);
    replaced->name = NULL;
    remember_entry(file, old, name);
  }
  pthread_mutex_unlock(&lock);
  return result;
}
