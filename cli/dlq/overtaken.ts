/** Which of a consumer's dead letters were overtaken, for commands that show or choose letters. */
import { openLedgerSession } from '../../local/ledger-session.ts';
import { isArchive } from '../../runtime/archive/archive.ts';
import { type OvertakenLetters, withOvertaken } from '../../runtime/dead-letters/overtaken.ts';
import type { DeadLetterReader } from '../../runtime/dead-letters/reader.ts';
import type { LetterFilter } from '../../runtime/dead-letters/triage.ts';
import type { AnyConsumer } from '../../runtime/delivery/consumer.ts';
import { deadLetterId, letterKey } from '../../runtime/delivery/dead-letter.ts';
import { MillraceError } from '../../runtime/errors.ts';
import { ledgerOwner, type WholeLedger } from '../../runtime/replay/ledgers.ts';
import { loadApp } from '../app.ts';
import { openEnvironment } from '../environment-session.ts';
import type { PostgresOptions } from '../outside-options.ts';
import { printNote } from '../terminal.ts';
import { type DlqSession, type DlqSessionOptions, generationNamed } from './session.ts';

interface MarkingOptions extends DlqSessionOptions, PostgresOptions {
  readonly where?: LetterFilter;
}

export interface MarkedReader {
  readonly reader: DeadLetterReader;
  /** Why nobody could tell which letters were overtaken; undefined where somebody could, or nobody had to. */
  problem(): string | undefined;
}

/** Whether a letter can be overtaken at all: an archive keeps no state by key, and to other handlers it may not matter. */
export function refusesOvertaken(consumer: AnyConsumer): boolean {
  return consumer.onOvertaken === 'refuse' && !isArchive(consumer);
}

/**
 * The session's letters, the overtaken ones marked. A sink that cannot be read keeps nobody from seeing letters, unless they
 * are chosen by it.
 */
export async function markedReader(session: DlqSession, options: MarkingOptions): Promise<MarkedReader> {
  const { reader } = session.resources;
  const declared = generationNamed(session.consumer.name, (await loadApp()).consumers);
  if (!declared || !refusesOvertaken(declared)) return { reader, problem: () => undefined };
  let problem: string | undefined;
  const read = async (): Promise<OvertakenLetters> => {
    try {
      return await readOvertaken(session, options);
    } catch (error) {
      if (!(error instanceof MillraceError) || options.where?.overtaken !== undefined) throw error;
      problem = error.message;
      return new Map();
    }
  };
  return { reader: withOvertaken(reader, read), problem: () => problem };
}

async function readOvertaken(session: DlqSession, options: MarkingOptions): Promise<OvertakenLetters> {
  const { name, epoch, topic } = session.consumer;
  const overtaken = new Map<string, number>();
  for (const ledger of await readLedgers(session, options)) {
    // A running process of an earlier version says nothing of them.
    for (const [offset, by] of ledger.overtaken ?? []) {
      const id = deadLetterId(name, { topic: topic.name, partition: ledger.partition, offset });
      overtaken.set(letterKey({ id, epoch }), by);
    }
  }
  return overtaken;
}

async function readLedgers(
  { consumer, folder }: DlqSession,
  { env, postgres }: MarkingOptions,
): Promise<readonly WholeLedger[]> {
  const of = ledgerOwner(consumer);
  if (env !== undefined) return (await openEnvironment(env)).ledgers.read(of);
  const { ledgers, close } = await openLedgerSession(folder, { postgres });
  try {
    return await ledgers.read(of);
  } finally {
    await close();
  }
}

/** For commands that mark nothing: the sink is only asked where letters are chosen by it. */
export async function chosenReader(session: DlqSession, options: MarkingOptions): Promise<DeadLetterReader> {
  if (options.where?.overtaken === undefined) return session.resources.reader;
  return (await markedReader(session, options)).reader;
}

/** For commands that show letters all the same. */
export function printUnknown(problem: string | undefined): void {
  if (problem !== undefined) printNote(`Which letters are overtaken is not known: ${problem}`);
}
