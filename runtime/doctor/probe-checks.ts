/** What a probe's way says. Pure. */
import type { ProbeReport } from '../probe/probe.ts';
import { type Line, linesOf, type Observed } from './line.ts';

/**
 * One line a step: the record in the topic, its offset in the ledger, its row in the sink. Ledger and row commit together.
 * @param next what to look at where the record got stuck
 */
export function judgeProbe(seen: Observed<ProbeReport>, next: string): readonly Line[] {
  const step = (subject: string) => linesOf('probe', subject);
  if ('problem' in seen) {
    return [
      step('published').fail(seen.problem, next),
      ...['ledger', 'sink'].map((each) => notReached(each)),
    ];
  }
  const { topic, partition, offset, publishedMs, settledMs, appliedMs } = seen.value;
  const at = `${topic}-${partition} at ${offset}`;
  return [
    step('published').pass(`${at}, after ${publishedMs} ms.`),
    settledMs === null
      ? step('ledger').fail(`${at} was not settled in time.`, next)
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
