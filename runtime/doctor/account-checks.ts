/** What stacks, alarms and the account itself say. Pure. */

import { consumerIn, mostPollers, overfullGroup, provisionedIn } from '../consumer-in-environment.ts';
import type { Contract } from '../contract/contract.ts';
import { REDRIVE_CONCURRENCY } from '../dead-letters/resources.ts';
import { deployedName, environmentName } from '../deployment.ts';
import { type Environment, MAX_GROUP_MAPPINGS, MAX_POLLERS, pageConcurrency, ZONES } from '../environment.ts';
import { deployCommand, revertCommand } from './commands.ts';
import { type Line, linesOf, type Observed } from './line.ts';
import type { AlarmFacts, Declared, LimitFacts, StackFacts, ZoneFacts } from './reader.ts';

/**
 * `StackStatus`, `EnableTerminationProtection`, `DriftInformation`: https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/view-stack-events.html,
 * https://docs.aws.amazon.com/AWSCloudFormation/latest/APIReference/API_StackDriftInformation.html,
 * https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/using-cfn-protect-stacks.html (2026-11-26)
 */
export function judgeStack(env: string, name: string, seen: Observed<StackFacts | null>): Line {
  const lines = linesOf('stack', name);
  if ('problem' in seen) return lines.unseen(seen.problem);
  if (seen.value === null) return lines.fail('CloudFormation has no such stack.', deployCommand(env, name));
  const { status, reason, isProtected } = seen.value;
  const what = `${status}${reason ? `: ${reason}` : ''}`;
  if (
    ['CREATE_COMPLETE', 'UPDATE_COMPLETE', 'IMPORT_COMPLETE', 'UPDATE_COMPLETE_CLEANUP_IN_PROGRESS'].includes(
      status,
    )
  ) {
    return lines.pass(status);
  }
  const again = [
    // The database protects itself as well: docs/deploy.md.
    ...(status === 'ROLLBACK_FAILED' && isProtected && name === deployedName(env, 'database')
      ? [
          `aws rds modify-db-cluster --db-cluster-identifier ${environmentName(env)} --no-deletion-protection --apply-immediately`,
        ]
      : []),
    ...(isProtected
      ? [
          `aws cloudformation update-termination-protection --no-enable-termination-protection --stack-name ${name}`,
        ]
      : []),
    `aws cloudformation delete-stack --stack-name ${name}`,
    `aws cloudformation wait stack-delete-complete --stack-name ${name}`,
    deployCommand(env, name),
  ].join(' && ');
  if (['ROLLBACK_COMPLETE', 'ROLLBACK_FAILED', 'CREATE_FAILED', 'DELETE_FAILED'].includes(status)) {
    return lines.fail(what, again);
  }
  // A change set that nobody has executed: of a deployment that waits for somebody's consent, or that was broken off.
  if (status === 'REVIEW_IN_PROGRESS') {
    return lines.unknown(what, `Run this again when the deployment is over. If nobody deploys: ${again}`);
  }
  if (status === 'UPDATE_ROLLBACK_FAILED') {
    return lines.fail(what, `aws cloudformation continue-update-rollback --stack-name ${name}`);
  }
  if (status.endsWith('_IN_PROGRESS'))
    return lines.unknown(what, 'Run this again when the deployment is over.');
  // UPDATE_ROLLBACK_COMPLETE: it works as before, and what was to be deployed is not.
  return lines.fail(what, deployCommand(env, name));
}

