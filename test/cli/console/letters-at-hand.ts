/** Letters without a store: a source that counts who reads it. */
import { createContractSchemaRegistry } from '../../../adapters/contract-schema-registry.ts';
import type { ConsoleContext } from '../../../cli/console/context.ts';
import type { LetterSession } from '../../../cli/console/letter-snapshot.ts';
import type { LetterSource } from '../../../cli/console/snapshots.ts';
import { type Contract, defineTopic } from '../../../runtime/contract/contract.ts';
import type { ScannedLetter, StoredLetter } from '../../../runtime/dead-letters/reader.ts';
import type { DeadLetter, Failure } from '../../../runtime/delivery/dead-letter.ts';
import { MillraceError } from '../../../runtime/errors.ts';
import { deadLetter } from '../../dead-letters.ts';

const orders = defineTopic<{ readonly id: string }>({
  name: 'orders',
  owner: 'shop',
  key: 'id',
  versions: [
    { version: 1, schema: { type: 'record', name: 'Order', fields: [{ name: 'id', type: 'string' }] } },
  ],
});

let copies = 0;

/** A copy of letter `c/orders/<partition>/<offset>`; give only what a test is about. */
export function copyOf(
  {
    failure = {},
    storedAt = 1_000,
    overtakenBy,
    ...parts
  }: Parameters<typeof deadLetter>[0] & {
    readonly failure?: Partial<Failure>;
    readonly storedAt?: number;
    readonly overtakenBy?: number;
  } = {},
  changes: Partial<DeadLetter> = {},
): StoredLetter {
  const letter = deadLetter({ topic: 'orders', ...parts });
  return {
    ref: `copy-${copies++}`,
    storedAt,
    message: null,
    payload: null,
    ...(overtakenBy !== undefined && { overtakenBy }),
    letter: { ...letter, schemaId: null, ...changes, failure: { ...letter.failure, ...failure } },
  };
}

export function thrownAt(line: number, message = 'no'): Partial<Failure> {
  return {
    message,
    stack: `Error: ${message}\n    at handle (file:///srv/app/orders/consumer.ts:${line}:1)`,
  };
}

export interface AtHand {
  readonly source: LetterSource;
  /** By consumer, what a scan finds: changed by tests. An error is what it ends with. */
  readonly letters: Map<string, Iterable<ScannedLetter> | MillraceError>;
  /** Each consumer's scans, begun and under way at once. */
  readonly scans: { begun: number; atOnce: number; mostAtOnce: number; read: number };
  /** Runs within each scan, behind its first letter. */
  onScan: () => Promise<void>;
}

export function lettersAtHand(
  of: Readonly<Record<string, Iterable<ScannedLetter> | MillraceError>>,
  {
    contracts = [orders as Contract<never>],
    ...overrides
  }: Partial<LetterSession> & {
    readonly contracts?: readonly Contract<never>[];
  } = {},
): AtHand {
  const letters = new Map(Object.entries(of));
  const scans = { begun: 0, atOnce: 0, mostAtOnce: 0, read: 0 };
  const ownerOf = (name: string) => ({
    name,
    epoch: 1,
    topic: contracts[0]!,
    deadLetter: 'sqs' as const,
    deadLetterTopic: '',
  });
  async function* scan(name: string) {
    const found = letters.get(name)!;
    if (found instanceof MillraceError) throw found;
    scans.begun++;
    scans.mostAtOnce = Math.max(scans.mostAtOnce, ++scans.atOnce);
    try {
      let isFirst = true;
      for (const copy of found) {
        scans.read++;
        yield copy;
        if (isFirst) await atHand.onScan();
        isFirst = false;
      }
    } finally {
      scans.atOnce--;
    }
  }
  const source: LetterSource = {
    async owners(name) {
      if (name !== undefined && !letters.has(name))
        throw new MillraceError('INPUT_INVALID', `There is no consumer ${name}.`);
      return [...letters.keys()].filter((each) => name === undefined || each === name).map(ownerOf) as never;
    },
    inSession: (owner, work) =>
      work({
        consumer: owner,
        named: owner.name,
        contracts,
        registry: createContractSchemaRegistry(contracts),
        resources: {} as never,
        retentionMs: null,
        auditLogs: [],
        who: 'ada',
        place: {},
        marked: {
          reader: { scan: () => scan(owner.name), remove: async () => {} },
          problem: () => undefined,
        },
        isDeclared: true,
        ...overrides,
      }),
  };
  const atHand: AtHand = { source, letters, scans, onScan: async () => {} };
  return atHand;
}

export const CONTEXT = { options: { state: '.millrace' } } as ConsoleContext;
