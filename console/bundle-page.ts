/** esbuild's part in pages: loaded where a page has to be bundled, and by the build of the package. */
import { basename, extname } from 'node:path';
import { build } from 'esbuild';

export interface BundledFile {
  readonly name: string;
  readonly text: string;
}

/** One script and, where it imports any, one style. Licences of what is in it stand at its end. */
export async function bundlePage(path: string): Promise<readonly BundledFile[]> {
  const { outputFiles } = await build({
    entryPoints: [path],
    bundle: true,
    minify: true,
    write: false,
    outdir: 'page',
    format: 'esm',
    target: ['chrome120', 'firefox121', 'safari17.2'],
    jsx: 'automatic',
    jsxImportSource: 'preact',
    legalComments: 'eof',
    logLevel: 'silent',
  });
  const name = basename(path, extname(path));
  return outputFiles.map((file) => ({ name: `${name}${extname(file.path)}`, text: file.text }));
}
