import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { jdk } from '../../../local/parts/prerequisites.ts';

/** Runs a driver of this folder, which the JDK compiles as it starts: JSON lines in, as many out. */
export async function runJava<Line, Answer>(
  driver: 'GlueSerde' | 'AvroCompatibility' | 'AvroReading',
  classPath: string,
  args: readonly string[],
  lines: readonly Line[],
): Promise<readonly Answer[]> {
  const source = fileURLToPath(new URL(`${driver}.java`, import.meta.url));
  const child = spawn(jdk.find()!, ['-Xmx512m', '-cp', classPath, source, ...args]);
  const output = Promise.all([text(child.stdout), text(child.stderr), once(child, 'close')]);
  // A driver that fails closes its input; what it prints says more than that.
  child.stdin.on('error', () => {});
  child.stdin.end(lines.map((line) => `${JSON.stringify(line)}\n`).join(''));
  const [answers, errors, [code]] = await output;
  if (code !== 0) throw new Error(`${driver} ended with ${code}: ${errors.slice(-4_000)}`);
  return answers
    .trimEnd()
    .split('\n')
    .map((answer) => JSON.parse(answer));
}
