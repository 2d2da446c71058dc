/** What `millrace doctor` says: one line a fact, and what it rests on. */
import { reasonOf } from '../errors.ts';

/** `unknown` is printed as "cannot tell": nothing was observed, or what was observed does not decide it. */
export type Verdict = 'pass' | 'fail' | 'unknown';

export interface Line {
  /** What was checked, as docs/doctor.md lists it: `mapping`, `topic` … */
  readonly check: string;
  /** Whose: a consumer, a topic, a stack. */
  readonly subject: string;
  readonly verdict: Verdict;
  /** What was seen, in AWS's own words where there are some. */
  readonly evidence: string;
  /** What to do, a command where one does it; null on a pass. */
  readonly fix: string | null;
}

/** A value that was seen, or why it was not. What was not seen never passes. */
export type Observed<Value> = { readonly value: Value } | { readonly problem: string };

export interface LineMaker {
  pass(evidence: string): Line;
  fail(evidence: string, fix: string): Line;
  unknown(evidence: string, fix: string): Line;
  /** For what could not be observed. */
  unseen(problem: string): Line;
}

/** How AWS's services and Kafka say that the credentials are not allowed to ask. */
const REFUSED = /AccessDenied|Unauthorized|Forbidden|not authorized|KAFKA_REFUSED/i;
const ALLOW = 'Allow this call for your credentials (docs/doctor.md lists the calls), and run this again.';
const AGAIN = 'Run this again. If it stays, ask the same with the AWS CLI.';

/** Lines of one check about one subject. */
export function linesOf(check: string, subject: string): LineMaker {
  const line = (verdict: Verdict, evidence: string, fix: string | null): Line => ({
    check,
    subject,
    verdict,
    evidence,
    fix,
  });
  return {
    pass: (evidence) => line('pass', evidence, null),
    fail: (evidence, fix) => line('fail', evidence, fix),
    unknown: (evidence, fix) => line('unknown', evidence, fix),
    unseen: (problem) => line('unknown', problem, REFUSED.test(problem) ? ALLOW : AGAIN),
  };
}

/** Runs a look at the outside. A failure becomes its reason, in one line. */
export async function observe<Value>(look: () => Promise<Value>): Promise<Observed<Value>> {
  try {
    return { value: await look() };
  } catch (error) {
    return { problem: reasonOf(error instanceof Error ? error : new Error(String(error))) };
  }
}
