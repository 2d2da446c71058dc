/** The project's files, and what a project may be called. */
import {
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { basename, dirname, join, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Failed, Misused } from './failures.ts';

/** Beside the sources in a checkout, beside dist/ in the package. */
const TEMPLATE = [new URL('template/', import.meta.url), new URL('../template/', import.meta.url)]
  .map((url) => fileURLToPath(url))
  .find((path) => existsSync(path))!;

/** The same as defineApp() takes. */
const APP_NAME = /^(?=.{1,40}$)[a-z][a-z0-9]*(?:-[a-z0-9]+)*$/;

/** npm packs no .gitignore, and the linter takes a biome.json for its own. */
const RENAMED = { gitignore: '.gitignore', 'biome.template.json': 'biome.json' };

const NAMES = {
  topic: {
    pattern: /^(?!\.+$|node_modules$)[\w.-]{1,249}$/,
    allowed: 'up to 249 letters, digits, ".", "_" and "-", such as shop.orders',
  },
  // The longest that every environment's resources can be called by, and what an environment has under these names already.
  consumer: {
    pattern: /^(?!(?:cluster|collector|database|migrations)$)[a-z\d][a-z\d-]{0,39}$/i,
    allowed:
      'up to 40 letters, digits and "-", such as order-counts; and not cluster, collector, database or migrations',
  },
};

/** @throws Misused saying what is allowed */
export function checkName(kind: keyof typeof NAMES, name: string): void {
  const { pattern, allowed } = NAMES[kind];
  if (!pattern.test(name)) throw new Misused(`The ${kind} is ${JSON.stringify(name)}; it takes ${allowed}.`);
}

/**
 * The folder's full path, if a project can be written there.
 * @throws Misused for its name, Failed for what is there
 */
export function chooseFolder(folder: string): string {
  const root = resolve(folder);
  const name = basename(root);
  if (!APP_NAME.test(name) || name === 'node_modules' || name === 'millrace') {
    throw new Misused(
      `The folder is ${JSON.stringify(name)}; the project is called by it, and takes up to 40 lower-case letters, digits and single hyphens, beginning with a letter, such as my-pipelines. It cannot be called millrace, as the package is.`,
    );
  }
  if (!existsSync(root)) return root;
  if (!statSync(root).isDirectory())
    throw new Failed(`${folder} is a file. Choose another folder, or move the file.`);
  const held = readdirSync(root).filter((entry) => entry !== '.git');
  if (held.length === 0) return root;
  const some = held.slice(0, 3).join(', ');
  throw new Failed(
    `${folder} is not empty: it holds ${some}${held.length > 3 ? `, and ${held.length - 3} more` : ''}. Choose another folder, or empty it.`,
  );
}

/**
 * What package.json says of Millrace: a version, or where the packed file lies.
 * @throws Misused for a file that is not there, or what is neither
 */
export function chooseMillrace(given: string | undefined, version: string, root: string): string {
  if (given === undefined) return `^${version}`;
  if (/\.(?:tgz|tar\.gz)$/.test(given) || given.includes('/')) {
    const path = resolve(given);
    if (!existsSync(path) || !statSync(path).isFile())
      throw new Misused(
        `--millrace is ${given}, and there is no such file. It takes a packed file or a version.`,
      );
    return `file:${relative(root, path)}`;
  }
  if (/^[\w.^~<>=*+-]+$/.test(given)) return given;
  throw new Misused(
    `--millrace is ${JSON.stringify(given)}; it takes a version such as ^${version}, or a packed file such as ../millrace-${version}.tgz.`,
  );
}

/**
 * Writes what no pipeline is part of.
 * @returns what removes all that is in the folder, and the folder where it was made
 */
export function writeProject(
  root: string,
  values: { readonly name: string; readonly millrace: string },
): () => void {
  let made: string | undefined;
  const undo = () => {
    for (const entry of existsSync(root) ? readdirSync(root) : [])
      if (entry !== '.git') rmSync(join(root, entry), { recursive: true, force: true });
    if (made) rmSync(made, { recursive: true, force: true });
  };
  try {
    const missing: string[] = [];
    for (let folder = root; !existsSync(folder); folder = dirname(folder)) missing.unshift(folder);
    // One by one: in a folder such as /proc, where nothing can be made, Node's own recursion never ends.
    for (const folder of missing) {
      mkdirSync(folder);
      made ??= folder;
    }
    cpSync(TEMPLATE, root, { recursive: true });
    for (const [from, to] of Object.entries(RENAMED)) renameSync(join(root, from), join(root, to));
    for (const path of ['package.json', 'millrace.config.ts']) fillIn(join(root, path), values);
    return undo;
  } catch (cause) {
    undo();
    const { code = 'unknown', path = root } = cause as NodeJS.ErrnoException;
    throw new Failed(`${path} could not be written (${code}). Choose a folder that you may write to.`, 1, {
      cause,
    });
  }
}

/** The README names what the pipeline's files have become. */
export function finishProject(
  root: string,
  values: { readonly name: string; readonly topic: string; readonly consumer: string },
): void {
  const consumer = readFileSync(join(root, 'lambdas', values.consumer, 'consumer.ts'), 'utf8');
  const [, table = ''] = /CREATE TABLE (\w+)/.exec(consumer) ?? [];
  fillIn(join(root, 'README.md'), { ...values, table });
}

function fillIn(path: string, values: Readonly<Record<string, string>>): void {
  const text = readFileSync(path, 'utf8');
  writeFileSync(
    path,
    text.replaceAll(/\{\{(\w+)\}\}/g, (_, name: string) =>
      // A path may hold a quote.
      path.endsWith('.json') ? JSON.stringify(values[name]).slice(1, -1) : values[name]!,
    ),
  );
}
