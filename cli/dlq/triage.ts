import { Command, InvalidArgumentError } from 'commander';
import { fetchIfKept } from '../../runtime/dead-letters/queue-letters.ts';
import type { StoredLetter } from '../../runtime/dead-letters/reader.ts';
import {
  type LetterFilter,
  type LetterGroup,
  matches,
  SPLITS,
  type Split,
  Triage,
} from '../../runtime/dead-letters/triage.ts';
import { timestampText } from '../../runtime/record.ts';
import { jsonOption, stateFlag } from '../options.ts';
import { count, printable, printJson, printLine, printNote, styled } from '../terminal.ts';
import { valueText, writtenValueOf } from './letter-view.ts';
import { consumerOption, noneMatch, WHERE_HELP, whereOption } from './options.ts';
import { chooseConsumer, type DlqSession, type DlqSessionOptions, inDlqSession } from './session.ts';

const EXAMPLE = `
Example:
  millrace dlq triage
  millrace dlq triage --by partition,schema --where since=2h
  millrace dlq triage --env prod --consumer editorial-analytics --json
${WHERE_HELP}

On AWS, looking hides what it shows from others until it is over, for a minute at most: SQS shows messages in no other way.`;

const DAY_MS = 86_400_000;

interface TriageOptions extends DlqSessionOptions {
  readonly consumer?: string;
  readonly where: LetterFilter;
  readonly by: readonly Split[];
  readonly showValues?: true;
  readonly json?: true;
}

export function triageCommand(): Command {
  return new Command('triage')
    .description(
      'Groups dead letters by what went wrong: error code, stage and topic; with how many, since when, and one of them.',
    )
    .addOption(consumerOption())
    .addOption(whereOption())
    .option('--by <facts>', 'split groups further: partition, schema, or both with a comma', splits, [])
    .option('--show-values', 'show what the sample holds, and its error in full; else only its shape')
    .addOption(jsonOption('print {"groups": […]}'))
    .addHelpText('after', EXAMPLE)
    .action(async (options: TriageOptions) => {
      await inDlqSession(await chooseConsumer(options.consumer), options, async (session) => {
        const triage = new Triage(session.consumer.name, options.by);
        const samples = new Map<string, StoredLetter>();
        for await (const copy of session.resources.reader.scan()) {
          if (!matches(copy, options.where)) continue;
          if (triage.add(copy) && 'letter' in copy) samples.set(copy.letter.id, copy);
        }
        const groups = await Promise.all(
          triage
            .groups()
            .map((group) =>
              withSample(group, samples.get(group.sample.id), session, options.showValues === true),
            ),
        );
        if (options.json) printJson({ groups });
        else if (groups.length === 0) printLine(noneMatch(session.consumer.name, options.where));
        else printGroups(groups, session, options);
      });
    });
}

type ShownGroup = Awaited<ReturnType<typeof withSample>>;

async function withSample(
  group: LetterGroup,
  stored: StoredLetter | undefined,
  session: DlqSession,
  showValues: boolean,
) {
  const { retentionMs } = session;
  const { id, name, message } = group.sample;
  const letter = stored && (await fetchIfKept(stored, session.resources.objects));
  const value = letter ? valueText(await writtenValueOf(letter, session), !showValues) : '(cannot be read)';
  return {
    ...group,
    oldestAgeMs: Date.now() - group.oldestStoredAt,
    retentionMs,
    // A message can quote what the record holds.
    sample: { id, name, ...(showValues && { message }), value },
  };
}

function printGroups(
  groups: readonly ShownGroup[],
  { consumer, at, retentionMs }: DlqSession,
  { showValues, state, env }: TriageOptions,
): void {
  for (const group of groups) {
    const of = [
      group.stage,
      group.topic,
      group.partition === undefined ? '' : `partition ${group.partition}`,
      group.schemaId === undefined ? '' : `schema ${group.schemaId}`,
    ].filter(Boolean);
    printLine(
      `${styled('bold', count(group.count).padStart(6))}  ${styled('yellow', printable(group.errorCode))}  ${printable(of.join(', '))}`,
    );
    const detail = (name: string, text: string) =>
      printLine(`        ${styled('dim', name.padEnd(9))}${printable(text)}`);
    detail('since', `${timestampText(group.firstSeenAt)}, last ${timestampText(group.lastSeenAt)}`);
    const age = `${duration(group.oldestAgeMs)} old`;
    detail(
      'oldest',
      retentionMs === null ? age : `${age}, of the ${duration(retentionMs)} that the queue keeps it`,
    );
    detail('sample', group.sample.id);
    detail('', `${group.sample.name}${'message' in group.sample ? `: ${group.sample.message}` : ''}`);
    detail('value', group.sample.value);
  }
  if (!showValues) printNote('(--show-values shows what the samples hold)');
  const where = env === undefined ? stateFlag(state) : ` --env ${env}`;
  printNote(
    `(in ${at}; give a group back with "npx millrace dlq redrive --consumer ${consumer.name}${where} --where error=${groups[0]!.errorCode}")`,
  );
}

function duration(ms: number): string {
  if (ms >= DAY_MS) return `${(ms / DAY_MS).toFixed(1)} days`;
  if (ms >= 3_600_000) return `${(ms / 3_600_000).toFixed(1)} hours`;
  return `${Math.max(0, Math.round(ms / 60_000))} minutes`;
}

function splits(text: string): readonly Split[] {
  return text.split(',').map((name) => {
    const split = SPLITS.find((each) => each === name.trim());
    if (split) return split;
    throw new InvalidArgumentError(`It takes ${SPLITS.join(', ')} or both with a comma between them.`);
  });
}
