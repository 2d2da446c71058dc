/**
 * Writes what a deployed page's function is given beside its code: queries, document, and what browsers load, bundled as on a laptop.
 *
 * Run as a command, since the CDK bundles synchronously and a page is not: node write-page.ts FOLDER APP-ROOT PAGE, the page as
 * JSON in base64.
 */
import { writeFileSync } from 'node:fs';
import { basename, join, resolve } from 'node:path';
import { bundled, pageIcon } from '../../console/assets.ts';
import { liveDocument } from '../../console/live-page.ts';
import { type DemoPage, type DeployedPage, PAGE_FILE } from '../../runtime/page.ts';

const [folder, root, encoded] = process.argv.slice(2) as [string, string, string];
const { title, script, consumer, queries }: DemoPage = JSON.parse(
  Buffer.from(encoded, 'base64').toString('utf8'),
);
const assets = { ...pageIcon, ...(await bundled(resolve(root, script))) };
const files = Object.entries(assets).map(([path, { type, body }]) => [
  basename(path),
  { type, body: Buffer.from(body).toString('utf8') },
]);
const page: DeployedPage = {
  consumer,
  queries,
  document: liveDocument(title, Object.keys(assets)),
  assets: Object.fromEntries(files),
};
writeFileSync(join(folder, PAGE_FILE), JSON.stringify(page));
