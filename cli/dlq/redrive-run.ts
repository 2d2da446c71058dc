/** Planning a redrive and doing it, without a terminal: "dlq redrive" and the console have it from here. */
import { randomUUID } from 'node:crypto';
import { systemClock } from '../../adapters/system/system-clock.ts';
import {
  beginJournal,
  findJournal,
  type OpenJournal,
  type RedriveRequest,
} from '../../local/redrive-journal.ts';
import { type ChosenLetters, chooseLetters } from '../../runtime/dead-letters/redrive/plan.ts';
import {
  type RedriveEnd,
  type RedriveOptions,
  type RedriveProgress,
  runRedrive,
  type Steering,
} from '../../runtime/dead-letters/redrive/send.ts';
import type { LetterFilter } from '../../runtime/dead-letters/triage.ts';
import type { AnyConsumer } from '../../runtime/delivery/consumer.ts';
import { MillraceError } from '../../runtime/errors.ts';
import { hint } from '../hints.ts';
import type { PostgresOptions } from '../outside-options.ts';
import { count, plural } from '../terminal.ts';
import type { PlanWords } from './confirmation.ts';
import { withFunction } from './consumer-function.ts';
import { describeFilter, noneMatch, whereText } from './options.ts';
import { markedReader, refusesOvertaken } from './overtaken.ts';
import { type FolderMark, folderMark, requireSameFolder } from './planned-folder.ts';
import { auditedAt, type DlqSession, type DlqSessionOptions } from './session.ts';

export interface RedriveAsk extends DlqSessionOptions, PostgresOptions {
  readonly where: LetterFilter;
  readonly rate: number;
  readonly canary: number;
  readonly maxFailures: number;
  /** Seconds without a result. */
  readonly wait: number;
  readonly allowOvertaken?: true;
}

export interface PlannedRedrive {
  readonly filter: LetterFilter;
  readonly request: RedriveRequest;
  readonly settings: RedriveOptions;
  readonly chosen: ChosenLetters;
  /** The same redrive, killed before its end: its journal is gone on with. */
  readonly killed: OpenJournal | undefined;
  /** Why nobody could tell which letters were overtaken. */
  readonly problem: string | undefined;
  readonly folder: FolderMark;
}

/**
 * What a redrive would give back. Changes nothing.
 * @param declared the session's consumer, as the app declares it
 */
export async function planRedrive(
  session: DlqSession,
  declared: AnyConsumer,
  ask: RedriveAsk,
): Promise<PlannedRedrive> {
  const { consumer, at, folder, resources } = session;
  const plannedIn = folderMark(session.place);
  const mayBeOvertaken = ask.allowOvertaken === true;
  const request = { consumer: consumer.name, at, where: describeFilter(ask.where), mayBeOvertaken };
  const killed = findJournal(folder.files.redrives, request);
  const marked = await markedReader(session, ask);
  const chosen =
    killed?.plan ??
    (await chooseLetters(
      { reader: marked.reader, objects: resources.objects },
      { filter: ask.where, mayBeOvertaken, inOrder: keepsOrder(declared) },
    ));
  const settings = {
    ratePerSecond: ask.rate,
    canary: ask.canary,
    maxFailures: ask.maxFailures,
    patienceMs: ask.wait * 1_000,
  };
  return {
    filter: ask.where,
    request,
    settings,
    chosen,
    killed,
    problem: marked.problem(),
    folder: plannedIn,
  };
}

/** Letters of a key are sent in order where their effects depend on it. */
function keepsOrder(consumer: AnyConsumer): boolean {
  return consumer.onDeadLetter === 'park-key' || refusesOvertaken(consumer);
}

export interface RedriveHooks {
  readonly onProgress: (progress: RedriveProgress, isCanary: boolean) => void;
  readonly steering: () => Steering;
}

/**
 * Gives the planned letters back, with a journal and an entry in the audit log. Once it is cancelled, no redrive goes on with it,
 * also where this process is killed before what was sent has its results.
 * @throws REDRIVE_STOPPED, and what `runRedrive` throws; STATE_IN_USE while the consumer's letters are discarded, or another process
 * goes on with the same redrive; INPUT_INVALID if another has ended it, or the state folder was cleared, since it was planned
 */
export async function doRedrive(
  session: DlqSession,
  { request, settings, chosen, killed, folder }: PlannedRedrive,
  { postgres }: PostgresOptions,
  { onProgress, steering }: RedriveHooks,
): Promise<RedriveEnd & { readonly redrive: string }> {
  requireSameFolder(folder, session.place);
  const { consumer, mayBeOvertaken, where } = request;
  const journal =
    killed ??
    beginJournal(session.folder.files.redrives, request, {
      id: randomUUID(),
      consumer,
      mayBeOvertaken,
      ...chosen,
    });
  const steered = () => {
    const wanted = steering();
    if (wanted === 'cancel') journal.end();
    return wanted;
  };
  const { id, letters, leftOut } = journal.plan;
  const plan = { where, letters: letters.size, leftOut, mayBeOvertaken, ...settings };
  const ports = { ...session.resources, clock: systemClock, steering: steered };
  return withFunction(session, postgres, async () => {
    const lock = journal.take();
    try {
      const end = await auditedAt(session, { id, action: 'redrive', plan }, async () => ({
        ...(await runRedrive(journal, ports, settings, onProgress)),
      }));
      journal.end();
      return { ...end, redrive: id };
    } catch (error) {
      // What a person has to look at first is not gone on with; an outage is.
      if (error instanceof MillraceError && error.code === 'REDRIVE_STOPPED') journal.end();
      throw error;
    } finally {
      lock.release();
    }
  });
}

