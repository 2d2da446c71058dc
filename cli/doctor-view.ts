/** The lines of `millrace doctor` for a person. */
import type { Line, Verdict } from '../runtime/doctor/line.ts';
import { count, styled, wrapped } from './terminal.ts';

const MARKS: Readonly<Record<Verdict, string>> = { pass: 'ok  ', unknown: '?   ', fail: 'FAIL' };
const STYLES = { pass: 'green', unknown: 'yellow', fail: 'red' } as const;
/** What is wrong comes last, where a terminal shows it. */
const ORDER: readonly Verdict[] = ['pass', 'unknown', 'fail'];
const INDENT = 6;

export function doctorLines(lines: readonly Line[], columns: number): readonly string[] {
  return ORDER.flatMap((verdict) => {
    const those = lines.filter((line) => line.verdict === verdict);
    return those.flatMap((line) => linesFor(line, columns));
  });
}

function linesFor({ check, subject, verdict, evidence, fix }: Line, columns: number): readonly string[] {
  const mark = styled(STYLES[verdict], MARKS[verdict]);
  const [first = '', ...rest] = wrapped(`${check} ${subject}: ${evidence}`, columns - INDENT, 2);
  return [
    `${mark}  ${first}`,
    ...rest.map((line) => `${' '.repeat(INDENT)}${line}`),
    // Not wrapped: a command has to survive being copied.
    ...(fix === null ? [] : [`${' '.repeat(INDENT)}${styled('bold', 'Fix:')} ${fix}`]),
  ];
}

export function tallyLine({
  failed,
  unknown,
  passed,
}: Readonly<Record<'failed' | 'unknown' | 'passed', number>>): string {
  const text = `${count(failed)} failed, ${count(unknown)} cannot tell, ${count(passed)} passed`;
  return styled(failed > 0 ? 'red' : 'green', text);
}
