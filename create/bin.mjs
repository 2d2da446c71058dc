#!/usr/bin/env node
// `create-millrace`. Plain JavaScript for whatever Node a person has. In a checkout it runs the sources.
import { existsSync } from 'node:fs';

const OLDEST = [22, 18];
const [major, minor] = process.versions.node.split('.').map(Number);

if (major < OLDEST[0] || (major === OLDEST[0] && minor < OLDEST[1])) {
  console.error(
    `Millrace needs Node ${OLDEST.join('.')} or newer; this is ${process.version}. Install it from https://nodejs.org.`,
  );
  process.exitCode = 1;
} else {
  const sources = new URL('./main.ts', import.meta.url);
  const { run } = await import(
    existsSync(sources) ? sources.href : new URL('./dist/main.js', import.meta.url).href
  );
  process.exitCode = await run(process.argv.slice(2));
}
