/**
 * Generations on AWS. Tables are made and promoted by the environment's migrations function, and the candidate runs by a stack
 * of its own: the CDK deploys that, so these commands say how, and look at what it does.
 */
import { randomUUID } from 'node:crypto';
import { shellQuoted } from '../../runtime/commands.ts';
import { deployedName, generationPart } from '../../runtime/deployment.ts';
import { MillraceError } from '../../runtime/errors.ts';
import { type Generation, generationName } from '../../runtime/replay/generation.ts';
import { confirm } from '../dlq/confirmation.ts';
import { hint } from '../hints.ts';
import { type Interrupts, watchInterrupts } from '../interrupts.ts';
import { printJson, printLine, printNote, table } from '../terminal.ts';
import { type DeployedSession, liveIn, look, oldestOf, watch } from './deployed-progress.ts';

export interface DeployedOptions {
  readonly yes?: true;
  readonly json?: true;
}

/** Makes the candidate's tables, says how its stack is deployed, and once that is done, watches until it has caught up. */
export async function rebuildDeployed(
  session: DeployedSession,
  options: DeployedOptions,
  interrupts: () => Interrupts = watchInterrupts,
): Promise<void> {
  const { consumer, env } = session;
  const { name } = consumer;
  const all = await session.store.list(name);
  const candidate = all.find(({ state }) => state === 'candidate') ?? (await make(session, all, options));
  const { number } = candidate;
  checkCode(session, candidate, session.code, 'This project has');
  const found = await session.deployed(number);
  if (!found) {
    const command = deployCommand(session, number);
    if (options.json) return printJson({ consumer: name, generation: number, isDeployed: false, command });
    printLine(`${generationName(name, number)} has tables, and nobody fills them yet. Deploy its stacks:`);
    printLine(`  ${command}`);
    printLine(`Then watch it: ${hint(['rebuild', name], { env })}`);
    return;
  }
  checkCode(session, candidate, found.code, 'Its function was deployed with');
  if (options.json) {
    const { behind, isCaughtUp } = await look(session, all, number);
    return printJson({ consumer: name, generation: number, isDeployed: true, behind, isCaughtUp });
  }
  await watch(session, all, number, interrupts());
  printLine(`${generationName(name, number)} has caught up. To let readers see it:`);
  printLine(`  ${hint(['rebuild', 'promote', name], { env })}`);
}

async function make(
  session: DeployedSession,
  all: readonly Generation[],
  options: DeployedOptions,
): Promise<Generation> {
  const { consumer, env, code } = session;
  const { name } = consumer;
  printNote(
    [
      `Rebuild the tables of ${name} in ${env}`,
      '  reads   the topic, as far back as it keeps records',
      '  now     makes empty tables and a role for them; readers do not see them',
      '  then    says how to deploy the stacks of what fills them',
    ].join('\n'),
  );
  await confirm(options, name);
  const id = randomUUID();
  let made: Generation | undefined;
  await session.audited({ id, action: 'rebuild', plan: { env, code } }, liveIn(all).number, async () => {
    made = await session.store.create(consumer, { id, code });
    return { generation: made.number };
  });
  return made!;
}

/** @throws REBUILD_REFUSED where the tables would be a mixture of what two versions make */
function checkCode(
  { env, consumer: { name } }: DeployedSession,
  { number, code }: Generation,
  got: string | null,
  who: string,
): void {
  if (got === code) return;
  throw new MillraceError(
    'REBUILD_REFUSED',
    `${generationName(name, number)} was begun with the code ${code}. ${who} ${got ?? 'none that it knows'}. Nothing has changed. Go on with ` +
      `that code, or begin anew: ${hint(['rebuild', 'drop', name], { env })}`,
    { details: { consumer: name, generation: number } },
  );
}

/** Of the stacks of a generation: what fills it, and its dead letters. */
function stacksOf(env: string, name: string, number: number): readonly [consumer: string, letters: string] {
  const of = generationName(name, number);
  return [deployedName(env, `consumer-${of}`), deployedName(env, generationPart(of))];
}

function deployCommand({ env, consumer: { name }, inSettings }: DeployedSession, number: number): string {
  const [consumer, letters] = stacksOf(env, name, number);
  const context = inSettings.includes(number) ? [] : ['-c', `rebuild=${name}`, '-c', `generation=${number}`];
  // The stacks that it builds upon exist, and this must not deploy the rest of the app.
  return ['npx', 'cdk', 'deploy', '-c', `env=${env}`, ...context, '--exclusively', letters, consumer]
    .map(shellQuoted)
    .join(' ');
}

export async function promoteDeployed(
  session: DeployedSession,
  { mayLose = 0, ...options }: DeployedOptions & { readonly mayLose?: number },
): Promise<void> {
  const { consumer, env } = session;
  const { name } = consumer;
  const all = await session.store.list(name);
  const { number, rebuildId } = required(all, 'candidate', session);
  const live = liveIn(all);
  const found = await session.deployed(number);
  if (!found) throw notDeployed(session, number, `Deploy it: ${deployCommand(session, number)}`);
  printNote(
    [
      `Promote ${generationName(name, number)} in ${env}: readers see its tables instead of those of ${generationName(name, live.number)}`,
      ...(mayLose > 0 ? [`  lacks   up to ${mayLose} offsets that they see now`] : []),
    ].join('\n'),
  );
  await confirm(options, name);
  const oldest = await oldestOf(session);
  const plan = { env, generation: number, mayLose };
  const done = await session.audited(
    { id: rebuildId ?? randomUUID(), action: 'promote', plan },
    live.number,
    async () => {
      const { from, to, heldMs } = await session.store.promote(consumer, number, {
        code: found.code ?? '',
        mayLose,
        oldest,
      });
      return { from: from.number, to: to.number, heldMs };
    },
  );
  printSwitched(session, all, done, options);
}