/** One line for all stacks that agree, one for each that drifted. */
export function judgeDrift(
  env: string,
  stacks: readonly (readonly [name: string, seen: Observed<StackFacts | null>])[],
): readonly Line[] {
  const known = stacks.flatMap(([name, seen]) =>
    'value' in seen && seen.value ? [{ name, ...seen.value }] : [],
  );
  const drifted = known.filter(({ drift }) => drift === 'DRIFTED');
  const inSync = known.filter(({ drift }) => drift === 'IN_SYNC');
  const unchecked = known.filter((each) => !drifted.includes(each) && !inSync.includes(each));
  const of = (count: number) => linesOf('drift', count === 1 ? '1 stack' : `${count} stacks`);
  return [
    ...drifted.map(({ name, driftCheckedAt }) =>
      linesOf('drift', name).fail(
        `StackDriftStatus is DRIFTED (${driftCheckedAt ?? 'time unknown'}).`,
        revertCommand(env, name),
      ),
    ),
    ...(inSync.length > 0 ? [of(inSync.length).pass('StackDriftStatus is IN_SYNC.')] : []),
    ...(unchecked.length > 0
      ? [
          of(unchecked.length).unknown(
            'Nobody has looked for drift.',
            `for STACK in ${unchecked.map(({ name }) => name).join(' ')}; do aws cloudformation detect-stack-drift --stack-name $STACK; done`,
          ),
        ]
      : []),
  ];
}

/**
 * `StateValue`, `ActionsEnabled`, `AlarmActions`: https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_MetricAlarm.html
 * (2026-11-26). Which alarms there should be is what the stack itself has made.
 * @param made the names of the stack's alarms
 */
export function judgeAlarms(
  env: string,
  stack: string,
  made: Observed<readonly string[]>,
  seen: Observed<readonly AlarmFacts[]>,
  notifies: boolean,
): readonly Line[] {
  const lines = linesOf('alarm', stack);
  if ('problem' in made) return [lines.unseen(made.problem)];
  if ('problem' in seen) return [lines.unseen(seen.problem)];
  if (made.value.length === 0) return [];
  const byName = new Map(seen.value.map((alarm) => [alarm.name, alarm]));
  const there = made.value.flatMap((name) => byName.get(name) ?? []);
  // The alarm behind a composite one tells nobody; its composite speaks for it.
  const speaking = there.filter(({ name }) => !isBehindAnother(name));
  const missing = made.value.filter((name) => !byName.has(name));
  const alarmed = speaking.filter(({ state }) => state === 'ALARM');
  const silent = notifies ? speaking.filter((alarm) => !alarm.notifies || alarm.actions.length === 0) : [];
  const dataless = there.filter(({ state }) => state === 'INSUFFICIENT_DATA');
  const faults = [
    ...missing.map((name) =>
      linesOf('alarm', name).fail('CloudWatch has no such alarm.', revertCommand(env, stack)),
    ),
    ...alarmed.map(({ name, reason, description }) =>
      linesOf('alarm', name).fail(`In ALARM: ${reason} (${runbookOf(description)})`, commandOf(description)),
    ),
    ...silent.map(({ name }) =>
      linesOf('alarm', name).fail('It notifies nobody: no action is enabled.', revertCommand(env, stack)),
    ),
  ];
  return [
    ...faults,
    ...(dataless.length > 0
      ? [
          lines.unknown(
            `Without data: ${dataless.map(({ name }) => name).join(', ')}.`,
            'Usual until records flow. Run this again a quarter of an hour after the first ones.',
          ),
        ]
      : []),
    ...(faults.length === 0 ? [lines.pass(`${made.value.length} alarms, none in ALARM.`)] : []),
  ];
}

function isBehindAnother(alarm: string): boolean {
  return alarm.endsWith('-unsuppressed');
}

/** Alarms say what to do after `millrace status`: lib/constructs/alarm.ts. */
function commandOf(description: string): string {
  return /^Then: (.*)$/m.exec(description)?.[1] ?? 'See docs/runbooks/README.md.';
}

function runbookOf(description: string): string {
  return /^Runbook: (.*)$/m.exec(description)?.[1] ?? 'docs/runbooks/README.md';
}

/**
 * `SubscriptionArn`: https://docs.aws.amazon.com/sns/latest/api/API_Subscription.html (2026-11-26); PendingConfirmation until somebody agrees.
 * @param others topics of others that the same alarms notify
 */
