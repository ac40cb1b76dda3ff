/* The floor of `reconcile --boot`: makes the same files in the same order, and nothing else.
 *
 * floor make SCANDIR HOME TEMPLATES PROFILE: a slot in the empty SCANDIR for each home below
 *     HOME, default's down and all others up. TEMPLATES is a scandir that hermes-gw has made,
 *     with default's slot and that of PROFILE, which all others are like but for its name.
 * floor time PROGRAM [ARGUMENT...]: runs it, and prints how many nanoseconds that took, and
 *     how many of them the processors were at it.
 *
 * It looks at what hermes-gw looks at in a home, and decides nothing by it. Whatever fails ends
 * it. */

#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { MOST = 16384, READ = O_RDONLY | O_CLOEXEC, DIRECTORY = READ | O_DIRECTORY,
       NEW = O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC };

static void fail(const char *what)
{
    perror(what);
    exit(1);
}

static int ok(int result, const char *what)
{
    if (result < 0) fail(what);
    return result;
}

/* What `name` holds; `most` bytes at most. */
static size_t content(int dir, const char *name, char *into, size_t most)
{
    int fd = ok(openat(dir, name, READ | O_NOFOLLOW), name);
    ssize_t size = read(fd, into, most);
    if (size < 0 || (size_t)size == most) fail(name);
    close(fd);
    return (size_t)size;
}

static void make_file(int dir, const char *name, int mode, const char *bytes, size_t size)
{
    int fd = ok(openat(dir, name, NEW, mode), name);
    if (size && write(fd, bytes, size) != (ssize_t)size) fail(name);
    close(fd);
}

/* A script, in which a profile's name is to be put into the gaps. */
struct script {
    char bytes[MOST];
    size_t size, gaps[8], count;
};

static void read_script(struct script *script, int dir, const char *path, const char *profile)
{
    size_t length = strlen(profile);
    script->size = content(dir, path, script->bytes, MOST);
    for (char *at = script->bytes; length; at += length) {
        at = memmem(at, script->bytes + script->size - at, profile, length);
        if (!at) break;
        if (script->count == 8) fail("more than 8 names");
        script->gaps[script->count++] = at - script->bytes;
    }
}

static char buffer[2 * MOST];

static void make_script(int dir, const char *path, const struct script *script, const char *profile,
                        size_t length)
{
    size_t size = 0, from = 0, own = strlen(profile);
    for (size_t gap = 0; gap < script->count; gap++) {
        size_t part = script->gaps[gap] - from;
        memcpy(buffer + size, script->bytes + from, part);
        memcpy(buffer + size + part, profile, own);
        size += part + own;
        from = script->gaps[gap] + length;
    }
    memcpy(buffer + size, script->bytes + from, script->size - from);
    make_file(dir, path, 0755, buffer, size + script->size - from);
}

/* What all slots have, default's scripts, and those of the others. */
static char type[64], tally[64], finish[MOST], log_finish[64], timeout[64];
static size_t type_size, tally_size, finish_size, log_finish_size, timeout_size, name_length;
static struct script scripts[2], log_scripts[2];

/* The slot made last: what is the same in every slot is linked from it. */
static int last = -1;

/* Looks into a home as for a boot, and takes pid files away. */
static void look(int home, const char *marker)
{
    static char state[MOST];
    struct stat stat;
    int fd;
    if (marker) ok(fstatat(home, marker, &stat, AT_SYMLINK_NOFOLLOW), marker);
    fd = openat(home, "gateway_state.json", READ | O_NOFOLLOW);
    if (fd >= 0) {
        ok((int)read(fd, state, MOST), "gateway_state.json");
        close(fd);
    }
    /* Those that are there are another container's, and none is. */
    if (openat(home, "gateway.lock", READ) >= 0) fail("gateway.lock");
    if (openat(home, "state/gateway.lifecycle.json", READ) >= 0) fail("state");
    unlinkat(home, "gateway.pid", 0);
    unlinkat(home, "processes.json", 0);
}

/* mkdir does not know setgid. */
static void make_event_dir(int slot, const char *path)
{
    ok(mkdirat(slot, path, 03730), path);
    ok(fchmodat(slot, path, 03730, 0), path);
}

/* The end of the process closes what is open, if that is not too much. */
enum { MOST_OPEN = 200 };

static void make_slot(int scandir, const char *profile)
{
    char staged[300], name[300];
    static int made;
    int is_named = strcmp(profile, "default") != 0, slot;
    snprintf(staged, sizeof staged, ".gateway-%s.tmp", profile);
    snprintf(name, sizeof name, "gateway-%s", profile);
    ok(mkdirat(scandir, staged, 0755), staged);
    slot = ok(openat(scandir, staged, DIRECTORY), staged);
    ok(mkdirat(slot, "log", 0755), "log");
    make_event_dir(slot, "event");
    ok(mkdirat(slot, "supervise", 0700), "supervise");
    make_event_dir(slot, "supervise/event");
    make_event_dir(slot, "log/event");
    ok(mkdirat(slot, "log/supervise", 0700), "log/supervise");
    make_event_dir(slot, "log/supervise/event");
    ok(mknodat(slot, "supervise/control", S_IFIFO | 0600, 0), "supervise/control");
    ok(mknodat(slot, "log/supervise/control", S_IFIFO | 0600, 0), "log/supervise/control");
    if (last >= 0) {
        ok(linkat(last, "type", slot, "type", 0), "type");
        ok(linkat(last, "max-death-tally", slot, "max-death-tally", 0), "max-death-tally");
    } else {
        make_file(slot, "type", 0644, type, type_size);
        make_file(slot, "max-death-tally", 0644, tally, tally_size);
    }
    make_file(slot, "finish", 0755, finish, finish_size);
    if (last >= 0) ok(linkat(last, "log/finish", slot, "log/finish", 0), "log/finish");
    else make_file(slot, "log/finish", 0755, log_finish, log_finish_size);
    make_script(slot, "log/run", &log_scripts[is_named], profile, name_length);
    make_script(slot, "run", &scripts[is_named], profile, name_length);
    if (last >= 0) {
        ok(linkat(last, "timeout-finish", slot, "timeout-finish", 0), "timeout-finish");
        if (++made > MOST_OPEN) close(last);
    } else {
        make_file(slot, "timeout-finish", 0644, timeout, timeout_size);
    }
    if (!is_named) make_file(slot, "down", 0644, "", 0);
    last = slot;
    ok(renameat(scandir, staged, scandir, name), name);
}

