/**
 * PostgreSQL that is guarded as RDS is: TLS, and tokens instead of passwords. It asks by LDAP about a password:
 * https://www.postgresql.org/docs/current/auth-ldap.html (2026-11-25). That a token's signature is right, and who signed
 * it, is not looked at.
 */
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import { join } from 'node:path';
import pg from 'pg';
import { startPostgres } from '../../local/parts/postgres.ts';
import { openssl, required } from '../../local/parts/prerequisites.ts';
import { freeAddress, type Processes } from '../../local/parts/processes.ts';

const PORT = 5432;

/**
 * At RDS's port, on an address of its own; who has rds_iam logs in with a token; with the database and the administrator
 * that lib/stacks/database-stack.ts asks for.
 * @returns the server, with the path of its certificate, which it has signed itself, and the passwords that it was given
 */
export async function startRdsPostgres(
  processes: Processes,
  { settings = [] }: { readonly settings?: readonly string[] } = {},
) {
  const address = await freeAddress(PORT);
  let certificate = '';
  const passwords: string[] = [];
  const server = await startPostgres(processes, {
    address,
    port: PORT,
    settings,
    async prepare(data, run) {
      certificate = join(data, 'server.crt');
      const key = join(data, 'server.key');
      await run('certify', required(openssl), [
        ...['req', '-x509', '-nodes', '-newkey', 'rsa:2048', '-days', '2', '-subj', `/CN=${address}`],
        ...['-addext', `subjectAltName=IP:${address}`, '-keyout', key, '-out', certificate],
      ]);
      const logins = `ldap ldapprefix="" ldapserver=127.0.0.1 ldapport=${await startLogins(`${address}:${PORT}`, passwords)}`;
      writeFileSync(
        join(data, 'pg_hba.conf'),
        `hostssl all +rds_iam all ${logins}\nhost all +rds_iam all reject\nhost all all all trust\n`,
      );
      return ['ssl=on'];
    },
  });
  const client = new pg.Client({ connectionString: server.url });
  await client.connect();
  for (const statement of DATABASE_STACK) await client.query(statement);
  await client.end();
  return Object.assign(server, { address, certificate, passwords });
}

/** On RDS the administrator is no superuser, and logs in with a token, as all do that have rds_iam. */
const DATABASE_STACK = [
  'CREATE ROLE rds_iam NOLOGIN',
  'CREATE ROLE rds_replication NOLOGIN',
  'CREATE ROLE millrace_admin LOGIN CREATEROLE',
  'GRANT rds_iam TO millrace_admin WITH ADMIN OPTION',
  'CREATE DATABASE millrace OWNER millrace_admin',
];

const [SUCCESS, INVALID_CREDENTIALS] = [0, 49];

/**
 * What RDS does when PostgreSQL asks it about a password: it takes a token for this very database and user, and nothing else.
 * @returns the port of a server that ends with the process
 */
async function startLogins(databaseAddress: string, passwords: string[]): Promise<number> {
  const server = createServer((socket) => {
    socket.on('error', () => {});
    // A bind, which comes in one piece, then an unbind: https://datatracker.ietf.org/doc/html/rfc4511#section-4.2
    socket.once('data', (request) => {
      const { id, user, password } = parseBind(request);
      passwords.push(password);
      const token = URL.parse(`https://${password}`);
      const isToken =
        token?.host === databaseAddress &&
        token.searchParams.get('Action') === 'connect' &&
        token.searchParams.get('DBUser') === user &&
        token.searchParams.has('X-Amz-Signature');
      socket.write(bindResponse(id, isToken ? SUCCESS : INVALID_CREDENTIALS));
    });
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  server.unref();
  return (server.address() as AddressInfo).port;
}

/** BindRequest: { id, [0x60] { version, name, [0x80] password } } */
function parseBind(bytes: Buffer) {
  const [id, bind] = elements(elements(bytes)[0]!) as [Buffer, Buffer];
  const [, user, password] = elements(bind) as [Buffer, Buffer, Buffer];
  return { id, user: user.toString(), password: password.toString() };
}

/** What each element of BER has inside. */
function elements(bytes: Buffer): Buffer[] {
  const found: Buffer[] = [];
  for (let at = 0; at < bytes.length; ) {
    let [from, length] = [at + 2, bytes[at + 1]!];
    if (length > 0x80) {
      const lengthBytes = length - 0x80;
      length = bytes.readUIntBE(from, lengthBytes);
      from += lengthBytes;
    }
    found.push(bytes.subarray(from, from + length));
    at = from + length;
  }
  return found;
}

function bindResponse(id: Buffer, resultCode: number): Buffer {
  const result = [0x0a, 1, resultCode, 0x04, 0, 0x04, 0];
  const body = [0x02, id.length, ...id, 0x61, result.length, ...result];
  return Buffer.from([0x30, body.length, ...body]);
}
