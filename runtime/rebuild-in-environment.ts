import { appIn } from './app-in-environment.ts';
import { isArchive } from './archive/archive.ts';
import { didYouMean } from './closest-name.ts';
import { generationsIn } from './consumer-in-environment.ts';
import type { AnyConsumer } from './delivery/consumer.ts';
import { type Environment, MAX_GENERATION, refuse } from './environment.ts';
import { generationName } from './replay/generation.ts';

/** What the person who deploys says of a rebuild, by context values: `-c rebuild=CONSUMER -c generation=2`. */
export interface RebuildRequest {
  readonly rebuild?: unknown;
  readonly generation?: unknown;
}

/** A candidate that is to be deployed beside what the settings say. */
export interface RebuildInEnvironment {
  readonly candidate: AnyConsumer;
  /** With the candidate among its consumer's generations, as the last one. */
  readonly environment: Environment;
}

const FIRST = 2;

/** @throws ENVIRONMENT_INVALID naming the value, what it got and what it takes */
export function rebuildIn(
  environment: Environment,
  app: Parameters<typeof appIn>[0],
  { rebuild, generation }: RebuildRequest,
): RebuildInEnvironment | undefined {
  if (rebuild === undefined) {
    if (generation === undefined) return undefined;
    refuse('generation', generation, 'a consumer to rebuild with it', 'Add "-c rebuild=CONSUMER".');
  }
  const names = app.consumers.filter((each) => !isArchive(each)).map(({ name }) => name);
  if (typeof rebuild !== 'string' || !names.includes(rebuild)) {
    const close = typeof rebuild === 'string' ? didYouMean(rebuild, names) : '';
    refuse('rebuild', rebuild, `one of ${names.join(', ')}`, `Pass it as "-c rebuild=CONSUMER".${close}`);
  }
  const running = generationsIn(environment, rebuild);
  const number = generation === undefined ? Math.max(...running) + 1 : numberOf(generation);
  if (running.includes(number)) {
    refuse(
      'generation',
      number,
      `a number that ${environment.name}.consumers.${rebuild}.generations does not have already`,
      'What the settings have is deployed without "-c rebuild".',
    );
  }
  const { consumers } = environment;
  const extended: Environment = {
    ...environment,
    consumers: { ...consumers, [rebuild]: { ...consumers?.[rebuild], generations: [...running, number] } },
  };
  const name = generationName(rebuild, number);
  const candidate = appIn(app, extended).consumers.find((each) => each.name === name);
  if (!candidate) {
    refuse(
      'rebuild',
      rebuild,
      `a consumer whose topic ${environment.name} has`,
      'It does not capture its table.',
    );
  }
  return { candidate, environment: extended };
}

function numberOf(generation: unknown): number {
  const number = /^[1-9]\d*$/.test(String(generation)) ? Number(generation) : Number.NaN;
  if (number >= FIRST && number <= MAX_GENERATION) return number;
  return refuse(
    'generation',
    generation,
    `a whole number from ${FIRST} to ${MAX_GENERATION}`,
    'Pass the one that "millrace rebuild list" shows as "-c generation=2".',
  );
}
