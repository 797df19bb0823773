"""Runs a pod's container as a process whose file system has the pod's mounts.

No image is used: the process sees this machine's files, and on top of them the mounts, `/run` and
KFP's empty folders. It takes Linux's mount namespaces (`unshare`), as root or as any user that may
have a user namespace.
"""

import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

# A root of its own: every top-level entry of this machine but `/run`, then the mounts.
_ENTER = """
root=$1; shift
mount -t tmpfs tmpfs "$root"
for entry in /* /.[!.]*; do
    name=${entry#/}
    if [ -L "$entry" ]; then cp -P "$entry" "$root/$name"
    elif [ "$name" = run ]; then mkdir "$root/run"
    elif [ -d "$entry" ]; then mkdir "$root/$name" && mount --rbind "$entry" "$root/$name"
    fi
done
while [ "$1" != -- ]; do
    [ -f "$1" ] || mkdir -p "$root$2"
    mount --bind "$1" "$root$2"
    shift 2
done
shift
cd "$root" && exec chroot . sh -c 'cd "$0" && exec "$@"' "$@"
"""


def run(
    command: Sequence[str],
    *,
    mounts: Mapping[str, Path],
    environment: Mapping[str, str],
    folder: str,
    scratch: Path,
    log: Path,
) -> int:
    """Runs a command and waits for its end.

    Args:
        command: with its arguments.
        mounts: folder as the process sees it -> folder of this machine; or a file that it has -> a
            file in its place.
        environment: all of it.
        folder: the working directory, as the process sees it.
        scratch: an empty folder, for the process's root.
        log: what it prints, appended.

    Returns:
        Its exit status.
    """
    return start(
        command, mounts=mounts, environment=environment, folder=folder, scratch=scratch, log=log
    ).wait()  # fmt: skip


def start(
    command: Sequence[str],
    *,
    mounts: Mapping[str, Path],
    environment: Mapping[str, str],
    folder: str,
    scratch: Path,
    log: Path,
    is_alone: bool = False,
    group: Path | None = None,
) -> subprocess.Popen[bytes]:
    """Starts a command; as `run`, and further:

    Args:
        is_alone: it has a PID namespace, whose processes end with the one that is returned.
        group: a control group's `cgroup.procs`, to which it belongs from its first moment.
    """
    unshare = ["unshare", "--mount", "--propagation", "private"]
    if os.geteuid():
        unshare += ["--map-root-user"]
    if is_alone:
        unshare += ["--pid", "--fork", "--kill-child"]
    if group:
        unshare = ["sh", "-ec", 'echo $$ > "$0"; exec "$@"', str(group), *unshare]
    binds = [str(part) for target, source in mounts.items() for part in (source, target)]
    scratch.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        return subprocess.Popen(
            [*unshare, "sh", "-ec", _ENTER, "enter", str(scratch), *binds, "--", folder, *command],
            stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=dict(environment),
        )  # fmt: skip


def can_run(scratch: Path) -> bool:
    """Whether this machine lets us have such processes."""
    environment = {"PATH": os.environ.get("PATH", "/usr/bin:/bin")}
    status = run(
        ["true"], mounts={}, environment=environment, folder="/", scratch=scratch / "root",
        log=scratch / "log",
    )  # fmt: skip
    return status == 0
