#!/bin/sh
# Stands for the decommission script of Spark's image (spark.kubernetes.decommission.script), which the kubelet runs
# before it stops an executor: SIGPWR asks the executor to hand its blocks over, and the pod waits until it has ended.
# Of several processes it is the oldest but the first, which only starts it and has its words too; what the executor
# forks bears its name until it runs something else.
for process in /proc/[0-9]*; do
  number=${process#/proc/}
  if [ "$number" != 1 ] && [ "$number" != "$$" ] && [ "$number" -lt "${executor:-$((number + 1))}" ] &&
    tr '\0' ' ' < "$process/cmdline" 2> /dev/null | grep -q 'KubernetesExecutorBackend'; then
    executor=$number
  fi
done
[ -n "${executor:-}" ] || exit 0
kill -s PWR "$executor"
timeout 60 tail --pid="$executor" -f /dev/null
