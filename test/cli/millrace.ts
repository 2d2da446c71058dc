import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { childEnvironment } from '../child-environment.ts';
import { NEWSDESK, ROOT } from '../newsdesk.ts';

export interface Finished {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs the command line in a project's folder, the project's own where it has one, and gives what it printed and how it ended. */
export async function millrace(args: readonly string[], input = '', project = NEWSDESK): Promise<Finished> {
  const child = start(args, project);
  child.stdin!.end(input);
  return finished(child);
}

/** What a process has printed, once it has ended. */
export async function finished(child: ChildProcess): Promise<Finished> {
  const output = { stdout: '', stderr: '' };
  for (const name of ['stdout', 'stderr'] as const) {
    child[name]!.setEncoding('utf8').on('data', (text) => {
      output[name] += text;
    });
  }
  const [code] = await once(child, 'close');
  return { code, ...output };
}

/** The last line of stdout, as JSON, of a command that has to succeed. */
export async function millraceJson(args: readonly string[], input = '', project = NEWSDESK) {
  const { code, stdout, stderr } = await millrace([...args, '--json'], input, project);
  if (code !== 0) throw new Error(`millrace ${args.join(' ')} ended with ${code}: ${stderr}`);
  return JSON.parse(stdout.trimEnd().split('\n').at(-1)!);
}

/** What `status` or `lag` prints, whichever verdicts its exit code tells. */
export async function millraceVerdicts(args: readonly string[], project = NEWSDESK) {
  const { code, stdout, stderr } = await millrace([...args, '--json'], '', project);
  if (stdout === '') throw new Error(`millrace ${args.join(' ')} ended with ${code}: ${stderr}`);
  return { code, printed: JSON.parse(stdout) };
}

/** Starts the command line and lets it run. */
export function start(args: readonly string[], project = NEWSDESK): ChildProcess {
  const bin = join(existsSync(join(project, 'bin/millrace.ts')) ? project : ROOT, 'bin/millrace.ts');
  const child = spawn(process.execPath, [bin, ...args], {
    cwd: project,
    env: childEnvironment(),
    stdio: 'pipe',
  });
  // A test that failed half-way must not leave a pipeline running on a folder that is gone.
  const kill = () => child.kill('SIGKILL');
  process.once('exit', kill);
  child.once('exit', () => process.removeListener('exit', kill));
  return child;
}

/** All rows of the tables that the newsdesk's consumer writes, as the newsroom's does, in one order. */
export const TABLES = `
  select content_id as id, minute::text as at, views as n, engaged_ms from article_minute
  union all
  select session_id, first_seen || ' ' || last_seen, pageviews, engaged_ms from session_engagement
  order by 1, 2`;

/** Waits for something another process does; the test's own timeout is the bound. */
export async function until(condition: () => Promise<boolean>): Promise<void> {
  while (!(await condition())) await sleep(20);
}
