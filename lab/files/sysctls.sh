#!/bin/sh
# Gives this host of the twin kernel parameters of its own where the kernel has one for the whole
# machine: copies on a tmpfs, bound over /proc/sys. They hold any value and change nothing outside.
set -eu
from=$(dirname "$0")
run=/run/rackform-twin/sysctl
mkdir -p "$run/fs" "$run/kernel" "$run/net-core"

# Some can't be read (vm/compact_memory): their copies are empty.
cp -r --no-preserve=mode,ownership /proc/sys/vm "$run/vm" 2>/dev/null || true
cp -r --no-preserve=mode,ownership /proc/sys/fs/inotify "$run/fs/inotify" 2>/dev/null || true
mount --bind "$run/vm" /proc/sys/vm
mount --bind "$run/fs/inotify" /proc/sys/fs/inotify

for key in fs/aio-max-nr fs/file-max fs/nr_open fs/protected_fifos fs/protected_hardlinks \
    fs/protected_regular fs/protected_symlinks fs/suid_dumpable kernel/core_pattern \
    kernel/core_uses_pid kernel/dmesg_restrict kernel/hung_task_timeout_secs kernel/kptr_restrict \
    kernel/nmi_watchdog kernel/numa_balancing kernel/panic kernel/panic_on_oops \
    kernel/perf_event_paranoid kernel/pid_max kernel/printk kernel/randomize_va_space \
    kernel/sched_autogroup_enabled kernel/sched_rt_runtime_us kernel/sysrq kernel/threads-max \
    kernel/unprivileged_bpf_disabled kernel/yama/ptrace_scope; do
  [ -e "/proc/sys/$key" ] || continue
  mkdir -p "$run/$(dirname "$key")"
  cp --no-preserve=mode,ownership "/proc/sys/$key" "$run/$key"
  mount --bind "$run/$key" "/proc/sys/$key"
done

# net/core has both kinds: what a network namespace has of its own stays the kernel's. The lab puts
# the machine's values of the others beside this script, since they aren't seen from in here.
cp "$from"/net-core/* "$run/net-core/"
for real in /proc/sys/net/core/*; do
  key=$(basename "$real")
  [ -w "$real" ] || continue
  : > "$run/net-core/$key"
  mount --bind "$real" "$run/net-core/$key"
done
mount --rbind "$run/net-core" /proc/sys/net/core
