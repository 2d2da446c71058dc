import { Command } from 'commander';
import { captureSql } from '../../runtime/capture/sql.ts';
import { epilogue, printLine } from '../terminal.ts';
import { databaseOption, declaredDatabase, roleOption } from './options.ts';

const EXAMPLE = `
Examples:
  millrace capture sql > capture.sql
  millrace capture sql --database shop --role debezium --rds

The SQL may be run again, and then brings the publication and the grants to what
is declared now. The role has no password: give it one; with --rds it logs in by IAM.`;

export function captureSqlCommand(): Command {
  return new Command('sql')
    .description(
      'Prints the SQL that prepares a database: schema, heartbeat, signals, role, grants, publication.',
    )
    .addOption(databaseOption())
    .addOption(roleOption())
    .option('--rds', 'for Amazon RDS or Aurora: grants rds_replication, and rds_iam for the login by IAM')
    .addHelpText('after', epilogue(EXAMPLE))
    .action(async (options: { readonly database?: string; readonly role: string; readonly rds?: true }) => {
      const { database, tables } = await declaredDatabase(options.database);
      printLine(captureSql(database, tables, { role: options.role, onRds: options.rds === true }).trimEnd());
    });
}
