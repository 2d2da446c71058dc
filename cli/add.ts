/** `millrace add`: writes files and registers them in the config; all of it, or nothing. */
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Command, InvalidArgumentError } from 'commander';
import type { App } from '../runtime/app.ts';
import { type Contract, defineTopic } from '../runtime/contract/contract.ts';
import { checkDeclarations } from '../runtime/declarations.ts';
import { type AnyConsumer, defineConsumer } from '../runtime/delivery/consumer.ts';
import { checkDeployable } from '../runtime/deployable.ts';
import { type EnvironmentSettings, resolveEnvironment } from '../runtime/environment.ts';
import { type ErrorCode, MillraceError } from '../runtime/errors.ts';
import { addEnvironment, addToList, wordsOf } from './add/edit-config.ts';
import {
  consumerFiles,
  contractFiles,
  ENVIRONMENT_SETTINGS,
  identifierFor,
  KEY,
  type NewFile,
  type Surroundings,
  settingLines,
} from './add/files.ts';
import { type LoadedApp, loadApp } from './app.ts';
import { epilogue, printLine, styled } from './terminal.ts';

const EXAMPLES = `
Examples:
  millrace add contract shop.orders
  millrace add consumer order-counts --topic shop.orders
  millrace add environment staging`;

const CONTRACT_EXAMPLE = `
Example:
  millrace add contract shop.orders --owner checkout

Writes contracts/shop.orders/v1.avsc, topic.ts and schema.ts, and lists the contract in millrace.config.ts. Put your own
fields into v1.avsc, then run "millrace contracts generate".`;

const CONSUMER_EXAMPLE = `
Example:
  millrace add consumer order-counts --topic shop.orders

Writes lambdas/order-counts/consumer.ts and index.ts and a test, and lists the consumer in millrace.config.ts. The consumer
counts the records of each key in a table of its own: put what it is for in that place.`;

const ENVIRONMENT_EXAMPLE = `
Examples:
  millrace add environment staging
  millrace add environment live --production

Adds an environment to millrace.config.ts, with settings that cost the least. With --production, and where the name begins
with "prod": a standby for the database, Express brokers, data that stays when a stack is deleted.`;

export function addCommand(): Command {
  const contract = new Command('contract')
    .description('Writes the contract of a new topic.')
    .argument('<name>', "the topic's name, such as shop.orders", topicName)
    .option('--owner <team>', "who answers for the topic (default: the app's name)")
    .addHelpText('after', epilogue(CONTRACT_EXAMPLE))
    .action((name: string, { owner }: { owner?: string }, command: Command) =>
      addContract(name, owner, command),
    );

  const consumer = new Command('consumer')
    .description('Writes a consumer of a topic, its Lambda entry and its test.')
    .argument('<name>', 'the consumer group, such as order-counts', consumerName)
    .requiredOption('--topic <name>', 'the topic that it reads: one of the contracts')
    .addHelpText('after', epilogue(CONSUMER_EXAMPLE))
    .action((name: string, { topic }: { topic: string }, command: Command) =>
      addConsumer(name, topic, command),
    );

  const environment = new Command('environment')
    .description('Adds an environment that the CDK can deploy.')
    .argument('<name>', 'its name, such as staging')
    .option('--production', 'settings for what must not stop (default: where the name begins with "prod")')
    .addHelpText('after', epilogue(ENVIRONMENT_EXAMPLE))
    .action((name: string, { production }: { production?: true }, command: Command) =>
      addEnvironmentNamed(name, production ?? name.startsWith('prod'), command),
    );

  return new Command('add')
    .description('Writes a contract, a consumer or an environment, and lists it in millrace.config.ts.')
    .addCommand(contract)
    .addCommand(consumer)
    .addCommand(environment)
    .addHelpText('after', epilogue(EXAMPLES));
}

async function addContract(name: string, givenOwner: string | undefined, command: Command): Promise<void> {
  const app = await loadApp();
  const owner = givenOwner ?? app.name;
  if (!owner.trim())
    command.error("error: option '--owner' is empty. It takes the name of who answers for the topic.");
  refuseExisting(app, 'CONTRACT_INVALID', 'contract', name, app.contracts);
  refuseFolder(app, 'CONTRACT_INVALID', `contracts/${name}`);
  const config = readConfig(app);
  const identifier = identifierFor(name, 'topic', wordsOf(config.text));
  const files = contractFiles({ name, owner, identifier, appName: app.name }, surroundingsOf(app));
  const versions = [{ version: 1, schema: {} }];
  const contract = defineTopic<{ [KEY]: string }>({ name, owner, key: KEY, versions });
  refuseBadName(command, () =>
    checkDeclarations([...app.contracts, contract as Contract<never>], app.consumers, app.collected ?? []),
  );
  const text = addToList(config.text, 'contracts', {
    identifier,
    specifier: `./contracts/${name}/topic.ts`,
  });
  await write(app, config, text, files, (added) => added.contracts.some((each) => each.name === name));
  printNext([
    `Put your own fields into ${shown(app, `contracts/${name}/v1.avsc`)}, then:`,
    '  npx millrace contracts generate',
    `  npx millrace add consumer NAME --topic ${name}`,
  ]);
}

