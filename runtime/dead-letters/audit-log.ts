import type { ObjectStore, StoredObject } from '../objects.ts';
import type { Clock } from '../ports.ts';

/** What the keys of entries begin with. */
export const AUDIT_PREFIX = 'audit/';

/** Something that a person did to a consumer or its dead letters, or saw of one. */
export interface AuditEntry {
  readonly id: string;
  readonly action:
    | 'redrive'
    | 'move'
    | 'discard'
    | 'import'
    | 'release'
    | 'reveal'
    | 'pause'
    | 'resume'
    | 'replay'
    | 'rebuild'
    | 'promote'
    | 'rollback'
    | 'drop';
  readonly consumer: string;
  /** Whoever the credentials say, or the login of a laptop. */
  readonly who: string;
  /** ISO 8601. */
  readonly begunAt: string;
  readonly plan: Readonly<Record<string, unknown>>;
  /** Null while it goes on, and where it was killed. */
  readonly endedAt: string | null;
  readonly result: Readonly<Record<string, unknown>> | null;
  /** How far it is, noted by steps, each before it is taken: what one that was killed has done. */
  readonly progress?: Readonly<Record<string, unknown>>;
}

/** Notes how far an action is. @throws OBJECT_STORE_UNAVAILABLE: the step is not to be taken then */
export type NoteProgress = (progress: Readonly<Record<string, unknown>>) => Promise<void>;

/**
 * Runs an action with an entry that is durable before it begins, and has its result, or its error's code, after it.
 * @throws OBJECT_STORE_UNAVAILABLE: nothing is done that cannot be noted
 */
export async function audited<Result extends Readonly<Record<string, unknown>>>(
  { objects, clock }: { readonly objects: ObjectStore; readonly clock: Clock },
  entry: Pick<AuditEntry, 'id' | 'action' | 'consumer' | 'who' | 'plan'>,
  act: (note: NoteProgress) => Promise<Result>,
): Promise<Result> {
  const begunAt = new Date(clock.now()).toISOString();
  const key = `${AUDIT_PREFIX}${begunAt}-${entry.action}-${entry.id}.json`;
  let progress: AuditEntry['progress'];
  const write = (result: AuditEntry['result']) => {
    const endedAt = result === null ? null : new Date(clock.now()).toISOString();
    const whole: AuditEntry = { ...entry, begunAt, endedAt, result, ...(progress && { progress }) };
    return objects.put(key, Buffer.from(`${JSON.stringify(whole)}\n`));
  };
  await write(null);
  let result: Result;
  try {
    result = await act((noted) => {
      progress = noted;
      return write(null);
    });
  } catch (error) {
    const { code, message } = error as { code?: unknown; message?: unknown };
    // Why it failed is what has to be known: also where the store that is down is this one, too.
    await write({ error: code ?? 'UNEXPECTED', message: String(message) }).catch(() => {});
    throw error;
  }
  await write(result);
  return result;
}

/** An entry that was cut, or that is none. */
export interface UnreadableEntry {
  readonly key: string;
  /** ISO 8601; when the object was written where its key does not tell. */
  readonly begunAt: string;
  /** As the key has it; empty where it does not tell. */
  readonly action: string;
}

export interface ReadAuditLog {
  readonly entries: readonly AuditEntry[];
  readonly unreadable: readonly UnreadableEntry[];
}

/**
 * Oldest first. An entry that cannot be read hides no other.
 * @param from ISO 8601: entries that were begun before are not read. @default all
 */
export async function readAuditLog(objects: ObjectStore, from = ''): Promise<ReadAuditLog> {
  const entries: AuditEntry[] = [];
  const unreadable: UnreadableEntry[] = [];
  for await (const stored of objects.list(AUDIT_PREFIX)) {
    if (stored.key < `${AUDIT_PREFIX}${from}`) continue;
    const entry = await readAuditEntry(objects, stored);
    if (!entry) continue;
    if ('key' in entry) unreadable.push(entry);
    else entries.push(entry);
  }
  return { entries, unreadable };
}

/** Undefined where it was deleted meanwhile. */
export async function readAuditEntry(
  objects: Pick<ObjectStore, 'get'>,
  { key, storedAt }: Pick<StoredObject, 'key' | 'storedAt'>,
): Promise<AuditEntry | UnreadableEntry | undefined> {
  const body = await objects.get(key);
  if (!body) return undefined;
  const entry = parsed(body.toString());
  if (isEntry(entry)) return entry;
  const [, begunAt = new Date(storedAt).toISOString(), action = ''] = KEY.exec(key) ?? [];
  return { key, begunAt, action };
}

const KEY = /^audit\/(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z)-([a-z]+)-/;

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** What an action is called, and the facts of its plan and result, are another version's to extend. */
function isEntry(value: unknown): value is AuditEntry {
  if (!isObject(value) || 'key' in value) return false;
  const { id, action, consumer, who, begunAt, plan, endedAt, result, progress } = value;
  return (
    [id, action, consumer, who].every((text) => typeof text === 'string') &&
    isTime(begunAt) &&
    (endedAt === null || isTime(endedAt)) &&
    isObject(plan) &&
    (result === null || isObject(result)) &&
    (progress === undefined || isObject(progress))
  );
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isTime(value: unknown): boolean {
  return typeof value === 'string' && !Number.isNaN(Date.parse(value));
}
