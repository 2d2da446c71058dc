/** Records of a topic, and what became of each, as `millrace find` tells it. */
import type { FindAnswer, FindQuery } from '../../console/operations.ts';
import type { Topic } from '../../runtime/contract/contract.ts';
import { schemaIdOf } from '../../runtime/contract/framing.ts';
import type { SchemaRegistry } from '../../runtime/contract/registry.ts';
import { MillraceError } from '../../runtime/errors.ts';
import { timestampText } from '../../runtime/record.ts';
import { type Condition, checkCondition } from '../../runtime/replay/conditions.ts';
import type { FoundRecord } from '../../runtime/replay/find.ts';
import { keyText, type View, viewOfTopic } from '../dlq/letter-view.ts';
import { findWithOutcomes, topicNamed, where } from '../find.ts';
import { letterId } from '../find-view.ts';
import { hint } from '../hints.ts';
import { pointInTime } from '../options.ts';
import type { ConsoleContext } from './context.ts';
import { asInput } from './errors.ts';

const LIMIT = 100;

/**
 * Searches from the newest record back until it has a hundred, or the signal ends it; keys that are personal data are not shown.
 * @throws INPUT_INVALID where nothing says which records, or the topic has no such field; as `findWithOutcomes`
 */
export async function findInTopic(
  query: FindQuery,
  { app, options }: ConsoleContext,
  signal: AbortSignal,
): Promise<FindAnswer> {
  const { key, since } = query;
  const texts = query.where ?? [];
  if ((key === undefined || key === '') && texts.length === 0)
    throw new MillraceError('INPUT_INVALID', 'Which records? Give a key, or a field and its value.');
  const topic = topicNamed(query.topic, app);
  const conditions = asInput(() =>
    texts.reduce<readonly Condition[]>((before, text) => where(text, before), []),
  );
  for (const condition of conditions) checkCondition(condition, topic);
  const request = {
    ...options,
    ...(key && { key }),
    ...(conditions.length > 0 && { where: conditions }),
    ...(since && { since: asInput(() => pointInTime(since)) }),
    limit: LIMIT,
    newest: true as const,
  };
  const { result, outcomes, told, declaredNames, registry } = await findWithOutcomes(
    topic,
    app,
    request,
    () => {},
    signal,
  );
  const keys = await shownKeys(result.found, topic, registry);
  return {
    records: result.found.map(({ raw }, at) => ({
      partition: raw.partition,
      offset: raw.offset,
      timestamp: timestampText(raw.timestamp),
      key: keys[at]!,
      outcomes: Object.fromEntries(
        Object.entries(outcomes[at]!).map(([name, outcome]) => {
          const declared = declaredNames.get(name)!;
          const letter = outcome === 'dead-lettered' ? letterId(name, raw) : null;
          return [declared, { outcome: told[at]![declared]!, letter }];
        }),
      ),
    })),
    looked: result.looked,
    unreadable: result.unreadable,
    isWhole: result.isWhole,
    command: hint(
      [
        'find',
        topic.name,
        ...(key ? ['--key', key] : []),
        ...texts.flatMap((text) => ['--where', text]),
        ...(since ? ['--since', since] : []),
        '--newest',
      ],
      options,
    ),
  };
}

/** As `dlq list` shows them. A writer's schema can tag what the contract does not. */
function shownKeys(
  found: readonly FoundRecord[],
  topic: Topic<never>,
  registry: SchemaRegistry,
): Promise<readonly string[]> {
  // A hundred records have few schemas, and each may be a call.
  const views = new Map<string | null, Promise<View>>();
  const viewBy = (schemaId: string | null) => {
    const view = views.get(schemaId) ?? viewOfTopic(topic, schemaId, registry, false);
    views.set(schemaId, view);
    return view;
  };
  return Promise.all(
    found.map(async ({ raw }) => {
      const schemaId = topic.format === 'avro' ? schemaIdOf(topic.framing, raw.value) : null;
      return keyText(raw.key, await viewBy(schemaId));
    }),
  );
}
