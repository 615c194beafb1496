"""A throw-away Slurm cluster on this machine: a controller and two nodes with 8 pretended GPUs each.

Every node lives in namespaces of its own (host name, mounts, processes), so that Slurm and what it starts see two
machines, and so that a node that is stopped takes every process on it along.
"""

from __future__ import annotations

import os
import re
import shutil
import socket
import stat
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

NODES = ("n1", "n2")
GPUS_PER_NODE = 8

_INSTALL = "apt-get install --no-install-recommends slurmctld slurmd slurm-client munge"
_PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "scontrol", "scancel", "sinfo", "unshare")
_NAMESPACES = ("unshare", "--uts", "--mount", "--pid", "--mount-proc", "--fork", "--kill-child")
_NULL_DEVICE = os.makedev(1, 3)
_PATIENCE_S = 60
_POLL_S = 0.2
_UNFINISHED = {"PENDING", "CONFIGURING", "RUNNING", "COMPLETING"}

_SLURM_CONF = """\
ClusterName=throwaway
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller_port}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
# A job that is queued again waits as long as the credentials of its last start are valid, two minutes if not told.
AuthInfo=socket={folder}/munge.socket,cred_expire=10
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/%n/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/%n/slurmd.pid
# Lightning meets at port 15000 + the job's number, so clusters side by side need other numbers.
FirstJobId={first_job_id}
# The nodes may have more cores and memory than the machine.
SlurmdParameters=config_overrides
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerParameters=batch_sched_delay=0,sched_interval=2,bf_interval=2
MpiDefault=none
SwitchType=switch/none
ReturnToService=2
KillWait=5
SlurmdTimeout={node_timeout_s}
GresTypes=gpu
{nodes}
# Jobs of `main` take the nodes of those of `spare`, which are asked to stop and queued again.
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
PartitionName=main Nodes={node_names} Default=YES MaxTime=INFINITE State=UP PriorityTier=2
PartitionName=spare Nodes={node_names} MaxTime=INFINITE State=UP PriorityTier=1 GraceTime=60
"""
_NODE_CONF = (
    "NodeName={name} NodeHostname={name} NodeAddr=127.0.0.1 Port={port} CPUs=64 RealMemory=64000 Gres=gpu:{gpus}"
)


@dataclass(frozen=True)
class FinishedJob:
    """Slurm's last word on a job, and what the job wrote."""

    state: str
    exit_code: int
    log: str


@dataclass(frozen=True)
class Cluster:
    """A running cluster; ``environment`` leads Slurm's commands to it."""

    folder: Path
    environment: Mapping[str, str]
    nodes: dict[str, subprocess.Popen[bytes]]

    def boot(self, node: str) -> None:
        """Switch a node on."""
        command = f"hostname {node} && mount --bind {self.folder}/hosts /etc/hosts && slurmd -D -N {node}"
        self.nodes[node] = _started([*_NAMESPACES, "sh", "-c", command], self.folder / f"{node}.log", self.environment)

    def cut_power(self, node: str) -> None:
        """End a node with all that runs on it, and without a word to the controller."""
        # unshare ignores SIGTERM; when it is killed, the kernel ends all that lives in its namespace.
        self.nodes[node].kill()
        self.nodes.pop(node).wait()

    def wait_for_delivery(self, timeout_s: float) -> None:
        """Wait until the controller has no message left that a node did not answer."""
        deadline = time.monotonic() + timeout_s
        while not re.search(r"Agent queue size:\s*0\b", said := self.call("sdiag")):
            assert time.monotonic() < deadline, f"not all delivered after {timeout_s} s:\n{said}"
            time.sleep(_POLL_S)

    def call(self, *command: str | Path, cwd: Path | None = None) -> str:
        """Run one of Slurm's commands; return what it prints."""
        argv = [str(word) for word in command]
        done = subprocess.run(
            argv, capture_output=True, text=True, timeout=_PATIENCE_S, cwd=cwd, env=dict(self.environment), check=False
        )
        assert done.returncode == 0, f"{' '.join(argv)}: {done.stderr}"
        return done.stdout

    def submit(self, script: Path | str, *arguments: object, options: Sequence[object] = (), cwd: Path) -> str:
        """Run ``sbatch options script arguments`` in ``cwd``; return the job's number."""
        answer = self.call("sbatch", "--parsable", *map(str, options), script, *map(str, arguments), cwd=cwd)
        return answer.strip()

    def properties(self, kind: str, number: str) -> dict[str, str]:
        """Read what Slurm knows of a ``job`` or a ``step``."""
        shown = self.call("scontrol", "--oneliner", "show", kind, number)
        return dict(re.findall(r"(\S+?)=(\S*)", shown))

    def wait(self, job: str, timeout_s: float) -> FinishedJob:
        """Wait for a job's end; a job that takes longer is cancelled and its log raised."""
        found = self._wait_until(lambda state: state not in _UNFINISHED, job, timeout_s)
        return FinishedJob(found["JobState"], int(found["ExitCode"].split(":")[0]), Path(found["StdOut"]).read_text())

    def wait_for_state(self, job: str, state: str, timeout_s: float) -> None:
        """Wait until a job is, for example, PENDING again."""
        self._wait_until(lambda current: current == state, job, timeout_s)

    def _wait_until(self, reached: Callable[[str], bool], job: str, timeout_s: float) -> dict[str, str]:
        deadline = time.monotonic() + timeout_s
        while not reached((found := self.properties("job", job))["JobState"]):
            if time.monotonic() > deadline:
                self.call("scancel", job)
                log = Path(found["StdOut"])
                raise TimeoutError(
                    f"job {job} is {found['JobState']} ({found['Reason']}) after {timeout_s} s. Its log:\n"
                    f"{log.read_text() if log.exists() else ''}"
                )
            time.sleep(_POLL_S)
        return found


