/** What the commands about generations share: whose, where, and who asks. */
import { localUser } from '../../adapters/system/local-user.ts';
import { systemClock } from '../../adapters/system/system-clock.ts';
import { existingStateFolder, type StateFolder } from '../../local/state-folder.ts';
import { isArchive } from '../../runtime/archive/archive.ts';
import { shellQuoted } from '../../runtime/commands.ts';
import { type AuditEntry, audited } from '../../runtime/dead-letters/audit-log.ts';
import type { AnyConsumer } from '../../runtime/delivery/consumer.ts';
import { MillraceError } from '../../runtime/errors.ts';
import { type LoadedApp, loadApp } from '../app.ts';
import { otherNames } from '../consumers.ts';
import { hint, type Place } from '../hints.ts';
import { either } from '../terminal.ts';
import { type GenerationHost, type HostOptions, openGenerationHost } from './host.ts';

export interface SessionOptions extends HostOptions {
  readonly yes?: true;
  readonly json?: true;
}

export interface Session {
  readonly consumer: AnyConsumer;
  readonly folder: StateFolder;
  readonly host: GenerationHost;
  /** A command about the same consumer at the same place, for a person to copy. */
  next(words: readonly string[]): string;
  /** Does something with an entry in the consumer's audit log, before it begins and after it. */
  audited<Result extends Readonly<Record<string, unknown>>>(
    entry: Pick<AuditEntry, 'id' | 'action' | 'plan'>,
    act: () => Promise<Result>,
  ): Promise<Result>;
}

/** Opens a session for the work, and closes it whatever happens. @throws INPUT_INVALID where there is no such consumer */
export async function inSession<Result>(
  name: string,
  options: SessionOptions,
  work: (session: Session) => Promise<Result>,
): Promise<Result> {
  const app = await loadApp();
  const consumer = consumerWithTables(app, name);
  const folder = existingStateFolder(options.state);
  const host = await openGenerationHost(app, consumer, folder, options);
  try {
    return await work({
      consumer,
      folder,
      host,
      next: (words) => hintWithSink(words, options),
      audited: (entry, act) =>
        audited(
          { objects: host.stores.deadLettersOf(consumer).objects, clock: systemClock },
          { ...entry, consumer: consumer.name, who: localUser() },
          act,
        ),
    });
  } finally {
    await host.close();
  }
}

/** A command that reaches the sink, for a person to copy. */
export function hintWithSink(
  words: readonly string[],
  { postgres, archive, ...place }: Place & Pick<HostOptions, 'postgres' | 'archive'>,
): string {
  return [
    hint(words, place),
    ...(postgres === undefined ? [] : ['--postgres', shellQuoted(withoutPassword(postgres))]),
    ...(archive === undefined ? [] : ['--archive', shellQuoted(`s3://${archive}`)]),
  ].join(' ');
}

/** @throws INPUT_INVALID where there is no such consumer, or it is an archive */
export function consumerWithTables({ consumers }: LoadedApp, name: string): AnyConsumer {
  const found = consumers.find((each) => each.name === name);
  if (found && !isArchive(found)) return found;
  const names = consumers.filter((each) => !isArchive(each)).map((each) => each.name);
  throw new MillraceError(
    'INPUT_INVALID',
    found
      ? `${name} is an archive and has no tables. Use ${either(names)}.`
      : `There is no consumer ${JSON.stringify(name)}.${otherNames(name, names)}`,
    { details: { consumer: name } },
  );
}

/** What a person copies must not have it; PGPASSWORD may. */
function withoutPassword(postgres: string): string {
  const url = new URL(postgres);
  url.password = '';
  return url.href;
}
