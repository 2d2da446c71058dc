import { Command } from 'commander';
import { checkCommand } from './capture/check.ts';
import { demoCommand } from './capture/demo.ts';
import { pluginCommand } from './capture/plugin.ts';
import { snapshotCommand } from './capture/snapshot.ts';
import { captureSqlCommand } from './capture/sql.ts';
import { epilogue } from './terminal.ts';

const EXAMPLE = `
Examples:
  millrace capture sql > capture.sql    what a DBA runs in the database
  millrace capture check --source postgres://me@db.example.com/shop
  millrace capture snapshot orders --source postgres://me@db.example.com/shop
  millrace capture plugin               build what MSK Connect runs
  millrace capture demo                 see it work on this machine`;

export function captureCommand(): Command {
  const capture = new Command('capture')
    .description('Prepares, checks and shows the capture of PostgreSQL tables.')
    .addHelpText('after', epilogue(EXAMPLE));
  for (const command of [
    captureSqlCommand(),
    checkCommand(),
    snapshotCommand(),
    pluginCommand(),
    demoCommand(),
  ])
    capture.addCommand(command);
  return capture;
}
