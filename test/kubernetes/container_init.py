#!/usr/bin/python3
"""Makes a container of itself and becomes its command; container.py starts it. Reads one JSON object from the file it is given:

    network      the path of a network namespace            root      a folder, the container's alone
    mounts       [{"source", "target", "read_only"}]        read_only of the root itself
    argv, environment, working_directory                            host      its name
    uid, gid, groups, capabilities (names of those it has), no_new_privileges, seccomp: whether the runtime's own profile
    memory_group the path of a control group to be in; or not there
    report       where to write the process id of the command, as this side sees it, when it has begun

The command is process 1 of its namespace, as in any container: what it does not handle of SIGTERM it does not get. It ends with this
process, and this process with its parent; the exit code is the command's, or 128 and the signal's number.
"""

import ctypes
import json
import os
import signal
import socket
import stat
import sys

# Python was told to look nowhere but in its own folders.
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import seccomp

NEWNS, NEWUTS, NEWIPC, NEWPID, NEWNET = 0x20000, 0x4000000, 0x8000000, 0x20000000, 0x40000000
MS_RDONLY, MS_NOSUID, MS_NODEV, MS_REMOUNT, MS_BIND, MS_REC, MS_PRIVATE = 1, 2, 4, 32, 4096, 16384, 1 << 18
MNT_DETACH = 2
PR_SET_PDEATHSIG, PR_CAPBSET_DROP, PR_SET_NO_NEW_PRIVS = 1, 24, 38
# By number, as linux/capability.h has them.
CAPABILITIES = """CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE NET_BIND_SERVICE NET_BROADCAST
NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO SYS_CHROOT SYS_PTRACE SYS_PACCT SYS_ADMIN SYS_BOOT SYS_NICE SYS_RESOURCE
SYS_TIME SYS_TTY_CONFIG MKNOD LEASE AUDIT_WRITE AUDIT_CONTROL SETFCAP MAC_OVERRIDE MAC_ADMIN SYSLOG WAKE_ALARM BLOCK_SUSPEND AUDIT_READ
PERFMON BPF CHECKPOINT_RESTORE""".split()
DEVICES = ("null", "zero", "full", "random", "urandom")

_libc = ctypes.CDLL(None, use_errno=True)


def call(name, *arguments):
    if getattr(_libc, name)(*arguments) != 0:
        error = ctypes.get_errno()
        raise OSError(error, f"{name}{arguments}: {os.strerror(error)}")


def mount(source, target, kind=None, flags=0, data=None):
    call("mount", *[text and str(text).encode() for text in (source, target, kind)], ctypes.c_ulong(flags), data and data.encode())


def inside(root, target, directory):
    """Where a mount goes, made if it is not there; a container's root may have no way out of it."""
    path = os.path.join(root, target.lstrip("/"))
    if not os.path.realpath(path).startswith(root + "/"):
        raise ValueError(f"{target} leads out of the container")
    if not os.path.lexists(path):
        os.makedirs(path if directory else os.path.dirname(path), exist_ok=True)
        if not directory:
            os.close(os.open(path, os.O_WRONLY | os.O_CREAT, 0o644))
    return path


def bind(source, path, read_only):
    mount(source, path, flags=MS_BIND | MS_REC)
    if read_only:
        mount(None, path, flags=MS_BIND | MS_REMOUNT | MS_RDONLY | MS_NOSUID | MS_NODEV)


def make_root(wanted):
    root = wanted["root"]
    # Here and not before: the process that waits keeps the root that it has.
    call("unshare", NEWNS)
    mount(None, "/", flags=MS_REC | MS_PRIVATE)
    mount(root, root, flags=MS_BIND | MS_REC)
    mount("proc", inside(root, "/proc", True), "proc")
    mount("tmpfs", inside(root, "/dev", True), "tmpfs", MS_NOSUID, "mode=755,size=64k")
    for name in DEVICES:
        bind(f"/dev/{name}", inside(root, f"/dev/{name}", False), False)
    for each in sorted(wanted["mounts"], key=lambda each: each["target"]):
        bind(each["source"], inside(root, each["target"], os.path.isdir(each["source"])), each["read_only"])
    if wanted["read_only"]:
        mount(None, root, flags=MS_BIND | MS_REMOUNT | MS_RDONLY)
    os.chdir(root)
    call("pivot_root", b".", b".")
    call("umount2", b".", MNT_DETACH)
    os.chdir(wanted["working_directory"])


def give_up_privileges(wanted):
    for number, name in enumerate(CAPABILITIES):
        if name not in wanted["capabilities"]:
            call("prctl", PR_CAPBSET_DROP, number, 0, 0, 0)
    os.setgroups(wanted["groups"])
    os.setresgid(*[wanted["gid"]] * 3)
    os.setresuid(*[wanted["uid"]] * 3)
    if wanted["no_new_privileges"]:
        call("prctl", PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)


def become(wanted):
    """Only returns by an exception."""
    if "memory_group" in wanted:
        with open(os.path.join(wanted["memory_group"], "cgroup.procs"), "w", encoding="ascii") as out:
            out.write("0")  # Whoever writes it.
    socket.sethostname(wanted["host"])
    profile = seccomp.Filter(wanted["capabilities"], os.uname().machine) if wanted["seccomp"] else None
    make_root(wanted)
    give_up_privileges(wanted)
    # After the change of user, which takes it away.
    call("prctl", PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    os.umask(0o022)
    if profile:
        profile.load()
    argv, environment = wanted["argv"], wanted["environment"]
    # Not by os.execvpe: it imports what is not here any more.
    folders = [""] if "/" in argv[0] else [folder + "/" for folder in environment.get("PATH", "").split(":")]
    for folder in folders:
        try:
            os.execve(folder + argv[0], argv, environment)
        except FileNotFoundError:
            pass
    raise FileNotFoundError(f"{argv[0]} is not in the container")


def main():
    call("prctl", PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    # Whatever whoever starts it has held back or ignores.
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)
    with open(sys.argv[1], encoding="utf-8") as text:
        wanted = json.load(text)
    network = os.open(wanted["network"], os.O_RDONLY | os.O_CLOEXEC)
    call("setns", network, NEWNET)
    call("unshare", NEWUTS | NEWIPC | NEWPID)
    ended, begun = os.pipe()
    command = os.fork()
    if command == 0:
        try:
            become(wanted)
        except BaseException as error:  # pylint: disable=broad-except
            print(f"container_init: error: {error}", file=sys.stderr, flush=True)
            os._exit(127)
    # The command has begun when the pipe is closed by its start: whoever looks into the container now sees its root.
    os.close(begun)
    os.read(ended, 1)
    with open(wanted["report"] + ".new", "w", encoding="ascii") as out:
        out.write(str(command))
    os.rename(wanted["report"] + ".new", wanted["report"])
    _, status = os.waitpid(command, 0)
    code = os.waitstatus_to_exitcode(status)
    sys.exit(code if code >= 0 else 128 - code)


if __name__ == "__main__":
    assert stat.S_ISREG(os.stat(sys.argv[1]).st_mode)
    main()