export async function rollbackDeployed(session: DeployedSession, options: DeployedOptions): Promise<void> {
  const { consumer, env } = session;
  const { name } = consumer;
  const all = await session.store.list(name);
  const previous = required(all.toReversed(), 'previous', session);
  if (!(await session.deployed(previous.number))) {
    throw notDeployed(
      session,
      previous.number,
      'Its tables stand still, and readers would lose what came since.',
    );
  }
  printNote(`Roll back in ${env}: readers see the tables of ${generationName(name, previous.number)} again.`);
  await confirm(options, name);
  const plan = { env, generation: previous.number };
  const done = await session.audited(
    { id: randomUUID(), action: 'rollback', plan },
    liveIn(all).number,
    async () => {
      const { from, to, heldMs } = await session.store.rollback(consumer);
      return { from: from.number, to: to.number, heldMs };
    },
  );
  printSwitched(session, all, done, options);
}

export async function dropDeployed(
  session: DeployedSession,
  { generation, ...options }: DeployedOptions & { readonly generation?: number },
): Promise<void> {
  const { consumer, env } = session;
  const { name } = consumer;
  const all = await session.store.list(name);
  const number =
    generation ??
    (all.find(({ state }) => state === 'candidate') ?? required(all, 'previous', session)).number;
  const [stack, letters] = stacksOf(env, name, number);
  if (await session.deployed(number)) {
    const settings = session.inSettings.includes(number)
      ? `First take ${number} out of consumers.${name}.generations in millrace.config.ts. `
      : '';
    throw new MillraceError(
      'REBUILD_REFUSED',
      `${generationName(name, number)} is deployed in ${env}, and its batches would fail without tables. Nothing was dropped. ${settings}` +
        `Delete its stack: aws cloudformation delete-stack --stack-name ${stack}`,
      { details: { consumer: name, generation: number } },
    );
  }
  printNote(
    `Drop ${generationName(name, number)} in ${env}: its tables, its ledger and its role are deleted for good.`,
  );
  await confirm(options, name);
  await session.audited(
    { id: randomUUID(), action: 'drop', plan: { env, generation: number } },
    liveIn(all).number,
    async () => {
      await session.store.drop(consumer, number);
      return {};
    },
  );
  if (options.json) return printJson({ consumer: name, generation: number });
  printLine(`The tables of ${generationName(name, number)} are gone.`);
  if (number > 1) {
    printLine('Its dead letters are there until you empty its bucket and delete their stack:');
    printLine(`  aws cloudformation delete-stack --stack-name ${letters}`);
  }
}

export async function listDeployed(session: DeployedSession, { json }: DeployedOptions): Promise<void> {
  const { name } = session.consumer;
  const all = await Promise.all(
    (await session.store.list(name)).map(async (each) => ({
      ...each,
      isDeployed: (await session.deployed(each.number)) !== null,
    })),
  );
  if (json) return printJson(all);
  const time = (ms: number | null) => (ms === null ? '' : new Date(ms).toISOString().slice(0, 16));
  printLine(
    table(
      [
        { title: 'generation' },
        { title: 'state' },
        { title: 'made' },
        { title: 'promoted' },
        { title: 'function' },
      ],
      all.map(({ number, state, createdAt, promotedAt, isDeployed }) => [
        generationName(name, number),
        state,
        time(number === 1 ? null : createdAt),
        time(promotedAt),
        isDeployed ? 'deployed' : 'not deployed',
      ]),
    ),
  );
}

function required(
  all: readonly Generation[],
  state: Generation['state'],
  { consumer: { name }, env }: DeployedSession,
): Generation {
  const found = all.find((each) => each.state === state);
  if (found) return found;
  const next = hint(state === 'candidate' ? ['rebuild', name] : ['rebuild', 'list', name], { env });
  throw new MillraceError(
    'REBUILD_REFUSED',
    `${name} has no ${state} generation in ${env}. Nothing was changed. To ${state === 'candidate' ? 'make one' : 'see what there is'}: ${next}`,
    { details: { consumer: name } },
  );
}

function notDeployed(
  { env, consumer: { name } }: DeployedSession,
  number: number,
  next: string,
): MillraceError {
  return new MillraceError(
    'REBUILD_REFUSED',
    `The function of ${generationName(name, number)} is not deployed in ${env}. Nothing has changed. ${next}`,
    { details: { consumer: name, generation: number } },
  );
}

function printSwitched(
  { env, consumer: { name } }: DeployedSession,
  all: readonly Generation[],
  { from, to, heldMs }: { readonly from: number; readonly to: number; readonly heldMs: number },
  { json }: DeployedOptions,
): void {
  if (json) {
    printJson({ consumer: name, generation: to, from, heldMs });
    return;
  }
  printLine(`Readers see ${generationName(name, to)} now; batches waited ${heldMs} ms.`);
  const others = all.map(({ number }) => number).filter((number) => number !== to);
  printLine(`Say so in millrace.config.ts, for ${env}, and deploy it, so that its alarms notify you:`);
  printLine(`  consumers: { ${JSON.stringify(name)}: { generations: [${[to, ...others].join(', ')}] } }`);
}