/** Of a redrive that was killed, and that this one goes on with. */
export function goingOnText({ plan, begunAt, sent }: OpenJournal): string {
  return `Going on with redrive ${plan.id} of ${begunAt}: ${count(sent.size)} of ${count(plan.letters.size)} were sent.`;
}

/** What is said where no letter is left to give back: first what is so, then what to do. */
export function nothingLines(planned: PlannedRedrive, session: DlqSession): readonly string[] {
  const { leftOut } = planned.chosen;
  if (leftOut === 0) return [noneMatch(session.named, planned.filter)];
  return [
    `Nothing to do: ${leftOut === 1 ? 'the letter is' : `all ${count(leftOut)} are`} overtaken.`,
    ...overtakenLines(session, planned.filter),
  ];
}

export function redriveWords({ request, settings, chosen, problem }: PlannedRedrive): PlanWords {
  const { consumer, at, where, mayBeOvertaken } = request;
  const { canary, ratePerSecond, maxFailures } = settings;
  const { letters, leftOut, passing } = chosen;
  const order =
    canary > 0 && canary < letters.size
      ? `${plural(canary, 'letter')} first, then the others if those were applied`
      : 'all at once';
  const overtaken: PlanWords['facts'] = mayBeOvertaken
    ? [['', 'overtaken ones too: they may overwrite newer state']]
    : [
        ...(leftOut > 0 ? [['without', plural(leftOut, 'overtaken letter')] as const] : []),
        ...(problem === undefined ? [] : [['', unknownText(problem)] as const]),
      ];
  return {
    head: `Redrive ${plural(letters.size, 'dead letter')} of ${consumer} (${at})`,
    facts: [
      ['which', where],
      ...overtaken,
      ...(passing > 0 ? [['', passingText(passing)] as const] : []),
      ['how', `${order}; at most ${count(ratePerSecond)} a second`],
      ['', `stops when ${count(maxFailures)} have failed again`],
    ],
  };
}

function passingText(passing: number): string {
  const [come, their] = passing === 1 ? ['1 comes', 'its key'] : [`${count(passing)} come`, 'their keys'];
  return `${come} after a letter of ${their} that is not among them: redrive or discard that one first`;
}

/** The consumer knows, whatever is known here. */
function unknownText(problem: string): string {
  return `Which letters are overtaken cannot be read here, so the consumer refuses them as they come. ${problem}`;
}

/** How far it is, in a line. */
export function progressText(
  { sent, applied, alreadyApplied, failed, overtaken }: RedriveProgress,
  { chosen: { letters, leftOut } }: PlannedRedrive,
): string {
  const refused = overtaken - leftOut;
  return (
    `${count(sent)} of ${count(letters.size)} sent, ${count(applied + alreadyApplied)} applied, ${count(failed)} failed again` +
    (refused > 0 ? `, ${count(refused)} overtaken` : '')
  );
}

/** What the redrive has come to, and what to do next. */
export function redriveEndLines(
  end: RedriveEnd,
  { chosen: { leftOut }, filter }: PlannedRedrive,
  session: DlqSession,
): readonly string[] {
  const { planned, sent, applied, alreadyApplied, failed, overtaken, remaining, cancelled } = end;
  const unsent = planned - leftOut - sent;
  const heldBack = cancelled ? 0 : end.heldBack;
  const gone = cancelled ? 0 : unsent - heldBack;
  const waiting = remaining - unsent;
  if (applied === 0 && alreadyApplied === planned) {
    const which = planned === 1 ? 'the letter' : `all ${count(planned)}`;
    return [`Nothing to do: ${which} had been applied already.`];
  }
  const parts = [
    `${count(applied)} applied`,
    alreadyApplied > 0 ? `${count(alreadyApplied)} had been applied already` : '',
    failed > 0 ? `${count(failed)} failed again` : '',
    overtaken > 0 ? `${count(overtaken)} overtaken (they stay dead letters)` : '',
    heldBack > 0 ? `${count(heldBack)} not sent (an earlier letter of their key was not applied)` : '',
    cancelled ? `${count(unsent)} not sent (they stay dead letters)` : '',
    waiting > 0 ? `${count(waiting)} without a result yet (they stay in the redrive queue)` : '',
    gone > 0 ? `${count(gone)} gone (somebody else redrove or discarded them)` : '',
  ];
  return [
    ...(cancelled ? [cancelledText(sent, sent + unsent)] : []),
    `${parts.filter(Boolean).join(', ')}.`,
    ...(failed > 0 ? [whyText(session)] : []),
    ...(overtaken > 0 ? overtakenLines(session, filter) : []),
  ];
}

function cancelledText(sent: number, letters: number): string {
  if (sent === 0) return 'Cancelled before anything was sent.';
  const what = sent === 1 ? '1 letter was sent, and cannot' : `${count(sent)} letters were sent, and cannot`;
  return `Cancelled: ${what} be taken back; the plan had ${count(letters)}.`;
}

export function whyText({ named, place }: DlqSession): string {
  return `To see why: ${hint(['dlq', 'triage', '--consumer', named], place)}`;
}

function overtakenLines({ named, place }: DlqSession, filter: LetterFilter): readonly string[] {
  const text = whereText({ ...filter, overtaken: true });
  const words = ['--consumer', named, ...(text === undefined ? [] : ['--where', text])];
  return [
    `To see them: ${hint(['dlq', 'list', ...words], place)}`,
    'To apply them all the same, over newer state:',
    `  ${hint(['dlq', 'redrive', ...words, '--allow-overtaken'], place)}`,
  ];
}
