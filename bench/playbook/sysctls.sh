#!/bin/sh
# sysctls.sh KEY=VALUE…: sets the kernel parameters that differ, and prints them.
set -eu
for pair; do
  key=${pair%%=*} value=${pair#*=}
  # shellcheck disable=SC2046 # words, to normalise white space
  present=$(echo $(sysctl -n "$key"))
  if [ "$present" != "$value" ]; then
    sysctl -w "$key=$value"
  fi
done
