#!/bin/sh
# Makes the namespace `default` where it isn't there. The worker registers its search attribute itself.
set -eu
left=60
until temporal operator cluster health >/dev/null 2>&1; do
  left=$((left - 1))
  [ $left -gt 0 ] || { echo "Temporal at $TEMPORAL_ADDRESS is not healthy after 60 s" >&2; exit 1; }
  sleep 1
done
temporal operator namespace describe --namespace default >/dev/null 2>&1 ||
  temporal operator namespace create --namespace default --retention 30d
# A new namespace reaches all parts of the server within seconds.
left=60
until temporal workflow list --namespace default --limit 1 >/dev/null 2>&1; do
  left=$((left - 1))
  [ $left -gt 0 ] || { echo 'The namespace default can not be used after 60 s' >&2; exit 1; }
  sleep 1
done
