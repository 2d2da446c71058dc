#!/usr/bin/env node
// `millrace`. In a checkout of Millrace: installs what is missing, then runs the sources on the project's own Node. In a package:
// runs what is compiled. Plain JavaScript for whatever Node a person has.
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import module from 'node:module';
import { constants, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const PROJECT_MAJOR = 24;
const OLDEST = [22, 18];
const sources = fileURLToPath(new URL('../cli/main.ts', import.meta.url));

// From the second start on, what was read once is read compiled: most commands take a third of the time. Older than 22, Node
// has no such cache.
module.enableCompileCache?.();

if (!existsSync(sources)) await runCompiled();
else await runSources();

async function runCompiled() {
  const [major, minor] = process.versions.node.split('.').map(Number);
  if (major < OLDEST[0] || (major === OLDEST[0] && minor < OLDEST[1])) {
    console.error(
      `Millrace needs Node ${OLDEST.join('.')} or newer; this is ${process.version}. Install it from https://nodejs.org.`,
    );
    process.exit(1);
  }
  await import(new URL('../dist/bin/millrace.js', import.meta.url).href);
}

async function runSources() {
  const { install, PROJECT_NODE } = await import('./install.mjs');
  install();
  if (Number.parseInt(process.versions.node, 10) === PROJECT_MAJOR) await import('./millrace.ts');
  else runOnProjectNode(PROJECT_NODE);
}

function runOnProjectNode(node) {
  const command = fileURLToPath(new URL('./millrace.ts', import.meta.url));
  const env = { NODE_COMPILE_CACHE: join(tmpdir(), 'node-compile-cache'), ...process.env };
  const child = spawn(node, [command, ...process.argv.slice(2)], { stdio: 'inherit', env });
  // The child decides when it ends. Ctrl-C reaches it from the terminal as well; it takes the two for one.
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => child.kill(signal));
  child.on('error', (error) => {
    console.error(`${node} could not be started (${error.message}). Run "npm ci" and try again.`);
    process.exit(1);
  });
  child.on('exit', (code, signal) => {
    process.exit(code ?? 128 + (signal ? constants.signals[signal] : 0));
  });
}
