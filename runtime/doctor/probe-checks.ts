/** What a probe's way says. Pure. */
import type { ProbeFailure, ProbeReport } from '../probe/probe.ts';
import { type Line, linesOf, type Observed } from './line.ts';

/**
 * One line a step: the record in the topic, its offset in the ledger, its row in the sink. Ledger and row commit together.
 * Whoever sends it may fail, which is a fault; nobody may be there to ask, or to answer us, which is not seen.
 * @param next what to look at where the record got stuck
 */
export function judgeProbe(seen: Observed<ProbeReport | ProbeFailure>, next: string): readonly Line[] {
  const step = (subject: string) => linesOf('probe', subject);
  if ('problem' in seen)
    return [step('published').unseen(seen.problem), notReached('ledger'), notReached('sink')];
  if ('failure' in seen.value) {
    return [step('published').fail(seen.value.failure, next), notReached('ledger'), notReached('sink')];
  }
  const { topic, partition, offset, publishedMs, settledMs, appliedMs, unread } = seen.value;
  const at = `${topic}-${partition} at ${offset}`;
  return [
    step('published').pass(`${at}, after ${publishedMs} ms.`),
    settledMs === null
      ? step('ledger').fail(
          unread ? `The sink could not be read: ${unread}` : `${at} was not settled in time.`,
          next,
        )
      : step('ledger').pass(`Settled after ${settledMs} ms.`),
    appliedMs === null
      ? settledMs === null
        ? notReached('sink')
        : step('sink').fail('The ledger counts it as settled, and its row is missing.', next)
      : step('sink').pass(`Applied after ${appliedMs} ms.`),
  ];

  function notReached(subject: string): Line {
    return step(subject).unknown('The record did not come this far.', 'Correct the line before it first.');
  }
}
