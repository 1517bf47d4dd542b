"""A Slurm cluster on this machine: its own munge, a controller without accounting, two nodes of one core.

python tests/support/slurm_cluster.py COMMAND... runs a command on one.
"""

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

PROGRAMS = ("slurmctld", "slurmd", "munged", "sbatch", "srun")
MISSING = [name for name in PROGRAMS if shutil.which(name) is None]
WHY_NOT = (
    f"needs {', '.join(MISSING)} (Debian: slurm-wlm, munge)"
    if MISSING
    else "needs root"
    if os.getuid()
    else ""
)
"""Why there can be no cluster here; empty if there can."""
NODES = ("n1", "n2")
BROKEN_UNET = """
whole_cell = train
def train(cell, *arguments):
    from context_fbr.core.errors import UserError
    if cell.model == "unet":
        raise UserError("broken by a test")
    whole_cell(cell, *arguments)
"""
"""Code at the end of training/cell.py, with which cells of unet fail."""
SITE = "time_minutes: 10\nmemory_gb: 1.5\ngpus: 0\nsave_seconds: 20\n"
"""slurm.yaml for it."""
# A job that is queued again waits until its credentials have expired: two minutes, if no one says otherwise.
CONFIGURATION = """\
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
SlurmdUser=root
SlurmctldPort={port}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.sock,cred_expire=5
CredType=cred/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
MpiDefault=none
SwitchType=switch/none
ReturnToService=2
SlurmdParameters=config_overrides
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerParameters=batch_sched_delay=0,bf_interval=2,sched_min_interval=100000
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
KillWait=5
MessageTimeout=5
MinJobAge=30
SlurmdTimeout=10
InactiveLimit=0
{nodes}
PartitionName=main Nodes=n[1-2] Default=YES MaxTime=INFINITE State=UP PriorityTier=1 GraceTime=10
PartitionName=urgent Nodes=n[1-2] MaxTime=INFINITE State=UP PriorityTier=10 PreemptMode=OFF
"""


@dataclass(frozen=True)
class Cluster:
    """Daemons that can be stopped, killed and started again."""

    folder: Path

    @property
    def environment(self) -> dict[str, str]:
        """For Slurm's programs."""
        return {**os.environ, "SLURM_CONF": str(self.folder / "slurm.conf")}

    def ask(self, *command: str) -> str:
        """What a program of Slurm's prints."""
        return subprocess.run(
            command, env=self.environment, capture_output=True, text=True, check=True, timeout=60
        ).stdout

    def start_controller(self) -> None:
        """Start it and wait until it answers."""
        subprocess.run(["slurmctld"], env=self.environment, check=True)
        wait_for(lambda: "UP" in self.ask("scontrol", "ping"), 20)

    def stop_controller(self) -> None:
        """Stop it; its state is kept on disk."""
        self._end("slurmctld", signal.SIGTERM)

    def start_node(self, name: str) -> None:
        """Start a node and wait until jobs can run there."""
        subprocess.run(["slurmd", "-N", name], env=self.environment, check=True)
        wait_for(lambda: self.state_of(name).startswith(("idle", "mix", "alloc")), 30)

    def kill_node(self, name: str) -> None:
        """A power cut: its daemon and everything that it runs are gone at once, without a word."""
        running = [process for process in psutil.process_iter() if self._runs_on(process, name)]
        keepers = {p for process in running for p in process.parents() if "slurmstepd" in p.name()}
        self._end(name, signal.SIGKILL)
        # All of them stand still first: one that saw another one end would tell the controller.
        for act in (psutil.Process.suspend, psutil.Process.kill):
            for process in [*keepers, *running]:
                with suppress(psutil.NoSuchProcess):
                    act(process)
        psutil.wait_procs([*keepers, *running], timeout=10)

    def state_of(self, name: str) -> str:
        """Of a node."""
        return self.ask("sinfo", "-h", "-N", "-n", name, "-p", "main", "-o", "%t").strip()

    def restore(self) -> None:
        """Whatever a test left: no job, and nodes on which jobs can run."""
        with suppress(subprocess.SubprocessError):
            self.ask("scancel", "--user=root")
            for name in NODES:
                if not self._lives(name):
                    subprocess.run(["slurmd", "-N", name], env=self.environment, check=True)
                if self.state_of(name).startswith("dr"):  # drained, or draining while a job still runs there
                    self.ask("scontrol", "update", f"nodename={name}", "state=resume")
        wait_for(lambda: all(self.state_of(name) == "idle" for name in NODES), 60)

    def stop(self) -> None:
        """End everything."""
        with suppress(subprocess.SubprocessError):
            self.ask("scancel", "--user=root")
        for name in (*NODES, "slurmctld", "munged"):
            self._end(name, signal.SIGTERM)

    def _runs_on(self, process: psutil.Process, name: str) -> bool:
        """Whether it belongs to a job on a node of this cluster."""
        try:
            environment = process.environ()
        except psutil.Error:
            return False
        ours = environment.get("SLURM_CONF") == str(self.folder / "slurm.conf")
        return ours and environment.get("SLURMD_NODENAME") == name

    def _lives(self, name: str) -> bool:
        try:
            process = psutil.Process(int((self.folder / f"{name}.pid").read_text()))
            return process.status() != psutil.STATUS_ZOMBIE
        except (OSError, ValueError, psutil.NoSuchProcess):
            return False

    def _end(self, name: str, number: signal.Signals) -> None:
        file = self.folder / f"{name}.pid"
        with suppress(OSError, ValueError, psutil.NoSuchProcess):
            process = psutil.Process(int(file.read_text()))
            process.send_signal(number)
            with suppress(psutil.TimeoutExpired):
                process.wait(10)
                return
            process.kill()
            process.wait(10)


