/** What people did, newest first, in the words of `dlq audit`. */
import { systemClock } from '../../adapters/system/system-clock.ts';
import type { AuditRow, Page, PageQuery } from '../../console/operations.ts';
import {
  AUDIT_PREFIX,
  type AuditEntry,
  readAuditEntry,
  type UnreadableEntry,
} from '../../runtime/dead-letters/audit-log.ts';
import type { ObjectStore, StoredObject } from '../../runtime/objects.ts';
import { planText, resultText, unreadableText } from '../dlq/audit-words.ts';
import { chooseConsumers, inDlqSession } from '../dlq/session.ts';
import type { ConsoleContext } from './context.ts';
import { problemText } from './errors.ts';
import { pageOf } from './paging.ts';
import { recently } from './recent.ts';

const KEPT_MS = 2_000;
/** S3 is asked for a thousand keys at a time. */
const KEPT_DEPLOYED_MS = 15_000;

/** An action for a consumer's time axis. */
interface AuditedAction {
  readonly at: number;
  readonly action: string;
  readonly who: string;
}

export interface AuditLog {
  page(query: PageQuery): Promise<Page<AuditRow>>;
  /** What was done to the consumer since then, oldest first; nothing where its audit log cannot be read. */
  since(consumer: string, epochMs: number): Promise<readonly AuditedAction[]>;
}

export function createAuditLog({ options }: ConsoleContext): AuditLog {
  /** What is over never changes: by consumer and key. */
  const over = new Map<string, ReadonlyMap<string, AuditRow>>();

  const rowsOf = async (named: string, logs: readonly ObjectStore[]): Promise<readonly AuditRow[]> => {
    const known = over.get(named) ?? new Map();
    const rows = new Map<string, AuditRow>();
    for (const objects of logs) {
      for await (const stored of objects.list(AUDIT_PREFIX)) {
        const row = known.get(stored.key) ?? (await rowAt(stored, objects, named));
        if (row) rows.set(stored.key, row);
      }
    }
    over.set(named, new Map([...rows].filter(([, { endedAt }]) => endedAt !== null)));
    return [...rows.values()];
  };

  /** One that cannot be reached does not hide the others'. */
  const read = async (name: string | undefined) => {
    const rows: AuditRow[] = [];
    const problems: string[] = [];
    for (const owner of await chooseConsumers(name, options)) {
      const named = owner.named ?? owner.name;
      try {
        rows.push(...(await inDlqSession(owner, options, ({ auditLogs }) => rowsOf(named, auditLogs))));
      } catch (error) {
        problems.push(`${named}: ${problemText(error)}`);
      }
    }
    return {
      rows: rows.toSorted((a, b) => (a.begunAt < b.begunAt ? 1 : a.begunAt > b.begunAt ? -1 : 0)),
      problem: problems.length === 0 ? null : problems.join(' '),
    };
  };

  const asked = recently((name) => read(name === '' ? undefined : name), {
    keptMs: options.env === undefined ? KEPT_MS : KEPT_DEPLOYED_MS,
    clock: systemClock,
  });

  return {
    async page(query) {
      const { answer, asOf } = await asked(query.consumer ?? '');
      return { ...pageOf(answer.rows, query, textOf), asOf, problem: answer.problem };
    },
    async since(consumer, epochMs) {
      const { rows } = await asked(consumer).then(
        ({ answer }) => answer,
        () => ({ rows: [] }),
      );
      return rows
        .map(({ begunAt, action, who }) => ({ at: Date.parse(begunAt), action, who }))
        .filter(({ at }) => at >= epochMs)
        .toReversed();
    },
  };
}

/** Undefined where it was deleted meanwhile. */
async function rowAt(
  stored: StoredObject,
  objects: ObjectStore,
  consumer: string,
): Promise<AuditRow | undefined> {
  const entry = await readAuditEntry(objects, stored);
  if (!entry) return undefined;
  return 'key' in entry ? unreadableRow(entry, consumer) : auditRow(entry, consumer, stored.key);
}

/** @param id tells the entry from others: its key, because a rebuild and its promote share an id */
export function auditRow(entry: AuditEntry, consumer: string, id: string): AuditRow {
  const { action, who, begunAt, endedAt } = entry;
  return {
    id,
    action,
    consumer,
    who,
    begunAt,
    endedAt,
    plan: planText(entry),
    result: resultText(entry),
  };
}

/** Its entry may be about anything that was done to the consumer. */
export function unreadableRow(entry: UnreadableEntry, consumer: string): AuditRow {
  const { key, action, begunAt } = entry;
  return {
    id: key,
    action: action === '' ? 'unreadable' : action,
    consumer,
    who: '?',
    begunAt,
    endedAt: null,
    plan: unreadableText(entry),
    result: 'cannot be read',
  };
}

function textOf({ action, consumer, who, plan, result }: AuditRow): string {
  return [action, consumer, who, plan, result].join(' ');
}
