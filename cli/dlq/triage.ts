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
  type Wording,
} from '../../runtime/dead-letters/triage.ts';
import { loadApp } from '../app.ts';
import { CommandFailed } from '../command-failed.ts';
import { jsonOption } from '../options.ts';
import { type PostgresOptions, postgresOption } from '../outside-options.ts';
import { columnsOf, epilogue, printJson, printLine, printNote, textColumnsOf } from '../terminal.ts';
import { isGuarded, keyText, stricter, type View, valueText, viewOf, writtenValueOf } from './letter-view.ts';
import { consumerOption, noneMatch, showValuesOption, WHERE_HELP, whereOption } from './options.ts';
import { markedReader, printUnknown } from './overtaken.ts';
import {
  type DlqSession,
  type DlqSessionOptions,
  generationNamed,
  inEachDlqSession,
  UNKNOWN_TOPIC,
} from './session.ts';
import { type ShownGroup, triageLines } from './triage-view.ts';

const EXAMPLE = `
Examples:
  millrace dlq triage
  millrace dlq triage --by partition,schema --where since=2h
  millrace dlq triage --by header:producer
  millrace dlq triage --env prod --consumer editorial-analytics --json
${WHERE_HELP}

On AWS, triage hides the letters it reads from others until it ends, for a
minute at most: SQS has no other way to show messages.`;

interface TriageOptions extends DlqSessionOptions, PostgresOptions {
  readonly consumer?: string;
  readonly where: LetterFilter;
  readonly by?: readonly Split[];
  readonly showValues?: true;
  readonly json?: true;
}

export function triageCommand(): Command {
  return new Command('triage')
    .description(
      "Groups dead letters by what went wrong: the error code, the error's name and the line that threw it. Shows the keys, the times and the next command of each group.",
    )
    .addOption(consumerOption())
    .addOption(whereOption())
    .option(
      '--by <facts>',
      'split groups further by partition, schema, key, message or header:NAME; several with commas',
      splits,
    )
    .addOption(showValuesOption('show one value and its error text for each group'))
    .addOption(postgresOption())
    .addOption(jsonOption('print {"groups": […]}'))
    .addHelpText('after', epilogue(EXAMPLE))
    .action(async (options: TriageOptions, command: Command) => {
      if (options.by?.includes('message') && !options.showValues) {
        command.error("error: '--by message' shows error texts, which can quote records. Add --show-values.");
      }
      const all: ShownGroup[] = [];
      const { consumers } = await loadApp();
      const names: string[] = [];
      const { isWhole } = await inEachDlqSession(options.consumer, options, async (session) => {
        const { consumer, named, place, retentionMs } = session;
        const groups = await groupsOf(session, options);
        names.push(named);
        if (options.json || groups.length === 0) return void all.push(...groups);
        if (all.length > 0) printLine();
        all.push(...groups);
        const lines = triageLines(groups, {
          consumer: named,
          isDeclared: generationNamed(consumer.name, consumers) !== undefined,
          where: options.where,
          place,
          nowMs: Date.now(),
          retentionMs,
          columns: columnsOf(),
          textColumns: textColumnsOf(),
          showsValues: options.showValues === true,
        });
        for (const line of lines) printLine(line);
      });
      if (options.json) printJson({ groups: all });
      else if (all.length === 0) printLine(noneMatch(names, options.where));
      else if (!options.showValues)
        printNote('\nAdd --show-values to see a value and the error text of each group.');
      if (!isWhole) throw new CommandFailed();
    });
}

async function groupsOf(session: DlqSession, options: TriageOptions): Promise<readonly ShownGroup[]> {
  const showsValues = options.showValues === true;
  const views = new Map<string, View>();
  const viewIn = (topic: string): View => views.get(topic) ?? { topic: UNKNOWN_TOPIC, showsValues };
  const wording: Wording = {
    key: (bytes, topic) => keyText(bytes, viewIn(topic)),
    header: (bytes, topic) =>
      bytes === null || !isGuarded(viewIn(topic))
        ? keyText(bytes, { topic: UNKNOWN_TOPIC, showsValues: true })
        : '(hidden)',
  };
  const triage = new Triage(session.consumer.name, wording, options.by);
  const samples = new Map<string, StoredLetter>();
  const { reader, problem } = await markedReader(session, options);
  for await (const copy of reader.scan()) {
    if (!matches(copy, options.where)) continue;
    if ('letter' in copy) {
      const { topic } = copy.letter.record;
      views.set(topic, stricter(await viewOf(copy, session, showsValues), views.get(topic)));
    }
    if (triage.add(copy) && 'letter' in copy) samples.set(copy.letter.id, copy);
  }
  printUnknown(problem());
  return Promise.all(
    triage
      .groups()
      .map((group) => withSample(group, samples.get(group.sample.id), session, viewIn(group.topic))),
  );
}

async function withSample(
  group: LetterGroup,
  stored: StoredLetter | undefined,
  session: DlqSession,
  view: View,
): Promise<ShownGroup & { readonly oldestAgeMs: number; readonly retentionMs: number | null }> {
  const { id, name, message } = group.sample;
  const letter = stored && (await fetchIfKept(stored, session.resources.objects));
  const value = letter
    ? valueText(await writtenValueOf(letter, session), view, !view.showsValues)
    : stored
      ? '(cannot be read)'
      : '(not kept: "dlq show" has it)';
  return {
    ...group,
    oldestAgeMs: Date.now() - group.oldestStoredAt,
    retentionMs: session.retentionMs,
    // A message can quote what the record holds.
    sample: { id, name, ...(view.showsValues && { message }), value },
  };
}

function splits(text: string): readonly Split[] {
  return text.split(',').map((each) => {
    const name = each.trim();
    const split = SPLITS.find((known) => known === name);
    if (split) return split;
    if (/^header:./.test(name)) return name as Split;
    throw new InvalidArgumentError(`Use ${SPLITS.join(', ')} or header:NAME; several with commas.`);
  });
}
