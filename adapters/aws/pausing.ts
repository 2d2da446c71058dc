/** Pauses a deployed consumer: its event source mapping, and the parameter that its stack follows. */

import type { AnyConsumer } from '../../runtime/delivery/consumer.ts';
import { deployedName, pausedParameterName } from '../../runtime/deployment.ts';
import type { MappingFacts } from '../../runtime/doctor/reader.ts';
import { MillraceError, reasonOf } from '../../runtime/errors.ts';
import type { Clock } from '../../runtime/ports.ts';
import type { AwsCalls } from './aws-calls.ts';
import { createDeploymentReader } from './deployment-reader.ts';

/** A mapping that is being changed takes no other change; it is done within a minute or two. */
const PATIENCE_MS = 120_000;
const PAUSE_MS = 5_000;

export interface PausedMapping {
  /** Of the mapping, as Lambda names it: `Disabling` until the batches in flight are done. */
  readonly state: string;
  readonly mappingId: string;
  /** How it was, by the parameter. */
  readonly before: { readonly isPaused: boolean; readonly changedAt: number | null };
}

/**
 * The parameter first: where the mapping then cannot be changed, the next deployment brings it into line, and `millrace doctor`
 * says that the two differ.
 * @throws INPUT_INVALID where the environment has no such consumer, or no parameter for it, or AWS refuses
 */
export async function setPaused(
  {
    env,
    consumer,
    isPaused,
  }: { readonly env: string; readonly consumer: AnyConsumer; readonly isPaused: boolean },
  calls: AwsCalls,
  clock: Clock,
): Promise<PausedMapping> {
  const reader = createDeploymentReader(calls, clock);
  const found = await told(env, consumer, () => reader.mappings(deployedName(env, consumer.name)));
  const mapping = found.find(({ topics }) => topics.includes(consumer.topic.name));
  if (!mapping) {
    throw refused(env, consumer, `Lambda has no mapping of ${consumer.topic.name} for it. Deploy its stack.`);
  }
  const Name = pausedParameterName(env, consumer.name);
  // Made by a deployment alone: one made here would be in the way of it.
  const parameter = await told(env, consumer, () => reader.parameter(Name));
  if (parameter === null) {
    throw refused(
      env,
      consumer,
      `SSM has no parameter ${Name}, without which a deployment would resume the consumer. Run npx cdk deploy -c env=${env} --all`,
    );
  }
  await told(env, consumer, () => calls.putParameter({ Name, Value: String(isPaused), Overwrite: true }));
  const { State = 'unknown' } = await told(env, consumer, () => update(mapping, !isPaused, calls, clock));
  const before = { isPaused: parameter.value === 'true', changedAt: parameter.changedAt };
  return { state: State, mappingId: mapping.id, before };
}

/** https://docs.aws.amazon.com/lambda/latest/api/API_UpdateEventSourceMapping.html (2026-11-27): ResourceInUseException while another change is under way. */
async function update({ id: UUID }: MappingFacts, Enabled: boolean, calls: AwsCalls, clock: Clock) {
  const giveUpAt = clock.now() + PATIENCE_MS;
  for (;;) {
    try {
      return await calls.updateEventSourceMapping({ UUID, Enabled });
    } catch (error) {
      const isBusy = (error as Error).name === 'ResourceInUseException';
      if (!isBusy || clock.now() >= giveUpAt) throw error;
      await clock.sleep(PAUSE_MS);
    }
  }
}

async function told<Result>(
  env: string,
  consumer: AnyConsumer,
  work: () => Promise<Result>,
): Promise<Result> {
  try {
    return await work();
  } catch (cause) {
    throw refused(
      env,
      consumer,
      `${reasonOf(cause as Error).replace(/\.?$/, '.')} docs/deploy.md lists the permissions.`,
      cause,
    );
  }
}

function refused(env: string, { name }: AnyConsumer, why: string, cause?: unknown): MillraceError {
  return new MillraceError('INPUT_INVALID', `${name} in ${env}: ${why}`, {
    ...(cause !== undefined && { cause }),
    details: { env, consumer: name },
  });
}
