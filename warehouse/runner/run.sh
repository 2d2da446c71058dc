# Runs the warehouse again and again, one run at a time. A run that fails says why in the log; what it has not loaded the
# next one loads. Each good run prints one line of JSON, of which a metric filter takes freshnessMs.
every="${MILLRACE_EVERY_SECONDS:-60}"
child=
trap 'kill ${child:-} 2>/dev/null; exit 0' TERM INT
while :; do
  began=$(date +%s)
  npx --no-install millrace warehouse run --target snowflake --dbt /opt/dbt/bin/dbt --json &
  child=$!
  wait "$child"
  left=$((began + every - $(date +%s)))
  if [ "$left" -gt 0 ]; then
    sleep "$left" &
    child=$!
    wait "$child"
  fi
done
