/** What people have done to one letter, as far as the audit log tells. */
import type { AuditRow } from '../../console/operations.ts';
import { isDate } from '../../runtime/dates.ts';
import { type AuditEntry, readAuditLog } from '../../runtime/dead-letters/audit-log.ts';
import {
  factsOf,
  type LetterFacts,
  type LetterFilter,
  matchesFacts,
} from '../../runtime/dead-letters/triage.ts';
import type { DeadLetter } from '../../runtime/delivery/dead-letter.ts';
import type { LetterOffsets } from '../../runtime/replay/evidence.ts';
import { parseWhere } from '../dlq/options.ts';
import type { DlqSession } from '../dlq/session.ts';
import { auditRow, unreadableRow } from './audit.ts';

/**
 * Newest first: entries that name the letter, and those whose conditions it met, by its failure now or one before a redrive.
 * Of an entry that cannot be read nobody knows whether it is about the letter, so it is among them.
 */
export async function historyOf(
  letter: DeadLetter,
  { auditLogs, named }: Pick<DlqSession, 'auditLogs' | 'named'>,
): Promise<readonly AuditRow[]> {
  // Nothing was done to it before it was a letter.
  const from = isoText(letter.failure.firstFailedAt);
  const rows: AuditRow[] = [];
  for (const objects of auditLogs) {
    const { entries, unreadable } = await readAuditLog(objects, from);
    const about = entries.filter((entry) => entry.consumer === letter.consumer && isAbout(entry, letter));
    rows.push(...about.map((entry) => auditRow(entry, named, entry.id)));
    rows.push(...unreadable.map((entry) => unreadableRow(entry, named)));
  }
  return rows.sort((a, b) => b.begunAt.localeCompare(a.begunAt));
}

function isAbout({ action, plan, progress }: AuditEntry, letter: DeadLetter): boolean {
  if (plan.letter === letter.id) return true;
  const offsets = progress?.offsets ?? plan.offsets;
  if (Array.isArray(offsets)) return offsets.some((each: LetterOffsets) => isAmong(letter, each));
  // A move takes the whole queue.
  if (action === 'move') return true;
  return (action === 'redrive' || action === 'discard') && hasMet(letter, plan.where);
}

function isAmong({ epoch, record }: DeadLetter, of: LetterOffsets): boolean {
  return (
    of?.topic === record.topic &&
    of.epoch === epoch &&
    of.partition === record.partition &&
    Array.isArray(of.ranges) &&
    of.ranges.some((range) => record.offset >= range?.[0] && record.offset < range?.[1])
  );
}

/** Of earlier failures only the stage, the code and the time are known; whether it was overtaken then, nobody knows. */
function hasMet(letter: DeadLetter, where: unknown): boolean {
  const filter = filterIn(where);
  if (!filter) return false;
  const { overtaken: _, ...conditions } = filter;
  const { at: __, ...before } = conditions;
  const facts = factsOf({ letter, ref: '', storedAt: 0, payload: null, message: null });
  const earlier = letter.failure.earlier.map(
    ({ code, stage, failedAt }): LetterFacts => ({
      ...facts,
      errorCode: code,
      stage,
      lastFailedAt: failedAt,
    }),
  );
  return matchesFacts(facts, conditions) || earlier.some((each) => matchesFacts(each, before));
}

/** The conditions as an entry has them, in words; undefined where this version does not know them. */
function filterIn(where: unknown): LetterFilter | undefined {
  if (where === 'all') return {};
  if (typeof where !== 'string') return undefined;
  try {
    return parseWhere(where);
  } catch {
    return undefined;
  }
}

function isoText(epochMs: number): string {
  return isDate(epochMs) ? new Date(epochMs).toISOString() : '';
}
