/** npm, and the command line that it installs. */
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { Failed } from './failures.ts';

const ARGUMENTS = ['install', '--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error'];

/** The last lines of what npm printed: its own log has the rest. */
const SHOWN_LINES = 8;

/** @throws Failed with the cause and what to do about it */
export async function installPackages(root: string, signal: AbortSignal): Promise<void> {
  const done = showProgress('Installing packages');
  const { code, output, error } = await runProcess(...npm(), { root, signal }).finally(done);
  if (code === 0) return;
  if (error) {
    throw new Failed(
      `npm could not be started (${error.code ?? error.message}). Install Node with npm from https://nodejs.org and run this again.`,
    );
  }
  throw new Failed(describeFailure(output));
}

/** In one sentence where the cause is a known one; else with the end of what npm printed. */
function describeFailure(output: string): string {
  const missing =
    /'([^'\s]+)' (?:could not be found|is not in this registry)|No matching version found for (\S+?)\.?\s/.exec(
      output,
    );
  if (/E404|ETARGET|ENOVERSIONS/.test(output)) {
    const what = missing?.[1] ?? missing?.[2] ?? 'a package';
    return `The npm registry has no ${what}. Give a version that it has, or a packed file, with --millrace, and run this again.`;
  }
  const [network] =
    /ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ECONNRESET|ETIMEDOUT|ENETUNREACH|EHOSTUNREACH/.exec(output) ?? [];
  if (network)
    return `npm could not reach its registry (${network}). Check the network, the proxy and "npm config get registry", and run this again.`;
  if (output.includes('ENOSPC'))
    return 'The disk has no room for the packages. Make room and run this again.';
  const last = output.trim().split('\n').slice(-SHOWN_LINES).join('\n');
  return `npm could not install the packages:\n${last}\nCorrect the cause and run this again.`;
}

/** @throws Failed with what the command line said */
export async function addPipeline(
  root: string,
  { topic, consumer }: { readonly topic: string; readonly consumer: string },
  signal: AbortSignal,
): Promise<void> {
  const millrace = join(root, 'node_modules/millrace/bin/launch.mjs');
  for (const args of [
    ['contract', topic],
    ['consumer', consumer, '--topic', topic],
  ]) {
    const { code, output } = await runProcess(process.execPath, [millrace, 'add', ...args], { root, signal });
    if (code !== 0) throw new Failed(`millrace add ${args.join(' ')} failed:\n${output.trim()}`);
  }
}

/** The npm that runs this, if it does: there may be several. */
function npm(): [command: string, args: readonly string[]] {
  const script = process.env.npm_execpath;
  return script && /npm-cli\.[cm]?js$/.test(script)
    ? [process.execPath, [script, ...ARGUMENTS]]
    : ['npm', ARGUMENTS];
}

interface Finished {
  readonly code: number | null;
  /** stdout and stderr, as they came. */
  readonly output: string;
  /** Why it was not started. */
  readonly error?: NodeJS.ErrnoException;
}

function runProcess(
  command: string,
  args: readonly string[],
  { root, signal }: { readonly root: string; readonly signal: AbortSignal },
): Promise<Finished> {
  return new Promise((resolve) => {
    let output = '';
    const child = spawn(command, args, { cwd: root, stdio: ['ignore', 'pipe', 'pipe'], signal });
    for (const stream of [child.stdout, child.stderr])
      stream.setEncoding('utf8').on('data', (text: string) => {
        output += text;
      });
    let error: NodeJS.ErrnoException | undefined;
    child.on('error', (cause) => {
      // An abort ends the process, which is waited for.
      if (cause.name !== 'AbortError') error = cause;
      if (child.pid === undefined) resolve({ code: null, output, error: cause });
    });
    child.on('close', (code) => resolve({ code, output, ...(error && { error }) }));
  });
}

/** A line that counts the seconds where a person looks; one line where nobody does. Gives what ends it. */
function showProgress(what: string): () => void {
  const { stderr } = process;
  const startedAt = Date.now();
  const seconds = () => `${Math.round((Date.now() - startedAt) / 1_000)} s`;
  if (!stderr.isTTY) {
    stderr.write(`${what} …\n`);
    return () => {};
  }
  const draw = () => stderr.write(`\r${what} … ${seconds()}`);
  draw();
  const timer = setInterval(draw, 1_000);
  return () => {
    clearInterval(timer);
    stderr.write(`\r${what} … ${seconds()}\n`);
  };
}
