#!/bin/bash
# A sweep in {{parts}} parts, which are the tasks of an array, and a job that makes one result of them:
#
#     bash THIS_FILE [options of sbatch: --account=… --partition=… --time=… --mem=… --constraint=…]
#
# Every node must see this folder and the program by these names, and be of one kind: a part that goes on elsewhere has the same bits on
# the same processor or GPU only. Submitted once more, every part goes on where it stands.
#SBATCH --job-name=loralab
#SBATCH --requeue
#SBATCH --open-mode=append
loralab={{program}}

case ${1-} in
collect)
  exec "$loralab" {{collect}}
  ;;
part) ;;
*)
  resources=(
    --ntasks=1
    --cpus-per-task={{threads}}
{{gpu}}    --gpus-per-task=1
    # SIGTERM two minutes before the time limit: the part saves its state, and is queued again.
    --signal=B:TERM@120
  )
  array=$(sbatch --parsable --array=1-{{parts}} --output=%x-%A_%a.log "${resources[@]}" "$@" "$0" part) || exit
  array=${array%%;*}
  collector=$(sbatch --parsable --dependency="afterok:$array" --kill-on-invalid-dep=yes --output=%x-%j.log "$@" "$0" collect) || exit
  echo "Job $array trains {{parts}} parts; when all are done, job ${collector%%;*} makes one result of them."
  exit
  ;;
esac

# Slurm signals this script alone before the time limit, and all its processes when it ends the job; two SIGTERM at once are one to loralab.
trap 'kill -TERM "$child" 2>/dev/null' TERM
"$loralab" {{shell}} --shard=auto/{{parts}} &
child=$!
# A signal ends `wait`, too.
while wait "$child"; code=$?; kill -0 "$child" 2>/dev/null; do :; done

again() {
  local task=${SLURM_ARRAY_JOB_ID}_$SLURM_ARRAY_TASK_ID
  # Slurm itself queues a task again that it has preempted; one that was cancelled is to stay so. Both are no longer running.
  [ "$(squeue --noheader --jobs="$task" --format=%T)" = RUNNING ] || return
  echo "Exit code $code, start ${SLURM_RESTART_COUNT:-0}: queued again."
  scontrol requeue "$task"
}
case $code in
143) again ;;                                                # preempted, with the state saved
75) [ "${SLURM_RESTART_COUNT:-0}" -lt 10 ] && again ;;       # failed by the machine: a lost GPU, a full disk
esac
exit "$code"
