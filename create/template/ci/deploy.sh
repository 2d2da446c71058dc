#!/usr/bin/env bash
# Deploys an environment: bash ci/deploy.sh dev
# Consumers and the collector are rolled back if one of their incident alarms goes off meanwhile, or in the minutes after.
set -euo pipefail

env=${1:?Which environment? Name it, such as: bash ci/deploy.sh dev}
minutes=${ROLLBACK_MINUTES:-20}
app=$(mktemp -d)
trap 'rm -rf "$app"' EXIT

# No silent-poller: an update of the mapping stops polling, for a minute that the alarm may take for silence.
of_consumers='stalled lag-incident records-passed-over dead-letters-rising give-up-failed'
of_collector='collector-failing'

deploy() {
  npx cdk deploy --app "$app" --exclusively --require-approval never --progress events "$@"
}

# The alarms that can roll back: an alarm that is not there yet would fail a first deployment, and one that is off already
# would undo the fix that somebody deploys for it.
quiet_alarms() {
  aws cloudwatch describe-alarms --alarm-names "$@" --output text \
    --query 'MetricAlarms[?StateValue!=`ALARM`].AlarmArn'
}

npx cdk synth -c "env=$env" --quiet --output "$app"
stacks=$(npx cdk list --app "$app")
watched() { grep -E "^millrace-$env-(consumer-|collector$)" <<<"$stacks"; }

# In the order in which the CDK lists them: what everything stands on, then consumers and collector, then the dashboard.
deploy $(grep -vE "^millrace-$env-(consumer-|collector$|health$)" <<<"$stacks")
for stack in $(watched); do
  of=${stack#"millrace-$env-"}
  of=${of#consumer-}
  kinds=$of_consumers
  if [ "$of" = collector ]; then kinds=$of_collector; fi
  alarms=$(quiet_alarms $(printf "millrace-$env-$of-%s " $kinds))
  if [ -n "$alarms" ]; then
    deploy "$stack" $(printf -- '--rollback-trigger-alarm-arns %s ' $alarms) --monitoring-time-minutes "$minutes"
  else
    deploy "$stack" --rollback-trigger-alarm-arns none
  fi
done
deploy "millrace-$env-health"
