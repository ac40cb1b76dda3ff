//! What is told besides verbs and options. [`verbs`](super::verbs) packs it.

/// What exit codes mean; then each setting with its default, below it what it says, and at the end
/// what is so for all of them.
pub(super) const TOPICS: &str = "\
Exit codes: 0 done, 1 failed or no, 3 no such gateway, 4 registered already, 99 timed out, 100 \
wrong usage or an invalid name, 102 not supervised or no s6 here, 111 a system call failed. Of \
several gateways all are tried; the first failure counts.\x0c\
HERMES_HOME (/opt/data)
    the Hermes home
S6_PROFILE_GATEWAY_SCANDIR (/run/service)
    the scandir; in the user tree it is /run/hermes-gw/service
HERMES_GW_TREE (root)
    user: the gateways have an s6-svscan of their own, which is not root's
HERMES_GW_USER (hermes)
    who the gateways run as
HERMES_GW_POLICY (auto)
    whose intents decide: auto, profiles or root
HERMES_GW_SERVICES_MAX (1000, in the user tree 4000)
    what s6-svscan can hold, loggers included
HERMES_GW_SKIP_RECONCILE (no)
    yes: reconcile leaves all as it is
HERMES_GATEWAY_NO_SUPERVISE (no)
    yes: the main program, gateway run, is default's gateway
HERMES_GW_BACKOFF_FIRST (1)
    the delay after a first death
HERMES_GW_BACKOFF_MAX (60)
    the longest delay
HERMES_GW_BACKOFF_RESET (600)
    a longer run ends a row of deaths
HERMES_GW_EARLY_EXIT (10)
    who is up for so long has lasted
HERMES_GW_PARK_DEATHS (10)
    so many deaths park; 0 for never
HERMES_GW_PARK_WINDOW (600)
    so long back they count
HERMES_GW_STAGGER (0)
    between starts at boot
HERMES_GW_SHUTDOWN_TIMEOUT (6)
    what gateways get at a container stop
HERMES_GW_WARN_MEMORY (none)
    a gateway with more in memory, 512M say, is marked, and doctor warns of it

Times are seconds. What the environment does not set is looked up in \
/run/s6/container_environment. A value that cannot be understood is named, and the default \
counts; but with HERMES_GW_TREE all fails, and with HERMES_GW_SKIP_RECONCILE nothing is done.\x0c";

/// What `install` and `uninstall` say under s6.
pub(super) const GUIDANCE: &str = "\
s6 supervises the gateways of this container; there is nothing to install or uninstall. A \
gateway's service comes and goes with its profile: hermes profile create, hermes profile \
delete. hermes-gw start and hermes-gw stop say whether it runs, also after a restart of the \
container.\x0c";