export function judgeSubscriptions(
  env: string,
  topicArn: string,
  others: readonly string[],
  seen: Observed<{ readonly confirmed: number; readonly pending: number } | null>,
): Line {
  const lines = linesOf('subscriber', topicArn.slice(topicArn.lastIndexOf(':') + 1));
  const subscribe = `aws sns subscribe --topic-arn ${topicArn} --protocol email --notification-endpoint oncall@example.com`;
  if ('problem' in seen) return lines.unseen(seen.problem);
  if (seen.value === null)
    return lines.fail('SNS has no such topic.', revertCommand(env, deployedName(env, 'operations')));
  const { confirmed, pending } = seen.value;
  if (confirmed > 0) return lines.pass(`${confirmed} confirmed.`);
  if (others.length > 0) return lines.pass(`Nobody; its alarms go to ${others.join(', ')} as well.`);
  return pending > 0
    ? lines.fail(`${pending} not confirmed yet.`, 'Open the message that SNS has sent, and confirm.')
    : lines.fail('Nobody hears of its alarms.', subscribe);
}

/** Lambda keeps this much for functions without a reservation: https://docs.aws.amazon.com/lambda/latest/dg/configuration-concurrency.html (2026-11-26) */
const LEAST_UNRESERVED = 100;

/**
 * `AccountLimit.ConcurrentExecutions`, `.UnreservedConcurrentExecutions`:
 * https://docs.aws.amazon.com/lambda/latest/api/API_AccountLimit.html (2026-11-26). A consumer runs as many instances as
 * its topic has partitions, and two more while letters are redriven. Reservations that Lambda cannot make stop a
 * deployment; where only what functions share is short, they run and are throttled at peaks.
 * @param stacks by name: what a stack reserves that is there already is no longer in what Lambda calls unreserved
 */
export function judgeConcurrency(
  { consumers: declared, collected = [] }: Pick<Declared, 'consumers' | 'collected'>,
  environment: Environment,
  stacks: ReadonlyMap<string, Observed<StackFacts | null>>,
  seen: Observed<LimitFacts>,
): Line {
  const lines = linesOf('concurrency', 'account');
  if ('problem' in seen) return lines.unseen(seen.problem);
  const { concurrency, unreserved } = seen.value;
  const { name: env } = environment;
  // Without a topic for it there is no collector: stackParts().
  const collector = collected.length > 0 ? environment.collector : undefined;
  const consumers = declared.map((each) => consumerIn(environment, each).consumer);
  const sum = (values: readonly number[]) => values.reduce((total, value) => total + value, 0);
  const reserving = [
    ...consumers.map(({ name, reservedConcurrency = 0 }) => ({
      stack: deployedName(env, `consumer-${name}`),
      amount: reservedConcurrency,
    })),
    {
      stack: deployedName(env, 'collector'),
      amount: (collector?.maxConcurrency ?? 0) + pageConcurrency(collector),
    },
  ].map(({ stack, amount }) => ({ amount, isMade: hasReserved(stacks.get(stack)) }));
  const reserved = sum(reserving.map(({ amount }) => amount));
  const toReserve = (made: readonly (boolean | null)[]) =>
    sum(reserving.filter(({ isMade }) => made.includes(isMade)).map(({ amount }) => amount));
  const shared =
    sum(
      consumers
        .filter(({ reservedConcurrency }) => reservedConcurrency === undefined)
        .map(({ topic }) => topic.partitions + REDRIVE_CONCURRENCY),
    ) + (collector && collector.maxConcurrency === undefined ? 1 : 0);
  const left = unreserved - toReserve([false, null]);
  const ask =
    'Ask for more at Service Quotas: aws service-quotas request-service-quota-increase --service-code lambda --quota-code L-B99A9384 --desired-value 1000';
  const have = `The account has ${concurrency}, of which ${unreserved} are not reserved.`;
  if (toReserve([false, null]) > 0 && left < LEAST_UNRESERVED) {
    const evidence = `${have} This environment reserves ${reserved}, and Lambda keeps ${LEAST_UNRESERVED} back.`;
    const isCertain = toReserve([false]) > 0 && unreserved - toReserve([false]) < LEAST_UNRESERVED;
    return isCertain
      ? lines.fail(evidence, ask)
      : lines.unknown(
          `${evidence} Whether it has done so, its stacks do not show.`,
          'Correct the lines about stacks first.',
        );
  }
  return left < shared
    ? lines.unknown(
        `${have} Functions here can run ${shared} at once: they work, and at peaks Lambda throttles them.`,
        ask,
      )
    : lines.pass(`${have} Functions here can run ${shared} at once, and reserve ${reserved}.`);
}

