/** The scripts and styles of pages: built once with the package, and in a checkout at the first start. */
import { existsSync, readFileSync } from 'node:fs';
import { basename, extname } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { BuildFailure } from 'esbuild';
import { MillraceError } from '../runtime/errors.ts';
import type { Asset } from './page-server.ts';

const TYPES: Readonly<Record<string, string>> = {
  '.js': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.svg': 'image/svg+xml',
};

/** A wheel in a race. */
const ICON = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32"><rect width="32" height="32" rx="7" fill="#12324a"/><g fill="none" stroke="#7fd1c4" stroke-width="2.6" stroke-linecap="round"><circle cx="16" cy="14" r="7.2"/><path d="M16 6.8v14.4M8.8 14h14.4M10.9 8.9l10.2 10.2M21.1 8.9L10.9 19.1"/><path d="M5 26c3.7-2.6 7.3 2.6 11 0s7.3-2.6 11 0"/></g></svg>`;

/** The mark of every page. */
export const pageIcon: Readonly<Record<string, Asset>> = {
  '/assets/icon.svg': { type: TYPES['.svg']!, body: ICON },
};

/** Runs before anything is painted: the theme that was chosen is there from the first moment. */
const THEME = `try {
  const theme = localStorage.getItem('millrace-theme');
  if (theme === 'light' || theme === 'dark') document.documentElement.dataset.theme = theme;
} catch {}
`;

/** The console's own: `/assets/console.js`, `/assets/console.css`, the theme's script and the icon. */
export async function consoleAssets(): Promise<Readonly<Record<string, Asset>>> {
  const built = fileURLToPath(new URL('ui/', import.meta.url));
  const own = { ...pageIcon, '/assets/theme.js': { type: TYPES['.js']!, body: THEME } };
  // Compiled, what was built stands beside this file.
  if (extname(import.meta.url) === '.js') {
    const files = ['console.js', 'console.css'].map((name) => [
      `/assets/${name}`,
      fileAsset(`${built}${name}`),
    ]);
    return { ...own, ...Object.fromEntries(files) };
  }
  return { ...own, ...(await bundled(`${built}console.tsx`)) };
}

/**
 * A page's script with all it imports, styles included: `NAME.tsx` becomes `/assets/NAME.js` and `/assets/NAME.css`. Plain
 * JavaScript is served as it is, and needs no esbuild.
 * @throws APP_INVALID where it is not there or cannot be bundled: with what is wrong, where, and what to do
 */
export async function bundled(path: string): Promise<Readonly<Record<string, Asset>>> {
  const name = basename(path, extname(path));
  if (!/\.(?:m?js|[jt]sx|ts)$/.test(path))
    throw pageInvalid(path, 'is no script: it ends with .js, .mjs, .jsx, .ts or .tsx. Correct its name.');
  if (!existsSync(path))
    throw pageInvalid(
      path,
      'does not exist. Correct demo.page.script, which counts from the folder of millrace.config.ts.',
    );
  if (/\.m?js$/.test(path)) {
    const style = path.replace(/\.m?js$/, '.css');
    return {
      [`/assets/${name}.js`]: fileAsset(path),
      ...(existsSync(style) && { [`/assets/${name}.css`]: fileAsset(style) }),
    };
  }
  try {
    const { bundlePage } = await import('./bundle-page.ts');
    const files = await bundlePage(path);
    return Object.fromEntries(
      files.map(({ name: file, text }) => [`/assets/${file}`, { type: TYPES[extname(file)]!, body: text }]),
    );
  } catch (cause) {
    throw pageInvalid(path, `cannot be bundled: ${whyUnbundled(cause as Error)}`, cause);
  }
}

function pageInvalid(path: string, problem: string, cause?: unknown): MillraceError {
  return new MillraceError('APP_INVALID', `The page ${path} ${problem}`, { cause, details: { path } });
}

/** Esbuild's first error, where it is, and what to do. */
function whyUnbundled(error: Error & Partial<BuildFailure>): string {
  const [first] = error.errors ?? [];
  if (!first) {
    const isMissing = (error as NodeJS.ErrnoException).code === 'ERR_MODULE_NOT_FOUND';
    return isMissing
      ? 'esbuild is not installed. Add it with "npm install --save-dev esbuild", or write the page as .js.'
      : error.message.split('\n')[0]!;
  }
  const { text, location } = first;
  const at = location ? ` at ${location.file}:${location.line}:${location.column + 1}` : '';
  // A package, and no file of the page's own.
  const [, missing] = /^Could not resolve "((?:@[^/"]+\/)?[^./"][^/"]*)/.exec(text) ?? [];
  return `${text.replace(/\.$/, '')}${at}. ${missing ? `Add it with "npm install --save-dev ${missing}".` : 'Correct it.'}`;
}

function fileAsset(path: string): Asset {
  return { type: TYPES[extname(path).replace('.mjs', '.js')]!, body: readFileSync(path) };
}
