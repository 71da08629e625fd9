#!/usr/bin/env bash
# Judges gates as action.yml asks: each line of LOGS, SLO and BY is one argument.
# usage: check_in_action.sh PATH_OF_LOADLENS
set -euo pipefail
arguments=(--step-summary)
logs=()
while IFS= read -r line; do [ -z "$line" ] || logs+=("$line"); done <<< "${LOGS:-}"
while IFS= read -r line; do [ -z "$line" ] || arguments+=(--slo "$line"); done <<< "${SLO:-}"
while IFS= read -r line; do [ -z "$line" ] || arguments+=(--by "$line"); done <<< "${BY:-}"
[ -z "${SLO_FILE:-}" ] || arguments+=(--slo-file "$SLO_FILE")
[ -z "${MARKDOWN:-}" ] || arguments+=(--markdown "$MARKDOWN")
[ -z "${JUNIT:-}" ] || arguments+=(--junit "$JUNIT")
exec "$1" check "${arguments[@]}" -- "${logs[@]}"
