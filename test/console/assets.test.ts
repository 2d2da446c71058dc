import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, describe, expect, jest, test } from '@jest/globals';
import { bundled } from '../../console/assets.ts';
import { MillraceError } from '../../runtime/errors.ts';
import { createTemporaryFolder } from '../temporary-folder.ts';

const temporary = createTemporaryFolder();
afterAll(() => temporary.remove());

function written(name: string, text: string): string {
  const path = join(temporary.path, name);
  writeFileSync(path, text);
  return path;
}

/** What the page's author is told. */
async function complaintOf(path: string, bundle = bundled): Promise<string> {
  const error = await bundle(path).catch((thrown: unknown) => thrown);
  if (!(error instanceof MillraceError)) throw new Error(`It gave ${String(error)}.`);
  expect(error.code).toBe('APP_INVALID');
  return error.message;
}

describe('a page that cannot be served says what is wrong, where, and what to do', () => {
  test.each(['absent.tsx', 'absent.js'])('a script that is not there: %s', async (name) => {
    const path = join(temporary.path, name);
    expect(await complaintOf(path)).toBe(
      `The page ${path} does not exist. Correct demo.page.script, which counts from the folder of millrace.config.ts.`,
    );
  });

  test('a file that is no script', async () => {
    expect(await complaintOf(written('page.html', ''))).toContain(
      'it ends with .js, .mjs, .jsx, .ts or .tsx',
    );
  });

  test('a mistake in it, with its line', async () => {
    const path = written('wrong.ts', 'const a = 1;\nconst = 2;\n');
    expect(await complaintOf(path)).toMatch(
      /Expected identifier but found "=" at .*wrong\.ts:2:7\. Correct it\./,
    );
  });

  test('a file that it imports and that is not there, with its line', async () => {
    const complaint = await complaintOf(written('alone.ts', "\nimport './style.css';\n"));
    expect(complaint).toMatch(/Could not resolve "\.\/style\.css" at .*alone\.ts:2:8\. Correct it\./);
  });

  test.each([
    ['jsx.tsx', 'export const a = <b />;', 'preact'],
    ['hooks.tsx', "import 'preact/hooks';", 'preact'],
    ['scoped.ts', "import '@scope/parts/some';", '@scope/parts'],
  ])('a package that is not installed: %s', async (name, text, missing) => {
    expect(await complaintOf(written(name, text))).toContain(
      `${name}:1:${text.indexOf(text.includes('<') ? '<' : "'") + 1}. Add it with "npm install --save-dev ${missing}".`,
    );
  });

  test('esbuild that is not installed', async () => {
    jest.unstable_mockModule('esbuild', () => {
      throw Object.assign(new Error("Cannot find package 'esbuild'"), { code: 'ERR_MODULE_NOT_FOUND' });
    });
    await jest.isolateModulesAsync(async () => {
      const { bundled: without } = await import('../../console/assets.ts');
      expect(await complaintOf(written('typed.ts', 'export {};'), without)).toContain(
        'esbuild is not installed. Add it with "npm install --save-dev esbuild", or write the page as .js.',
      );
    });
  });
});

test('licences of the packages in a page go along with it, whoever holds them, and end no comment', async () => {
  const folder = join(temporary.path, 'node_modules/@scope/parts');
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, 'index.js'), 'globalThis.parts = 1;');
  writeFileSync(join(folder, 'LICENCE.md'), 'Copyright (c) 2026 Somebody */ alert(1) /*');
  mkdirSync(join(temporary.path, 'node_modules/unlicensed'));
  writeFileSync(join(temporary.path, 'node_modules/unlicensed/index.js'), 'globalThis.more = 1;');
  const path = written('licensed.ts', "import '@scope/parts';\nimport 'unlicensed';");
  const script = String((await bundled(path))['/assets/licensed.js']!.body);
  const [code, comment] = script.split('/*!');
  expect(code).toContain('parts=1');
  expect(comment).toMatch(/@scope\/parts\n\nCopyright \(c\) 2026 Somebody \* \/ alert\(1\) \/\*\n/);
  expect(comment).toContain('unlicensed\n\nIts package.json names its licence.');
  expect(comment!.indexOf('*/')).toBe(comment!.trimEnd().length - 2);
  const own = String((await bundled(written('own.ts', 'globalThis.own = 1;')))['/assets/own.js']!.body);
  expect(own).not.toContain('/*!');
});