async function addConsumer(name: string, topic: string, command: Command): Promise<void> {
  const app = await loadApp();
  const contract = findTopic(app.contracts, topic);
  refuseExisting(app, 'CONSUMER_INVALID', 'consumer', name, app.consumers);
  refuseBadName(command, () => checkConsumer(app, name, contract));
  refuseFolder(app, 'CONSUMER_INVALID', `lambdas/${name}`);
  const config = readConfig(app);
  const topicName = topicNameIn(app, topic);
  const identifier = identifierFor(name, 'consumer', new Set([...wordsOf(config.text), topicName]));
  const files = consumerFiles({ name, identifier, contract, topic: topicName }, surroundingsOf(app));
  const text = addToList(config.text, 'consumers', {
    identifier,
    specifier: `./lambdas/${name}/consumer.ts`,
  });
  await write(app, config, text, files, (added) => added.consumers.some((each) => each.name === name));
  printNext([
    `Write what it is for into ${shown(app, `lambdas/${name}/consumer.ts`)}, then:`,
    '  npm test',
    '  npm start',
  ]);
}

async function addEnvironmentNamed(name: string, isProduction: boolean, command: Command): Promise<void> {
  const app = await loadApp();
  if (Object.hasOwn(app.environments, name)) {
    throw new MillraceError(
      'ENVIRONMENT_INVALID',
      `The app has an environment called ${name}. Change it in millrace.config.ts, or add one by another name.`,
      { details: { environment: name } },
    );
  }
  const settings: EnvironmentSettings = ENVIRONMENT_SETTINGS[isProduction ? 'production' : 'development'];
  refuseBadName(command, () => {
    const environments = { [name]: settings };
    const environment = resolveEnvironment({ environments, root: app.root }, { env: name });
    for (const consumer of app.consumers) checkDeployable(consumer, environment);
  });
  const config = readConfig(app);
  const text = addEnvironment(config.text, name, settingLines(settings));
  await write(app, config, text, [], (added) => Object.hasOwn(added.environments, name));
  printNext([
    'Read its settings before you deploy: brokers cannot change their type afterwards.',
    `  npx cdk synth -c env=${name}`,
  ]);
}

/** @throws CONSUMER_INVALID if the laptop, or an environment of the app, does not take the name */
function checkConsumer(app: LoadedApp, name: string, topic: Contract<never>): void {
  const consumer = defineConsumer({
    name,
    topic,
    sink: 'postgres',
    handle: async () => {},
  }) as AnyConsumer;
  for (const [env, settings] of Object.entries(app.environments))
    checkDeployable(consumer, {
      ...settings,
      name: env,
      appRoot: app.root,
      account: undefined,
      region: undefined,
    });
  checkDeclarations(app.contracts, [...app.consumers, consumer], app.collected ?? []);
}

function topicName(text: string): string {
  // Node strips no types under a folder of that name.
  if (/^[\w.-]{1,249}$/.test(text) && !/^(\.+|node_modules)$/.test(text)) return text;
  throw new InvalidArgumentError(
    'It takes up to 249 letters, digits, ".", "_" and "-", such as shop.orders; and not node_modules.',
  );
}

function consumerName(text: string): string {
  if (/^[a-z\d][\w.-]*$/i.test(text) && text !== 'node_modules') return text;
  throw new InvalidArgumentError(
    'It takes letters, digits and "-", a letter or digit first, such as order-counts.',
  );
}

/** A name that the rules of declarations refuse was typed: the exit code is that of a wrong command line. */
function refuseBadName(command: Command, check: () => void): void {
  try {
    check();
  } catch (error) {
    if (!(error instanceof MillraceError)) throw error;
    command.error(`error: ${error.message} [${error.code}]`);
  }
}

function refuseExisting(
  { module }: LoadedApp,
  code: ErrorCode,
  kind: string,
  name: string,
  existing: readonly { readonly name: string }[],
): void {
  if (existing.every((each) => each.name !== name)) return;
  throw new MillraceError(
    code,
    `${fileURLToPath(module).split('/').at(-1)} lists a ${kind} called ${name}. Nothing was written. Choose another name, or change that ${kind}.`,
    { details: { [kind]: name } },
  );
}

function refuseFolder({ root }: LoadedApp, code: ErrorCode, folder: string): void {
  if (!existsSync(join(root, folder))) return;
  throw new MillraceError(
    code,
    `There is a folder ${folder} already, which millrace.config.ts does not list. Nothing was written. List what it holds there, or remove it and run this again.`,
    { details: { folder } },
  );
}

