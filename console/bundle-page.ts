/** esbuild's part in pages: loaded where a page has to be bundled, and by the build of the package. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { basename, extname, join } from 'node:path';
import { type BuildResult, build } from 'esbuild';

export interface BundledFile {
  readonly name: string;
  readonly text: string;
}

/** The oldest browsers with CSS's light-dark(), which the styles of all pages use. */
const TARGETS = ['chrome123', 'firefox120', 'safari17.5'];

/**
 * One script and, where it imports any, one style. At the end of each stand the licences of the packages that are in it.
 * @throws what esbuild throws: its `errors` have a text and a location each
 */
export async function bundlePage(path: string): Promise<readonly BundledFile[]> {
  const { outputFiles, metafile } = await build({
    entryPoints: [path],
    bundle: true,
    minify: true,
    write: false,
    metafile: true,
    outdir: 'page',
    format: 'esm',
    target: TARGETS,
    jsx: 'automatic',
    jsxImportSource: 'preact',
    legalComments: 'eof',
    logLevel: 'silent',
  });
  const name = basename(path, extname(path));
  return outputFiles.map((file) => ({
    name: `${name}${extname(file.path)}`,
    text: file.text + licencesOf(metafile, extname(file.path)),
  }));
}

/** As a comment: their text goes along with every copy of the packages. */
function licencesOf({ outputs }: NonNullable<BuildResult['metafile']>, extension: string): string {
  const inputs = Object.entries(outputs)
    .filter(([output]) => output.endsWith(extension))
    .flatMap(([, output]) => Object.keys(output.inputs));
  const folders = inputs.flatMap((input) => /^.*node_modules\/(?:@[^/]+\/)?[^/]+/.exec(input)?.[0] ?? []);
  const texts = [...new Set(folders)].toSorted().map((folder) => {
    const name = folder.replace(/^.*node_modules\//, '');
    return `${name}\n\n${licenceIn(folder) ?? 'Its package.json names its licence.'}`;
  });
  if (texts.length === 0) return '';
  return `\n/*! This file contains:\n\n${texts.join('\n\n').replaceAll('*/', '* /')}\n*/\n`;
}

function licenceIn(folder: string): string | undefined {
  const file = existsSync(folder) && readdirSync(folder).find((each) => /^licen[cs]e(?:\.\w+)?$/i.test(each));
  return file ? readFileSync(join(folder, file), 'utf8').trim() : undefined;
}