static int by_name(const void *one, const void *other)
{
    return strcmp(*(char *const *)one, *(char *const *)other);
}

static void read_templates(int templates, const char *profile)
{
    char path[300];
    int slot = ok(openat(templates, "gateway-default", DIRECTORY), "gateway-default");
    name_length = strlen(profile);
    type_size = content(slot, "type", type, sizeof type);
    tally_size = content(slot, "max-death-tally", tally, sizeof tally);
    timeout_size = content(slot, "timeout-finish", timeout, sizeof timeout);
    finish_size = content(slot, "finish", finish, sizeof finish);
    log_finish_size = content(slot, "log/finish", log_finish, sizeof log_finish);
    read_script(&scripts[0], slot, "run", "");
    read_script(&log_scripts[0], slot, "log/run", "");
    close(slot);
    snprintf(path, sizeof path, "gateway-%s", profile);
    slot = ok(openat(templates, path, DIRECTORY), path);
    read_script(&scripts[1], slot, "run", profile);
    read_script(&log_scripts[1], slot, "log/run", profile);
    close(slot);
}

/* The line of the boot log for each profile. */
static size_t add_line(char *lines, size_t most, const char *time, const char *profile)
{
    int is_named = strcmp(profile, "default") != 0;
    return (size_t)snprintf(lines, most,
                            "%s profile=%s prior_state=%s action=%s prior_exit=unknown\n", time,
                            profile, is_named ? "running" : "none",
                            is_named ? "started" : "registered");
}

static void make(char **argument)
{
    static char lines[1 << 20], names[1 << 16];
    static char *profiles[4096], listed[1 << 16];
    char stamp[32];
    size_t count = 0, used = 0, size = 0;
    time_t now = time(NULL);
    struct tm tm;
    int scandir = ok(open(argument[0], DIRECTORY), argument[0]);
    int root = ok(open(argument[1], DIRECTORY), argument[1]);
    int below = ok(openat(root, "profiles", DIRECTORY), "profiles");
    int lock, logs;
    long got;
    read_templates(ok(open(argument[2], DIRECTORY), argument[2]), argument[3]);
    lock = ok(openat(scandir, ".hermes-gw.lock", O_RDWR | O_CREAT | O_CLOEXEC, 0600), "lock");
    ok(flock(lock, LOCK_EX | LOCK_NB), "lock");

    while ((got = syscall(SYS_getdents64, below, listed, sizeof listed)) > 0) {
        for (long at = 0; at < got;) {
            struct dirent *entry = (struct dirent *)(listed + at);
            at += entry->d_reclen;
            if (entry->d_name[0] == '.') continue;
            if (count == 4096 || used + 256 > sizeof names) fail("too many profiles");
            profiles[count++] = strcpy(names + used, entry->d_name);
            used += strlen(entry->d_name) + 1;
        }
    }
    ok((int)got, "profiles");
    qsort(profiles, count, sizeof *profiles, by_name);

    strftime(stamp, sizeof stamp, "%Y-%m-%dT%H:%M:%S+0000", gmtime_r(&now, &tm));
    look(root, NULL);
    make_slot(scandir, "default");
    size += add_line(lines, sizeof lines, stamp, "default");
    for (size_t at = 0; at < count; at++) {
        int home = ok(openat(below, profiles[at], DIRECTORY), profiles[at]);
        look(home, "SOUL.md");
        if (at >= MOST_OPEN) close(home);
        make_slot(scandir, profiles[at]);
        size += add_line(lines + size, sizeof lines - size, stamp, profiles[at]);
    }

    if (mkdirat(root, "logs", 0755) && errno != EEXIST) fail("logs");
    logs = ok(openat(root, "logs/container-boot.log", O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC,
                     0644), "logs/container-boot.log");
    if (write(logs, lines, size) != (ssize_t)size) fail("logs/container-boot.log");
}

/* Not by fork(2): the size of who starts it is nothing to either program. */
static void time_it(char **argument)
{
    extern char **environ;
    struct timespec start, end;
    struct rusage usage;
    posix_spawn_file_actions_t actions;
    pid_t pid;
    int status;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0);
    clock_gettime(CLOCK_MONOTONIC, &start);
    errno = posix_spawn(&pid, argument[0], &actions, NULL, argument, environ);
    if (errno) fail(argument[0]);
    ok(wait4(pid, &status, 0, &usage), "wait4");
    clock_gettime(CLOCK_MONOTONIC, &end);
    if (status) {
        fprintf(stderr, "%s: wait status %d\n", argument[0], status);
        exit(1);
    }
    printf("%lld %lld\n",
           (end.tv_sec - start.tv_sec) * 1000000000LL + end.tv_nsec - start.tv_nsec,
           (usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1000000000LL +
               (usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) * 1000LL);
}

int main(int count, char **argument)
{
    umask(0);
    if (count == 6 && !strcmp(argument[1], "make")) make(argument + 2);
    else if (count > 2 && !strcmp(argument[1], "time")) time_it(argument + 2);
    else return 2;
    return 0;
}
