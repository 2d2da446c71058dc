#!/usr/bin/env node
// `npm start` and `npx millrace` on a bare clone: installs what is missing, then runs the command line on the project's Node.
import { spawn } from 'node:child_process';
import { constants } from 'node:os';
import { fileURLToPath } from 'node:url';
import { install, PROJECT_NODE } from './install.mjs';

const PROJECT_MAJOR = 24;

install();
if (Number.parseInt(process.versions.node, 10) === PROJECT_MAJOR) {
  await import('./millrace.ts');
} else {
  runOnProjectNode();
}

function runOnProjectNode() {
  const command = fileURLToPath(new URL('./millrace.ts', import.meta.url));
  const child = spawn(PROJECT_NODE, [command, ...process.argv.slice(2)], { stdio: 'inherit' });
  // The child decides when it ends. Ctrl-C reaches it from the terminal as well; it takes the two for one.
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => child.kill(signal));
  child.on('error', (error) => {
    console.error(`${PROJECT_NODE} could not be started (${error.message}). Run "npm ci" and try again.`);
    process.exit(1);
  });
  child.on('exit', (code, signal) => {
    process.exit(code ?? 128 + (signal ? constants.signals[signal] : 0));
  });
}
