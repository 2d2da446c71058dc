// What RDS does when PostgreSQL asks it about a password: it takes a token for this very database and user, and nothing
// else. PostgreSQL asks by LDAP: https://www.postgresql.org/docs/current/auth-ldap.html (2026-11-25). That a token's signature
// is right, and who signed it, is not looked at.
import { once } from 'node:events';
import { createServer } from 'node:net';

const [SUCCESS, INVALID_CREDENTIALS] = [0, 49];

/** @returns the port of a server that ends with the process */
export async function startLogins(databaseAddress) {
  const server = createServer((socket) => {
    socket.on('error', () => {});
    // A bind, which comes in one piece, then an unbind: https://datatracker.ietf.org/doc/html/rfc4511#section-4.2
    socket.once('data', (request) => {
      const { id, user, password } = parseBind(request);
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
  return server.address().port;
}

/** BindRequest: { id, [0x60] { version, name, [0x80] password } } */
function parseBind(bytes) {
  const [id, bind] = elements(elements(bytes)[0]);
  const [, user, password] = elements(bind);
  return { id, user: user.toString(), password: password.toString() };
}

/** What each element of BER has inside. */
function elements(bytes) {
  const found = [];
  for (let at = 0; at < bytes.length; ) {
    let [from, length] = [at + 2, bytes[at + 1]];
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

function bindResponse(id, resultCode) {
  const result = [0x0a, 1, resultCode, 0x04, 0, 0x04, 0];
  const body = [0x02, id.length, ...id, 0x61, result.length, ...result];
  return Buffer.from([0x30, body.length, ...body]);
}
