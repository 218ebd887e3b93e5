#!/bin/sh
# The whole federation on this machine, for OpenFL 1.9: sh run.sh FOLDER-OF-CSV-FILES NEW-WORKSPACE
# Needs an environment with requirements.txt, whose `fx` is first in PATH.
set -eu
data=$(cd "$1" && pwd)
here=$(cd "$(dirname "$0")" && pwd)
sites="cleveland hungarian switzerland va"

# Aggregator: workspace, plan, certificate authority, own certificate.
cd "$(dirname "$2")"
fx workspace create --prefix "$(basename "$2")" --template torch/template
cd "$(basename "$2")"
cp "$here"/plan/*.yaml plan/
cp "$here"/src/*.py src/
cp "$here"/requirements.txt .
fx plan initialize -a localhost
fx workspace certify
fx aggregator generate-cert-request --fqdn localhost
fx aggregator certify --fqdn localhost --silent

# Each collaborator: data, request for a certificate; the aggregator signs it.
for site in $sites; do
  cp "$data/$site.csv" data/
  fx collaborator create -n "$site" -d "data/$site.csv" --silent
  fx collaborator generate-cert-request -n "$site" --silent --skip-package
  fx collaborator certify -n "$site" --silent
done

# All of them at work.
fx aggregator start > aggregator.log 2>&1 &
sleep 10
for site in $sites; do
  fx collaborator start -n "$site" > "$site.log" 2>&1 &
done
wait
cat logs/aggregator_metrics.txt
