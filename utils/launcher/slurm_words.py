"""What Slurm says, in the words of this toolkit's users, with the cure."""

from __future__ import annotations

from launcher.job import JobArray

# Beginnings of what sbatch says when it refuses, and what to do. The first that is found is taken.
REFUSALS = (
    ("Job violates accounting/QOS policy", "the cluster allows you fewer or smaller jobs than this: fewer jobs (--nj, "
                                           "--inference_nj), or wait until others of yours have ended; asked for: "
                                           "{wants}"),
    ("invalid partition", "there is no such partition: `sinfo -s` lists them; it is named in {conf}"),
    ("Invalid account", "this account or partition is not yours: `sacctmgr show assoc user=$USER` lists what is; "
                        "see --account in {conf}"),
    ("Invalid qos", "there is no such QOS for you: see --qos in {conf}"),
    ("Invalid generic resource", "the cluster has no such GPUs: `sinfo -o '%P %G'` lists them; see `option gpu` in "
                                 "{conf}"),
    ("Requested node configuration is not available", "no node has {wants}: `sinfo -o '%P %N %c %m %G'` lists CPUs, "
                                                      "memory (MB) and GPUs of the partitions; ask for less in cmd.sh "
                                                      "(--gpu: --ngpu of slm.sh) or name another partition in {conf}"),
    ("Node count specification invalid", "the partition has not so many nodes ({wants}): `sinfo -s` lists them"),
    ("Memory specification can not be satisfied", "no node has {wants}: give a smaller --mem in cmd.sh"),
    ("CPU count", "no node has {wants}: give a smaller --num_threads"),
    ("More processors requested", "no node has {wants}: give a smaller --num_threads"),
    ("time limit", "the partition does not allow {wants}: `sinfo -o '%P %l'` lists the limits; give a shorter --time "
                   "in cmd.sh (what is stopped in time goes on where it stopped)"),
    ("Invalid job array", "the cluster takes no job arrays of this kind: `scontrol show config | grep MaxArraySize`"),
    ("Job dependency problem", "the --dependency in {conf} or cmd.sh names a job that is not there"),
    ("nrecognized option", "this sbatch does not know a flag: correct {conf}"),
    ("Unable to contact slurm controller", "the cluster's controller does not answer: `sinfo` says whether it is back"),
    ("Could not establish a configuration source", "this machine belongs to no Slurm cluster: run on a login node, or "
                                                   "set cmd_backend=local in cmd.sh"),
)  # fmt: skip

# What sbatch says when the same may succeed a little later.
TRANSIENT = ("Unable to contact slurm controller", "Socket timed out", "temporarily unable", "Connection refused",
             "Zero Bytes were transmitted", "Resource temporarily unavailable", "Connection reset")  # fmt: skip

# Reasons for which a waiting job would wait for ever, and what to do.
NEVER = {
    "DependencyNeverSatisfied": "the job that it was to wait for has failed: make that one run, or take --dependency "
                                "out of {conf} and cmd.sh",
    "PartitionTimeLimit": "the partition does not allow {wants}: `sinfo -o '%P %l'` lists the limits; give a shorter "
                          "--time in cmd.sh",
    "PartitionNodeLimit": "the partition does not allow {wants}: `scontrol show partition` lists the limits",
    "BadConstraints": "no node has all that is asked for ({wants}, and the flags in {conf})",
    "AccountNotAllowed": "the partition is not open to your account: see --account and --partition in {conf}",
    "InvalidAccount": "the account does not exist: see --account in {conf}",
    "InvalidQOS": "the QOS does not exist: see --qos in {conf}",
    "QOSNotAllowed": "the QOS may not use this partition: see --qos and --partition in {conf}",
}  # fmt: skip

# Final states that the job itself had no say in, and what to do.
ENDED = {
    "TIMEOUT": "ran longer than --time allows ({time}) and was ended: give more --time in cmd.sh, or more jobs (--nj, "
               "--inference_nj); run again, it goes on where it stopped",
    "OUT_OF_MEMORY": "needed more memory than it had ({mem}) and was ended: give more --mem in cmd.sh",
    "NODE_FAIL": "its node failed, again and again: `sinfo -R` says which; exclude it in {conf} (command sbatch "
                 "--exclude=NODE)",
    "BOOT_FAIL": "its node could not be started: `sinfo -R` says why",
    "PREEMPTED": "had to make room for others' jobs, again and again: another partition or QOS ({conf})",
    "CANCELLED": "was cancelled by somebody (scancel)",
    "DEADLINE": "could not end before its --deadline: see {conf}",
}  # fmt: skip


def refusal(said: str, array: JobArray, conf: object) -> str:
    """One line for what sbatch said."""
    words = " ".join(said.replace("sbatch: error: ", "").split())
    cure = next((cure for beginning, cure in REFUSALS if beginning.lower() in said.lower()), None)
    return f"Slurm refuses the jobs: {words}" + (f"; {_fill(cure, array, conf)}" if cure else "")


def is_transient(said: str) -> bool:
    """Whether the same may succeed a little later."""
    return any(words in said for words in TRANSIENT)


def never(reason: str, array: JobArray, conf: object) -> str | None:
    """Why a waiting job will never run; None when it may."""
    return f"would wait for ever ({reason}): {_fill(NEVER[reason], array, conf)}" if reason in NEVER else None


def ended(state: str, reason: str, array: JobArray, conf: object) -> str:
    """How a job ended that said nothing itself."""
    if state == "CANCELLED" and reason in NEVER:
        return f"was cancelled by Slurm: {_fill(NEVER[reason], array, conf)}"
    if state in ENDED:
        return _fill(ENDED[state], array, conf)
    return f"was ended by Slurm as {state}" + (f" ({reason})" if reason not in ("", "None") else "")


def wants(array: JobArray) -> str:
    """What each job asks for: "2 GPUs, 4 CPUs, 8.0 GB, 4:00:00"."""
    parts = [f"{array.num_nodes} nodes"] if array.num_nodes > 1 else []
    parts += [f"{array.gpu} GPU(s)"] if array.gpu else []
    parts += [f"{array.num_threads} CPU(s)"]
    parts += [f"{_memory(array)} of memory"] if array.mem is not None else []
    parts += [f"{_clock(array)} of time"] if array.time is not None else []
    return ", ".join(parts)


def _fill(text: str, array: JobArray, conf: object) -> str:
    return text.format(conf=conf, wants=wants(array), time=_clock(array), mem=_memory(array))


def _clock(array: JobArray) -> str:
    if array.time is None:
        return "the partition's limit"
    return f"{int(array.time) // 3600}:{int(array.time) // 60 % 60:02}:{int(array.time) % 60:02}"


def _memory(array: JobArray) -> str:
    return "the partition's default" if array.mem is None else f"{array.mem / 2**30:.3g} GB"