/** Whether a stack has made what it reserves; null where that cannot be told. */
function hasReserved(seen: Observed<StackFacts | null> | undefined): boolean | null {
  if (seen === undefined) return false;
  if ('problem' in seen) return null;
  const { status = 'none' } = seen.value ?? {};
  if (/^(CREATE|IMPORT)_COMPLETE$|^UPDATE_/.test(status)) return true;
  return /^(DELETE_|CREATE_IN_PROGRESS)/.test(status) ? null : false;
}

/** AWS documents limits of a poller group, and none of an account. */
export function judgePollers({ consumers }: Pick<Declared, 'consumers'>, environment: Environment): Line {
  const lines = linesOf('pollers', 'environment');
  if (environment.polling.mode === 'on-demand') return lines.pass('On demand: Lambda shares its own.');
  const settings = provisionedIn(environment, consumers);
  const full = overfullGroup(settings);
  return full
    ? lines.fail(
        `${full.consumers} consumers with up to ${full.pollers} pollers in the group ${full.group}; a group takes ${MAX_GROUP_MAPPINGS} with ${MAX_POLLERS}.`,
        'Lower polling.maximumPollers, or give some consumers another group, in millrace.config.ts.',
      )
    : lines.pass(`Up to ${mostPollers(settings)} pollers.`);
}

/** What the CDK's templates ask of a bootstrapped account: aws-cdk-lib's MINIMUM_BOOTSTRAP_STACK_VERSION. */
const BOOTSTRAP_VERSION = 6;

/** `StackStatus` and the output `BootstrapVersion` of CDKToolkit: https://docs.aws.amazon.com/cdk/v2/guide/bootstrapping-env.html (2026-11-26) */
export function judgeBootstrap(env: string, seen: Observed<StackFacts | null>): Line {
  const lines = linesOf('bootstrap', 'CDKToolkit');
  const bootstrap = `npx cdk bootstrap -c env=${env}`;
  if ('problem' in seen) return lines.unseen(seen.problem);
  if (seen.value === null) return lines.fail('CloudFormation has no such stack in this region.', bootstrap);
  const { status, outputs } = seen.value;
  const version = Number(outputs.BootstrapVersion ?? Number.NaN);
  if (Number.isNaN(version))
    return lines.unknown(`${status}, without an output BootstrapVersion.`, bootstrap);
  if (version < BOOTSTRAP_VERSION) {
    return lines.fail(`BootstrapVersion is ${version}; the CDK needs ${BOOTSTRAP_VERSION}.`, bootstrap);
  }
  return /^(CREATE|UPDATE|IMPORT)_COMPLETE$/.test(status)
    ? lines.pass(`${status}, version ${version}.`)
    : lines.fail(`${status}, version ${version}.`, bootstrap);
}

/** A stack before the first deployment, or of an attempt that failed. */
export function judgeLeftOver(env: string, name: string, seen: Observed<StackFacts | null>): Line {
  return 'value' in seen && seen.value === null
    ? linesOf('stack', name).pass('Not there yet.')
    : judgeStack(env, name, seen);
}

