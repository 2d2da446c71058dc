import { spawnSync } from 'node:child_process';

/** Starts a repository, and commits where git knows whose commit it is. Says what has become of it. */
export function startGit(root: string): string {
  const git = (...args: readonly string[]) =>
    spawnSync('git', args, { cwd: root, encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] });
  const inside = git('rev-parse', '--is-inside-work-tree');
  if (inside.error) return 'is not installed';
  if (inside.status === 0) return 'part of the repository around it; nothing is committed';
  if (git('init', '--quiet', '--initial-branch', 'main').status !== 0 && git('init', '--quiet').status !== 0)
    return 'could not start a repository there';
  const isKnown = ['user.name', 'user.email'].every((setting) => git('config', setting).stdout.trim() !== '');
  if (!isKnown) return 'initialised, without a commit: user.name or user.email is not set';
  const commit = ['commit', '--quiet', '--no-gpg-sign', '--message', 'Start with a contract and a consumer'];
  if (git('add', '--all').status !== 0 || git(...commit).status !== 0)
    return 'initialised; the first commit failed, so make it yourself';
  return 'initialised, with a first commit';
}
