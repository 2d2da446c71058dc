import { spawnSync } from 'node:child_process';

/** Starts a repository, and commits where git knows whose commit it is. Says what has become of it. */
export function startGit(root: string): string {
  const git = (...args: readonly string[]) =>
    spawnSync('git', args, { cwd: root, encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] });
  const inside = git('rev-parse', '--is-inside-work-tree');
  if (inside.error) return 'git is not installed';
  if (inside.status === 0) return 'it is part of the git repository that it lies in';
  if (git('init', '--quiet', '--initial-branch', 'main').status !== 0 && git('init', '--quiet').status !== 0)
    return 'git could not start a repository there';
  const isKnown = ['user.name', 'user.email'].every((setting) => git('config', setting).stdout.trim() !== '');
  if (!isKnown) return 'git is initialised, without a commit: it has no user.name and user.email';
  const commit = ['commit', '--quiet', '--no-gpg-sign', '--message', 'Start with a contract and a consumer'];
  if (git('add', '--all').status !== 0 || git(...commit).status !== 0)
    return 'git is initialised; the first commit failed, so make it yourself';
  return 'git has the first commit';
}
