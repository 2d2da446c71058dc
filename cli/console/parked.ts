/** The keys that have parked records, those that have waited longest first, as `park list` has them. */
import { systemClock } from '../../adapters/system/system-clock.ts';
import type { Page, PageQuery, ParkedKey, ParkedKeyName } from '../../console/operations.ts';
import { ledgerOwner } from '../../runtime/replay/ledgers.ts';
import { allPages, type WaitingKey } from '../../runtime/replay/waiting-keys.ts';
import { isKeyHidden, keyText, type View } from '../dlq/letter-view.ts';
import { chooseConsumers, type DlqSession, inDlqSession } from '../dlq/session.ts';
import { letterIdOf, waitingWords, withWaitingKeys } from '../park/keys.ts';
import { hintWithSink } from '../rebuild/session.ts';
import type { ConsoleContext, ConsoleOptions } from './context.ts';
import { problemText } from './errors.ts';
import { pageOf } from './paging.ts';
import { recently } from './recent.ts';

const KEPT_MS = 2_000;
/** An environment's keys are invocations of its operator function. */
const KEPT_DEPLOYED_MS = 15_000;

export type ParkedList = (query: PageQuery) => Promise<Page<ParkedKey>>;

export function createParkedList({ options }: ConsoleContext): ParkedList {
  /** One that cannot be reached does not hide the others'. */
  const read = async (name: string | undefined) => {
    const rows: Waiting[] = [];
    const problems: string[] = [];
    for (const owner of await chooseConsumers(name, options)) {
      try {
        rows.push(...(await inDlqSession(owner, options, (session) => waitingIn(session, options))));
      } catch (error) {
        problems.push(`${owner.named ?? owner.name}: ${problemText(error)}`);
      }
    }
    return {
      rows: rows.toSorted((a, b) => (a.oldestAt ?? 0) - (b.oldestAt ?? 0)),
      problem: problems.length === 0 ? null : problems.join(' '),
    };
  };
  const asked = recently((name) => read(name === '' ? undefined : name), {
    keptMs: options.env === undefined ? KEPT_MS : KEPT_DEPLOYED_MS,
    clock: systemClock,
  });
  return async (query) => {
    const { answer, asOf } = await asked(query.consumer ?? '');
    const { items, ...page } = pageOf(answer.rows, query, textOf);
    const now = systemClock.now();
    return {
      ...page,
      items: items.map(({ oldestAt, ...row }) => ({
        ...row,
        oldestAgeMs: oldestAt === null ? null : Math.max(0, now - oldestAt),
      })),
      asOf,
      problem: answer.problem,
    };
  };
}

type Waiting = Omit<ParkedKey, 'oldestAgeMs'> & Pick<WaitingKey, 'oldestAt'>;

async function waitingIn(session: DlqSession, options: ConsoleOptions): Promise<readonly Waiting[]> {
  const owner = ledgerOwner(session.consumer);
  const keys = await withWaitingKeys(session, options, (reader) =>
    allPages((from) => reader.list(owner, from)),
  );
  return keys.map((waiting) => waitingRow(waiting, session, options));
}

/** A key that is personal data is masked whatever the console may reveal: nothing notes who has seen a list. */
export function waitingRow(
  waiting: WaitingKey,
  session: Pick<DlqSession, 'consumer' | 'named' | 'place'>,
  { postgres }: Pick<ConsoleOptions, 'postgres'>,
): Waiting {
  const view: View = { topic: session.consumer.topic, showsValues: false };
  const { topic, partition, key, records, oldestAt } = waiting;
  const words = waitingWords(waiting, view, session);
  const of = ['--consumer', session.named];
  return {
    consumer: session.named,
    topic,
    partition,
    key: keyText(key, view),
    name: nameOf(waiting, view, session),
    records,
    oldestAt,
    blockedBy: letterIdOf(waiting, session),
    command: hintWithSink(words ? ['park', 'show', ...of, ...words] : ['park', 'list', ...of], {
      ...session.place,
      ...(postgres !== undefined && { postgres }),
    }),
  };
}

function nameOf(
  waiting: WaitingKey,
  view: View,
  session: Pick<DlqSession, 'consumer'>,
): ParkedKeyName | null {
  const { key, partition } = waiting;
  if (!isKeyHidden(view)) return { base64: key.toString('base64'), partition };
  const letter = letterIdOf(waiting, session);
  return letter === null ? null : { letter };
}

/** Of a key that is hidden, nothing can be found by what it holds. */
function textOf({ consumer, topic, partition, key, blockedBy }: Waiting): string {
  return [consumer, topic, partition, key, blockedBy].join(' ');
}