/**
 * Service-linked roles: https://docs.aws.amazon.com/AmazonRDS/latest/AuroraUserGuide/UsingWithRDS.IAM.ServiceLinkedRoles.html,
 * https://docs.aws.amazon.com/msk/latest/developerguide/using-service-linked-roles.html (2026-11-26). Each is made with the
 * first resource; for RDS the database can be faster than its role, and the first deployment fails.
 */
export const SERVICE_LINKED_ROLES = [
  { role: 'AWSServiceRoleForRDS', service: 'rds.amazonaws.com', isMadeInTime: false },
  { role: 'AWSServiceRoleForKafka', service: 'kafka.amazonaws.com', isMadeInTime: true },
] as const;

export function judgeRole(
  { role, service, isMadeInTime }: (typeof SERVICE_LINKED_ROLES)[number],
  seen: Observed<{ readonly arn: string } | null>,
): Line {
  const lines = linesOf('role', role);
  if ('problem' in seen) return lines.unseen(seen.problem);
  if (seen.value !== null) return lines.pass(seen.value.arn);
  return isMadeInTime
    ? lines.pass('Not there yet: it is made with the first resource.')
    : lines.fail(
        'The account has no such role.',
        `aws iam create-service-linked-role --aws-service-name ${service}`,
      );
}

/** MSK places no brokers here: https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-properties-msk-cluster-brokernodegroupinfo.html (2026-11-25) */
const WITHOUT_BROKERS = 'use1-az3';

/** `ZoneName`, `ZoneId`: https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_AvailabilityZone.html (2026-11-26) */
export function judgeZones({ network }: Environment, seen: Observed<readonly ZoneFacts[]>): Line | null {
  if (network.type !== 'new') return null;
  const lines = linesOf('zones', 'region');
  if ('problem' in seen) return lines.unseen(seen.problem);
  const all = seen.value.toSorted((a, b) => a.name.localeCompare(b.name));
  const usable = all.filter(({ id }) => id !== WITHOUT_BROKERS).map(({ name }) => name);
  const name = (zones: readonly string[]) =>
    `Write network: { type: 'new', zones: [${zones.map((zone) => `'${zone}'`).join(', ')}] } in millrace.config.ts.`;
  if (usable.length < ZONES) {
    return lines.fail(
      `The region has ${usable.length} zones for brokers; the network takes ${ZONES}.`,
      'Choose another region.',
    );
  }
  const wanted = network.zones ?? all.slice(0, ZONES).map((zone) => zone.name);
  const unknown = wanted.filter((zone) => all.every((known) => known.name !== zone));
  if (unknown.length > 0) {
    return lines.fail(`The account does not have ${unknown.join(', ')}.`, name(usable.slice(0, ZONES)));
  }
  return wanted.every((zone) => usable.includes(zone))
    ? lines.pass(wanted.join(', '))
    : lines.fail(
        `${wanted.find((zone) => !usable.includes(zone))} is ${WITHOUT_BROKERS}, where MSK places no brokers.`,
        name(usable.slice(0, ZONES)),
      );
}

/** `Valid`, `Error`: https://docs.aws.amazon.com/glue/latest/webapi/API_CheckSchemaVersionValidity.html (2026-11-26), free and without traces. */
export function judgeValidity(
  { name, versions }: Contract<never>,
  seen: readonly Observed<string | null>[],
): Line {
  const lines = linesOf('schema', name);
  const problem = seen.find((each) => 'problem' in each);
  const refused = seen.flatMap((each, index) =>
    'value' in each && each.value !== null ? [`v${versions[index]!.version}: ${each.value}`] : [],
  );
  if (refused.length > 0) {
    return lines.fail(
      `Glue refuses ${refused.join('; ')}`,
      `Correct contracts/${name}, then npx millrace contracts check.`,
    );
  }
  if (problem && 'problem' in problem) return lines.unseen(problem.problem);
  return lines.pass(
    `Glue reads ${versions.length === 1 ? 'its version' : `all ${versions.length} versions`}. Whether they fit each other it only says when they are registered.`,
  );
}
