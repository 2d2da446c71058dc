import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { hint } from '../../cli/hints.ts';
import { nearestState } from '../../cli/options.ts';
import { openStateFolder } from '../../local/state-folder.ts';
import { shellQuoted } from '../../runtime/commands.ts';
import { createTemporaryFolder } from '../temporary-folder.ts';

describe('the state folder of a command that names none', () => {
  let project: ReturnType<typeof createTemporaryFolder>;
  let docs: string;
  beforeEach(() => {
    project = createTemporaryFolder();
    writeFileSync(join(project.path, 'millrace.config.ts'), '');
    docs = join(project.path, 'docs');
    mkdirSync(docs);
  });
  afterEach(() => project.remove());

  test('is in the working folder where that is the project', () => {
    expect(nearestState(project.path)).toBe('.millrace');
  });

  test('is the project’s where the working folder is inside of it', () => {
    expect(nearestState(docs)).toBe(join('..', '.millrace'));
  });

  test('is the nearest one that there is', () => {
    openStateFolder(join(docs, '.millrace'));
    expect(nearestState(docs)).toBe('.millrace');
  });

  test('is in the working folder where there is no project', () => {
    const nowhere = createTemporaryFolder();
    expect(nearestState(nowhere.path)).toBe('.millrace');
    nowhere.remove();
  });
});

describe('a hint', () => {
  test.each<[Parameters<typeof hint>[1], string]>([
    [{ state: '.millrace' }, ''],
    [{ state: "/srv/my état d'été/µ" }, ` --state '/srv/my état d'\\''été/µ'`],
    [{ env: 'prod', state: 'elsewhere' }, ' --env prod'],
    [
      { kafka: ['a:9092', 'b:9092'], kafkaAuth: 'iam', registry: { framing: 'glue', name: 'dev' } },
      ' --kafka a:9092,b:9092 --kafka-auth iam --registry glue:dev',
    ],
    [
      { registry: { framing: 'confluent', url: 'http://localhost:8081/' } },
      ' --registry http://localhost:8081/',
    ],
  ])('leads to the place of the command that prints it: %j', (place, flags) => {
    expect(hint(['dlq', 'triage'], place)).toBe(`npx millrace dlq triage${flags}`);
  });

  test.each(['a b', "it's", '$HOME', '`x`', '', 'a;b', '*', '"'])('quotes %j for a shell', (word) => {
    expect(shellQuoted(word)).toBe(`'${word.replaceAll("'", `'\\''`)}'`);
  });
});