def missing_requirement() -> str | None:
    """Say what a cluster lacks on this machine and where to get it; None where it lacks nothing."""
    if absent := [program for program in _PROGRAMS if shutil.which(program) is None]:
        return f"{', '.join(absent)} not found: {_INSTALL}"
    if os.geteuid() != 0:
        return "two Slurm nodes on one machine take root: run the tests as root"
    probe = subprocess.run([*_NAMESPACES, "true"], capture_output=True, text=True, timeout=_PATIENCE_S, check=False)
    if probe.returncode != 0:
        return f"a Slurm node takes namespaces of its own, not allowed here ({probe.stderr.strip()})"
    return None


@contextmanager
def running_cluster(folder: Path, node_timeout_s: int = 300) -> Iterator[Cluster]:
    """Run a cluster whose files all lie in ``folder``; stop all its processes at the end.

    A node that does not answer for ``node_timeout_s`` is down, and its jobs have failed.
    """
    _write_configuration(folder, node_timeout_s)
    cluster = Cluster(folder, {**os.environ, "SLURM_CONF": str(folder / "slurm.conf")}, {})
    with ExitStack() as daemons:

        def start(name: str, *command: str | Path) -> None:
            process = _started(command, folder / f"{name}.log", cluster.environment)
            daemons.callback(process.wait)
            daemons.callback(process.kill)

        # --force: munged wants a socket folder that all users may enter, which a test's folder is not.
        files = {"key": "key-file", "socket": "socket", "pid": "pid-file", "seed": "seed-file", "munged": "log-file"}
        options = [f"--{option}={folder}/munge.{suffix}" for suffix, option in files.items()]
        start("munged", "munged", "--foreground", "--force", *options)
        _wait_for(lambda: (folder / "munge.socket").exists(), "munged", folder)
        start("slurmctld", "slurmctld", "-D")
        for node in NODES:
            cluster.boot(node)
            daemons.callback(lambda node=node: node in cluster.nodes and cluster.cut_power(node))
        _wait_for(lambda: _num_idle_nodes(cluster) == len(NODES), "Slurm", folder)
        yield cluster


def _write_configuration(folder: Path, node_timeout_s: int) -> None:
    with ExitStack() as held:
        ports = [_free_port(held) for _ in range(1 + len(NODES))]
    nodes = [
        _NODE_CONF.format(name=name, port=port, gpus=GPUS_PER_NODE) for name, port in zip(NODES, ports[1:], strict=True)
    ]
    settings = {
        "host": socket.gethostname(),
        "controller_port": ports[0],
        "folder": folder,
        "first_job_id": 1 + os.getpid() % 9000,
        "nodes": "\n".join(nodes),
        "node_names": ",".join(NODES),
        "node_timeout_s": node_timeout_s,
    }
    (folder / "slurm.conf").write_text(_SLURM_CONF.format(**settings))
    (folder / "cgroup.conf").write_text("CgroupAutomount=no\n")
    (folder / "state").mkdir()
    gres = []
    for name in NODES:
        (folder / name / "spool").mkdir(parents=True)
        # Slurm counts device files that can be opened; plain files do not make CUDA_VISIBLE_DEVICES.
        for gpu in range(GPUS_PER_NODE):
            os.mknod(folder / name / f"gpu{gpu}", stat.S_IFCHR | 0o666, _NULL_DEVICE)
        gres.append(f"NodeName={name} Name=gpu File={folder}/{name}/gpu[0-{GPUS_PER_NODE - 1}]\n")
    (folder / "gres.conf").write_text("".join(gres))
    (folder / "hosts").write_text(f"127.0.0.1 localhost {socket.gethostname()} {' '.join(NODES)}\n")
    (folder / "munge.key").touch(0o600)
    (folder / "munge.key").write_bytes(os.urandom(128))


def _started(command: Sequence[str | Path], log: Path, environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
    with log.open("ab") as output:
        # A session of its own, so that Ctrl-C stops the test, which then stops the daemons in order.
        return subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=environment, start_new_session=True
        )


def _wait_for(ready: Callable[[], bool], what: str, folder: Path) -> None:
    deadline = time.monotonic() + _PATIENCE_S
    while not ready():
        if time.monotonic() > deadline:
            logs = "\n".join(f"{log.name}:\n{log.read_text()}" for log in sorted(folder.glob("*.log")))
            raise TimeoutError(f"{what} did not start within {_PATIENCE_S} s.\n{logs}")
        time.sleep(_POLL_S)


def _num_idle_nodes(cluster: Cluster) -> int:
    command = ["sinfo", "--noheader", "--states=idle", "--Node", "--format=%N"]
    environment = dict(cluster.environment)
    done = subprocess.run(command, capture_output=True, text=True, timeout=_PATIENCE_S, env=environment, check=False)
    return len(set(done.stdout.split()))  # nothing as long as no controller answers


def _free_port(held: ExitStack) -> int:
    probe = held.enter_context(socket.socket())
    probe.bind(("127.0.0.1", 0))
    port: int = probe.getsockname()[1]
    return port
