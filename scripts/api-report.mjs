/**
 * What the package promises to keep: every declaration that somebody who imports one of its entries can name or reach.
 * test/api/ holds it, and test/runtime/public-api.test.ts compares: npm run api writes it anew.
 */
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const ENTRIES = {
  millrace: 'runtime/index',
  'millrace-lambda': 'adapters/aws/index',
  'millrace-cdk': 'lib/index',
  'millrace-testing': 'testing/index',
};

/** The report of each entry, by its name. */
export function apiReports() {
  const folder = mkdtempSync(join(tmpdir(), 'millrace-api-'));
  try {
    const { status, stdout } = spawnSync(
      process.execPath,
      [
        join(root, 'node_modules/typescript/bin/tsc'),
        '--project',
        join(root, 'tsconfig.build.json'),
        '--emitDeclarationOnly',
        '--sourceMap',
        'false',
        '--removeComments',
        '--outDir',
        folder,
      ],
      { cwd: root, encoding: 'utf8' },
    );
    if (status !== 0) throw new Error(`tsc ended with ${status}: ${stdout}`);
    const files = new Map();
    const load = (path) => {
      if (!files.has(path)) files.set(path, parse(readFileSync(join(folder, `${path}.d.ts`), 'utf8'), path));
      return files.get(path);
    };
    return Object.fromEntries(Object.entries(ENTRIES).map(([name, path]) => [name, report(path, load)]));
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** The declarations of a file by name, and where its other names come from. tsc writes one statement after the other. */
function parse(text, path) {
  const declared = new Map();
  const imported = new Map();
  const exported = new Map();
  for (const statement of text.split(/\n(?=\S)(?![})\]])/)) {
    const from = / from '([^']+)'/.exec(statement)?.[1];
    const names = /^(import|export)\b[^{]*\{([^}]*)\}/.exec(statement);
    const file = from?.startsWith('.') ? join(dirname(path), from).replace(/\.ts$/, '') : null;
    if (names && (from || statement.startsWith('export {'))) {
      for (const each of names[2]
        .split(',')
        .map((name) => name.trim().replace(/^type /, ''))
        .filter(Boolean)) {
        const [theirs, ours = theirs] = each.split(' as ');
        (names[1] === 'import' ? imported : exported).set(ours, { name: theirs, file, from: from ?? null });
      }
      continue;
    }
    const name =
      /^(?:export )?(?:declare )?(?:abstract )?(?:interface|type|const|class|function|enum|let|var) ([\w$]+)/.exec(
        statement,
      )?.[1];
    if (!name) continue;
    declared.set(name, declared.has(name) ? `${declared.get(name)}\n${statement}` : statement);
    if (statement.startsWith('export ')) exported.set(name, { name, file: path, from: null });
  }
  return { declared, imported, exported };
}

/** Every declaration that the exported names reach, in the order of names. */
function report(entry, load) {
  const found = new Map();
  const visit = (path, name) => {
    const file = load(path);
    const key = `${path}#${name}`;
    if (found.has(key)) return;
    const statement = file.declared.get(name);
    if (statement === undefined) {
      const source = file.imported.get(name) ?? file.exported.get(name);
      if (source?.file && source.file !== path) visit(source.file, source.name);
      return;
    }
    found.set(key, statement.trimEnd());
    for (const word of new Set(statement.match(/[\w$]+/g))) {
      if (word !== name && (file.declared.has(word) || file.imported.has(word))) visit(path, word);
    }
  };
  const { exported } = load(entry);
  for (const name of exported.keys()) visit(entry, name);
  // By their names alone: where they stand is nobody's business.
  const byName = ([path]) => path.split('#')[1];
  const sorted = [...found].sort((a, b) => (byName(a) < byName(b) ? -1 : 1));
  const names = [...exported.keys()].sort().join(', ');
  return `exports ${names}\n\n${sorted.map(([, statement]) => `${statement}\n`).join('\n')}`;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  mkdirSync(join(root, 'test/api'), { recursive: true });
  for (const [name, text] of Object.entries(apiReports())) {
    writeFileSync(join(root, 'test/api', `${name}.d.ts.txt`), text);
  }
}