/** @throws TOPIC_UNKNOWN with the name that was probably meant */
function findTopic(contracts: readonly Contract<never>[], topic: string): Contract<never> {
  const contract = contracts.find(({ name }) => name === topic);
  if (contract) return contract;
  const names = contracts.map(({ name }) => name);
  const near = names.filter((name) => distance(name, topic) <= Math.max(2, topic.length / 4));
  const there = names.length > 0 ? `there is ${names.join(', ')}` : 'the app has no contract yet';
  const meant = near.length > 0 ? ` Did you mean ${near.join(' or ')}?` : '';
  throw new MillraceError(
    'TOPIC_UNKNOWN',
    `No contract has the topic ${JSON.stringify(topic)}; ${there}.${meant} Add the topic first, with: npx millrace add contract NAME`,
    { details: { topic } },
  );
}

/** How many letters one has to add, drop or change to get from one text to the other. */
function distance(from: string, to: string): number {
  let row = Array.from({ length: to.length + 1 }, (_, index) => index);
  for (const [index, letter] of [...from].entries()) {
    const next = [index + 1];
    for (const [column, other] of [...to].entries())
      next.push(Math.min(row[column + 1]! + 1, next[column]! + 1, row[column]! + (letter === other ? 0 : 1)));
    row = next;
  }
  return row.at(-1)!;
}

/**
 * What a contract's topic.ts calls it.
 * @throws CONTRACT_INVALID if topic.ts has another form than `millrace add contract` writes
 */
function topicNameIn({ root }: LoadedApp, topic: string): string {
  const path = `contracts/${topic}/topic.ts`;
  const text = existsSync(join(root, path)) ? readFileSync(join(root, path), 'utf8') : '';
  const [, identifier] = /^export const ([\w$]+) =\s+defineTopic\b/m.exec(text) ?? [];
  if (identifier) return identifier;
  throw new MillraceError(
    'CONTRACT_INVALID',
    `${path} has no line "export const NAME = defineTopic<TYPE>({", so there is nothing to import from it. Nothing was written. Declare the topic there.`,
    { details: { topic } },
  );
}

interface Config {
  readonly path: string;
  readonly text: string;
}

function readConfig({ module }: LoadedApp): Config {
  const path = fileURLToPath(module);
  return { path, text: readFileSync(path, 'utf8') };
}

function surroundingsOf({ root }: LoadedApp): Surroundings {
  const path = join(root, 'package.json');
  const { name, dependencies, devDependencies } = existsSync(path)
    ? JSON.parse(readFileSync(path, 'utf8'))
    : {};
  const packages = { ...dependencies, ...devDependencies };
  const testRunner = 'jest' in packages ? '@jest/globals' : 'vitest' in packages ? 'vitest' : 'node:test';
  const isCheckout = name === 'millrace' && existsSync(join(root, 'runtime/index.ts'));
  return { isCheckout, testRunner };
}

/** Writes the files and the config, and loads the app. If that fails, everything is as it was before. */
async function write(
  app: LoadedApp,
  config: Config,
  text: string,
  files: readonly NewFile[],
  isAdded: (app: App) => boolean,
): Promise<void> {
  const created: string[] = [];
  const undo = () => {
    for (const path of created.reverse()) rmSync(path, { recursive: true, force: true });
    writeFileSync(config.path, config.text);
  };
  try {
    for (const { path, text } of files) {
      const file = join(app.root, path);
      const folder = mkdirSync(dirname(file), { recursive: true });
      if (folder) created.push(folder);
      writeFileSync(file, text, { flag: 'wx' });
      created.push(file);
    }
    writeFileSync(config.path, text);
    // Under another name, so that it is loaded again.
    const digest = createHash('sha256').update(text).digest('hex');
    const added = (await import(`${app.module.href}?${digest}`)).default as App;
    if (!isAdded(added)) throw new Error('it does not list what was added');
  } catch (cause) {
    undo();
    const reason = cause instanceof Error ? (cause.message.split('\n')[0] ?? '') : String(cause);
    throw new MillraceError(
      'APP_INVALID',
      `${files[0]?.path ?? 'millrace.config.ts'} could not be added: ${reason}. Everything is as it was before. Correct that and run this again.`,
      { cause },
    );
  }
  for (const { path } of files) printLine(`${styled('green', 'wrote')}    ${shown(app, path)}`);
  printLine(`${styled('green', 'changed')}  ${relative(process.cwd(), config.path)}`);
}

/** As a person in this folder would name the file. */
function shown({ root }: LoadedApp, path: string): string {
  return relative(process.cwd(), join(root, path));
}

function printNext(lines: readonly string[]): void {
  printLine();
  for (const line of lines) printLine(line);
}