@contextmanager
def cluster(folder: Path) -> Iterator[Cluster]:
    """A cluster while the block runs; its files lie in `folder`, whose path must be short (sockets)."""
    folder.mkdir(parents=True)
    folder.chmod(0o755)
    (folder / "state").mkdir()
    ports = _free_ports(1 + len(NODES))
    host = socket.gethostname().partition(".")[0]
    nodes = "\n".join(
        f"NodeName={name} NodeHostname={host} NodeAddr=127.0.0.1 Port={port} CPUs=1 RealMemory=4000"
        for name, port in zip(NODES, ports[1:], strict=True)
    )
    text = CONFIGURATION.format(host=host, port=ports[0], folder=folder, nodes=nodes)
    (folder / "slurm.conf").write_text(text)
    key = folder / "munge.key"
    key.write_bytes(os.urandom(128))
    key.chmod(0o400)
    own = Cluster(folder)
    try:
        subprocess.run(
            [
                "munged", "--force", f"--key-file={key}", f"--socket={folder}/munge.sock",
                f"--pid-file={folder}/munged.pid", f"--log-file={folder}/munged.log",
                f"--seed-file={folder}/munge.seed",
            ],
            check=True,
        )  # fmt: skip
        own.start_controller()
        for name in NODES:
            own.start_node(name)
        yield own
    finally:
        own.stop()


def wait_for(condition: Callable[[], object], seconds: float) -> None:
    """Wait until a condition holds; an error of a program counts as no."""
    deadline = time.monotonic() + seconds
    while True:
        with suppress(subprocess.SubprocessError, OSError):
            if condition():
                return
        assert time.monotonic() < deadline, f"not within {seconds} s"
        time.sleep(0.2)


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def main(command: list[str]) -> int:
    """Run a command on a cluster of its own; its exit status."""
    if WHY_NOT or not command:
        print(WHY_NOT or __doc__)
        return 2
    folder = Path(tempfile.mkdtemp(prefix="fbr-slurm-"))
    try:
        with cluster(folder / "c") as own:
            return subprocess.run(command, env=own.environment, check=False).returncode
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
