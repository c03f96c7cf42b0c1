"""A sweep in {{parts}} parts, each a task of Ray with {{threads}} CPUs and {{gpus}} GPUs, and one result of them.

Run it, by another name than ray.py, in a folder that all nodes see: `RAY_ADDRESS=auto python THIS_FILE`. Run once more, every part goes on
where it stands. The nodes must be of one kind: a part that goes on elsewhere has the same bits on the same processor or GPU only.
"""

import os
import subprocess
import sys

import ray

PARTS = {{parts}}
LORALAB = {{program_text}}
SWEEP = {{words}}
OUTPUT = {{output}}


class TryAgain(Exception):
    """The machine failed, or the part was preempted with its state saved."""


# Ray starts a part again that is to be tried again, and one whose worker or node is lost. If a worker alone is lost, the part waits until what
# that worker began has ended, unless Ray ends it: https://docs.ray.io/en/latest/ray-core/user-spawn-processes.html
@ray.remote(num_cpus={{threads}}, num_gpus={{gpus}}, max_retries=20, retry_exceptions=[TryAgain])
def train(part, folder):
    code = subprocess.run([LORALAB, *SWEEP, f"--shard={part}/{PARTS}"], cwd=folder).returncode
    if code in (75, 143, -15):  # failed by the machine, stopped by SIGTERM, stopped before the training began
        raise TryAgain(f"part {part} ended with exit code {code}")
    return code


def is_done(part, task):
    try:
        code = ray.get(task)
    except ray.exceptions.RayError as error:
        code = error
    if code != 0:
        print(f"part {part} failed: {code}", file=sys.stderr)
    return code == 0


ray.init()
tasks = [train.remote(part, os.getcwd()) for part in range(1, PARTS + 1)]
if not all([is_done(part, task) for part, task in enumerate(tasks, 1)]):
    sys.exit(1)
folders = [f"{OUTPUT}/shard-{part}-of-{PARTS}" for part in range(1, PARTS + 1)]
sys.exit(subprocess.run([LORALAB, "collect", *folders, "--output", f"{OUTPUT}/whole", "--overwrite"]).returncode)
