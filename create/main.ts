import { readFileSync } from 'node:fs';
import { basename, resolve } from 'node:path';
import { createInterface } from 'node:readline/promises';
import { parseArgs, styleText } from 'node:util';
import { Failed, Misused } from './failures.ts';
import { startGit } from './git.ts';
import { addPipeline, installPackages } from './packages.ts';
import { checkName, chooseFolder, chooseMillrace, finishProject, writeProject } from './project.ts';

const HELP = `Usage: npm create millrace@latest <folder> [-- options]

Writes a Millrace project into a new folder, and installs its packages: a
contract, a consumer with its test, a CDK app, a CI workflow.

Options:
  --topic <name>       the topic of its contract (default: shop.orders)
  --consumer <name>    the consumer of that topic (default: named after it,
                       such as order-counts)
  --millrace <what>    the version of Millrace, or a packed file such as
                       ../millrace-0.1.0.tgz
  -y, --yes            ask nothing; what is not given is the default
  --no-git             start no git repository
  --version            print the version
  -h, --help           print this

Example:
  npm create millrace@latest my-pipelines -- --yes`;

const DEFAULT_FOLDER = 'my-pipelines';
const DEFAULT_TOPIC = 'shop.orders';
const SECONDS = 1_000;

/** Creates the project that the command line asks for, and gives the exit code: 1 for a failure, 2 for wrong usage. */
export async function run(argv: readonly string[]): Promise<number> {
  const interrupted = new AbortController();
  const interrupt = () => interrupted.abort();
  process.once('SIGINT', interrupt).once('SIGTERM', interrupt);
  try {
    const { version } = JSON.parse(
      readFileSync(new URL(import.meta.resolve('create-millrace/package.json')), 'utf8'),
    );
    const options = read(argv);
    if (options.help) console.log(HELP);
    else if (options.version) console.log(version);
    else await create(await complete(options), version, interrupted.signal);
    return 0;
  } catch (error) {
    if (!(error instanceof Failed)) throw error;
    console.error(`${styleText('red', 'error:', { stream: process.stderr })} ${error.message}`);
    if (error instanceof Misused)
      console.error('Run "npm create millrace@latest -- --help" to see what it takes.');
    return interrupted.signal.aborted ? 130 : error.exitCode;
  } finally {
    process.off('SIGINT', interrupt).off('SIGTERM', interrupt);
  }
}

interface Options {
  readonly folder: string | undefined;
  readonly topic: string | undefined;
  readonly consumer: string | undefined;
  readonly millrace: string | undefined;
  readonly yes: boolean;
  readonly git: boolean;
  readonly help: boolean;
  readonly version: boolean;
}

function read(argv: readonly string[]): Options {
  try {
    const { values, positionals } = parseArgs({
      args: [...argv],
      allowPositionals: true,
      allowNegative: true,
      options: {
        topic: { type: 'string' },
        consumer: { type: 'string' },
        millrace: { type: 'string' },
        yes: { type: 'boolean', short: 'y', default: false },
        git: { type: 'boolean', default: true },
        help: { type: 'boolean', short: 'h', default: false },
        version: { type: 'boolean', default: false },
      },
    });
    const { topic, consumer, millrace, yes, git, help, version } = values;
    if (positionals.length > 1)
      throw new Misused(`It takes one folder, and got ${positionals.length}: ${positionals.join(', ')}.`);
    return { folder: positionals[0], topic, consumer, millrace, yes, git, help, version };
  } catch (error) {
    if (error instanceof Failed) throw error;
    throw new Misused((error as Error).message.split('. ')[0]!.concat('.').replace(/\.\.$/, '.'));
  }
}

interface Answers {
  readonly folder: string;
  readonly topic: string;
  readonly consumer: string;
  readonly millrace: string | undefined;
  readonly git: boolean;
}

/** Asks a person for what is missing, and checks all of it before anything is written. */
async function complete({ folder, topic, consumer, millrace, yes, git }: Options): Promise<Answers> {
  const asks = process.stdin.isTTY && process.stdout.isTTY && !yes;
  if (folder === undefined && !asks)
    throw new Misused('Which folder? Name it, such as: npm create millrace@latest my-pipelines');
  const terminal = asks ? createInterface({ input: process.stdin, output: process.stdout }) : undefined;
  const ask = async (
    question: string,
    fallback: string,
    check: (answer: string) => void,
  ): Promise<string> => {
    if (!terminal) {
      check(fallback);
      return fallback;
    }
    for (;;) {
      const answer = (await terminal.question(`${question} (${fallback}) `)).trim() || fallback;
      try {
        check(answer);
        return answer;
      } catch (error) {
        if (!(error instanceof Failed)) throw error;
        console.error(error.message);
      }
    }
  };
  const given = async (
    value: string | undefined,
    question: string,
    fallback: string,
    check: (answer: string) => void,
  ): Promise<string> => {
    if (value === undefined) return ask(question, fallback, check);
    check(value);
    return value;
  };
  try {
    const chosen = await given(folder, 'Folder?', DEFAULT_FOLDER, chooseFolder);
    const read = await given(topic, 'Topic of the first contract?', DEFAULT_TOPIC, (answer) =>
      checkName('topic', answer),
    );
    const name = await given(consumer, 'Consumer of that topic?', consumerOf(read), (answer) =>
      checkName('consumer', answer),
    );
    return { folder: chosen, topic: read, consumer: name, millrace, git };
  } catch (error) {
    // Ctrl-C and Ctrl-D at a question.
    if (error instanceof Error && (error.name === 'AbortError' || 'code' in error)) {
      console.log();
      throw new Failed('Nothing was written.', 130, { cause: error });
    }
    throw error;
  } finally {
    terminal?.close();
  }
}

/** order-counts for shop.orders. */
function consumerOf(topic: string): string {
  const words = (topic.split('.').findLast((part) => /[a-z]/i.test(part)) ?? 'topic').toLowerCase();
  const [one] =
    words
      .replaceAll(/[^a-z\d]+/g, '-')
      .replace(/^-|-$/g, '')
      .replace(/s$/, '')
      .match(/.{1,30}/) ?? [];
  return `${one}-counts`;
}

async function create(answers: Answers, version: string, signal: AbortSignal): Promise<void> {
  const startedAt = Date.now();
  const { folder, topic, consumer } = answers;
  const root = chooseFolder(folder);
  const millrace = chooseMillrace(answers.millrace, version, root);
  const name = basename(root);
  console.log(`Creating ${name} in ${root}`);
  const undo = writeProject(root, { name, millrace });
  try {
    await installPackages(root, signal);
    await addPipeline(root, { topic, consumer }, signal);
    finishProject(root, { name, topic, consumer });
  } catch (error) {
    undo();
    if (!(error instanceof Failed)) throw error;
    const what = signal.aborted ? 'Interrupted' : error.message;
    throw new Failed(`${what.replace(/\.?$/, '.')} Nothing was left in ${folder}.`, error.exitCode, {
      cause: error,
    });
  }
  const git = answers.git ? startGit(root) : 'not asked for';
  const seconds = Math.round((Date.now() - startedAt) / SECONDS);
  console.log(`
Created ${name} in ${seconds} s.
  topic     ${topic}
  consumer  ${consumer}
  git       ${git}

  cd ${resolve(folder) === process.cwd() ? '.' : quoted(folder)}
  npm start         generated events through the pipeline, until Ctrl-C
  npm test          the consumer's test

README.md has the rest.`);
}

function quoted(path: string): string {
  return /^[\w./-]+$/.test(path) ? path : `'${path.replaceAll("'", `'\\''`)}'`;
}
