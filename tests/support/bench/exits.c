/* What processes have cost, as the kernel tells it of each that ends (taskstats).
 *
 * exits: prints "ready", and then a line for each task that ends anywhere on the machine: its pid,
 *     its parent's, the microseconds that it was on a processor, those that it lived, its name.
 *     Goes on until it is killed. A line that is lost ends it.
 * exits of: the same of each task whose pid it reads, as far as it has come; what is not there any
 *     more has no line.
 *
 * The time is that of the timer's ticks: of a single task it says little, of a thousand enough. The
 * kernel's more exact time lacks what a task did since it last had to wait. Needs root and the
 * machine's own PID namespace. Whatever fails ends it. */

#define _GNU_SOURCE
#include <linux/genetlink.h>
#include <linux/netlink.h>
#include <linux/taskstats.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static void fail(const char *what)
{
    perror(what);
    exit(1);
}

struct message {
    struct nlmsghdr head;
    struct genlmsghdr generic;
    char attributes[256];
};

/* Sends `command` of `family` with one attribute. */
static void ask(int fd, int family, int command, int type, const void *value, size_t size)
{
    struct message message = { 0 };
    struct nlattr *attribute = (struct nlattr *)message.attributes;
    if (NLA_HDRLEN + size > sizeof message.attributes) fail("attribute");
    attribute->nla_type = type;
    attribute->nla_len = NLA_HDRLEN + size;
    memcpy((char *)attribute + NLA_HDRLEN, value, size);
    message.generic.cmd = command;
    message.generic.version = 1;
    message.head.nlmsg_type = family;
    message.head.nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK;
    message.head.nlmsg_len = NLMSG_LENGTH(GENL_HDRLEN) + NLA_ALIGN(attribute->nla_len);
    if (send(fd, &message, message.head.nlmsg_len, 0) < 0) fail("send");
}

/* The attribute `type` among those in `size` bytes at `at`. */
static struct nlattr *find(char *at, int size, int type)
{
    while (size >= NLA_HDRLEN) {
        struct nlattr *attribute = (struct nlattr *)at;
        if (attribute->nla_len < NLA_HDRLEN || attribute->nla_len > size) break;
        if (attribute->nla_type == type) return attribute;
        at += NLA_ALIGN(attribute->nla_len);
        size -= NLA_ALIGN(attribute->nla_len);
    }
    return NULL;
}

static struct nlattr *find_in(struct nlmsghdr *head, int type)
{
    int size = head->nlmsg_len - NLMSG_LENGTH(GENL_HDRLEN);
    return find((char *)NLMSG_DATA(head) + GENL_HDRLEN, size, type);
}

static void print(struct nlmsghdr *head)
{
    /* That of a whole process comes besides, where it had several threads. */
    struct nlattr *one = find_in(head, TASKSTATS_TYPE_AGGR_PID);
    if (!one) return;
    struct nlattr *stats = find((char *)one + NLA_HDRLEN, one->nla_len - NLA_HDRLEN, TASKSTATS_TYPE_STATS);
    if (!stats) return;
    struct taskstats task = { 0 };
    size_t size = stats->nla_len - NLA_HDRLEN;
    memcpy(&task, (char *)stats + NLA_HDRLEN, size < sizeof task ? size : sizeof task);
    unsigned long long cpu = task.ac_utime + task.ac_stime, lived = task.ac_etime;
    printf("%u %u %llu %llu %.32s\n", task.ac_pid, task.ac_ppid, cpu, lived, task.ac_comm);
}

static char buffer[1 << 16];

/* Reads what the kernel has to say; prints what is of a task, and sets `family` if it is told.
 * Whether that was the answer to a question. */
static int hear(int fd, int *family)
{
    int answered = 0;
    ssize_t got = recv(fd, buffer, sizeof buffer, 0);
    if (got < 0) fail("recv");
    for (struct nlmsghdr *head = (struct nlmsghdr *)buffer; NLMSG_OK(head, got);
         head = NLMSG_NEXT(head, got)) {
        if (head->nlmsg_type == NLMSG_ERROR) {
            errno = -((struct nlmsgerr *)NLMSG_DATA(head))->error;
            if (errno && errno != ESRCH) fail("taskstats");
            answered = 1;
        } else if (head->nlmsg_type == GENL_ID_CTRL) {
            struct nlattr *id = find_in(head, CTRL_ATTR_FAMILY_ID);
            if (id) *family = *(unsigned short *)((char *)id + NLA_HDRLEN);
        } else {
            print(head);
        }
    }
    return answered;
}

int main(int argc, char **argv)
{
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_GENERIC), room = 256 << 20;
    struct sockaddr_nl address = { .nl_family = AF_NETLINK };
    if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof address) < 0) fail("socket");
    if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof room) < 0) fail("SO_RCVBUFFORCE");
    int family = 0;
    ask(fd, GENL_ID_CTRL, CTRL_CMD_GETFAMILY, CTRL_ATTR_FAMILY_NAME, TASKSTATS_GENL_NAME,
        sizeof TASKSTATS_GENL_NAME);
    while (!hear(fd, &family)) {}
    if (argc > 1 && !strcmp(argv[1], "of")) {
        for (unsigned pid; scanf("%u", &pid) == 1;) {
            ask(fd, family, TASKSTATS_CMD_GET, TASKSTATS_CMD_ATTR_PID, &pid, sizeof pid);
            while (!hear(fd, &family)) {}
        }
        return 0;
    }
    char cpus[200] = "";
    FILE *possible = fopen("/sys/devices/system/cpu/possible", "r");
    if (!possible || !fgets(cpus, sizeof cpus, possible)) fail("cpus");
    cpus[strcspn(cpus, "\n")] = 0;
    ask(fd, family, TASKSTATS_CMD_GET, TASKSTATS_CMD_ATTR_REGISTER_CPUMASK, cpus, strlen(cpus) + 1);
    while (!hear(fd, &family)) {}
    puts("ready");
    for (;;) {
        fflush(stdout);
        hear(fd, &family);
    }
}
