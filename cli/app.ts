/** The app of the working folder: `millrace.config.ts` there, or in the nearest folder above. */
import { existsSync } from 'node:fs';
import { dirname, join, sep } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import type { App } from '../runtime/app.ts';
import { type ErrorCode, MillraceError } from '../runtime/errors.ts';

export interface LoadedApp extends App {
  /** The folder of its millrace.config.ts, with contracts/ and lambdas/ beside it. */
  readonly root: string;
  /** The URL of its millrace.config.ts, whose default export it is. */
  readonly module: URL;
}

const CONFIG_FILES = ['millrace.config.ts', 'millrace.config.mjs', 'millrace.config.js'];

/**
 * Loads the app.
 * @throws APP_INVALID if there is none or it does not load; CONTRACT_INVALID, CONSUMER_INVALID from what it declares
 */
export async function loadApp(from: string = process.cwd()): Promise<LoadedApp> {
  const path = findConfig(from);
  const root = dirname(path);
  const module = pathToFileURL(path);
  const app = await importFrom(module, root);
  if (typeof app !== 'object' || app === null || !Array.isArray((app as App).contracts)) {
    throw new MillraceError(
      'APP_INVALID',
      `${path} has no app as its default export. Write "export default defineApp({ … })" there.`,
      { details: { path } },
    );
  }
  return { ...(app as App), root, module };
}

/**
 * The folder of the app, whether it loads or not.
 * @throws APP_INVALID if there is none
 */
export function findAppRoot(from: string = process.cwd()): string {
  return dirname(findConfig(from));
}

/** Whether the folder is a project's. */
export function hasConfig(folder: string): boolean {
  return CONFIG_FILES.some((name) => existsSync(join(folder, name)));
}

/** Whether there is an app for the working folder. */
export function hasConfigAbove(from: string = process.cwd()): boolean {
  return configAbove(from) !== undefined;
}

function configAbove(from: string): string | undefined {
  for (let folder = from; ; folder = dirname(folder)) {
    const found = CONFIG_FILES.map((name) => join(folder, name)).find((path) => existsSync(path));
    if (found) return found;
    if (folder === dirname(folder)) return undefined;
  }
}

function findConfig(from: string): string {
  const found = configAbove(from);
  if (found !== undefined) return found;
  throw new MillraceError(
    'APP_INVALID',
    `There is no millrace.config.ts in ${from} or in a folder above it. Run this in the folder of a Millrace project.`,
    { details: { from } },
  );
}

async function importFrom(module: URL, root: string): Promise<unknown> {
  try {
    return ((await import(module.href)) as { readonly default?: unknown }).default;
  } catch (error) {
    throw error instanceof MillraceError
      ? error
      : describeLoadFault(error, `${root}${sep}`, fileURLToPath(module));
  }
}

/** An error from loading the app, as one that names the place in the project that has to be fixed. */
function describeLoadFault(error: unknown, root: string, config: string): MillraceError {
  const { message, stack } = error instanceof Error ? error : new Error(String(error));
  const place = placeIn(root, stack ?? '') ?? placeIn(root, message);
  const file = config.slice(root.length);
  const reason = message.split('\n')[0]?.replaceAll(root, '') ?? '';
  return new MillraceError(
    codeFor(place),
    `${file} does not load${place ? `, because of ${place}` : ''}: ${reason}\nCorrect it there and try again.`,
    { cause: error, details: { file, ...(place ? { place } : {}) } },
  );
}

function codeFor(place = ''): ErrorCode {
  if (place.startsWith('contracts/')) return 'CONTRACT_INVALID';
  return place.startsWith('lambdas/') ? 'CONSUMER_INVALID' : 'APP_INVALID';
}

/** The first file of the project that a stack or a message names, with its line where there is one. */
function placeIn(root: string, text: string): string | undefined {
  for (const [, path, line] of text.matchAll(/(?:file:\/\/)?(\/[^\s:'"()]+\.[cm]?[jt]s)(?::(\d+))?/g)) {
    const inside = path?.startsWith(root) ? path.slice(root.length) : '';
    // In this repository the framework's own files stand beside the app's.
    if (inside && !/^(?:adapters|cli|local|node_modules|runtime)\//.test(inside))
      return line ? `${inside}:${line}` : inside;
  }
  return undefined;
}
