// Stands for `rapid-client.node` of AWS's runtime interface client: the requests to the Runtime API that it leaves to C++.
// https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html,
// https://github.com/aws/aws-lambda-nodejs-runtime-interface-client/blob/main/src/native/rapid-client.cc (2026-11-25)
const { Agent, request } = require('node:http');

const url = `http://${process.env.AWS_LAMBDA_RUNTIME_API}/2018-06-01/runtime/invocation`;
const agent = new Agent({ keepAlive: true, maxSockets: 1 });

function send(method, path, headers = {}, body = '') {
  const { promise, resolve, reject } = Promise.withResolvers();
  request(`${url}/${path}`, { method, agent, headers }, (response) => {
    let text = '';
    response.setEncoding('utf8');
    response.on('data', (chunk) => {
      text += chunk;
    });
    response.on('end', () => resolve({ bodyJson: text, headers: response.headers }));
    response.on('error', reject);
  })
    .on('error', reject)
    .end(body);
  return promise;
}

// The client does not wait for done() and error(), which block in C++.
let answered = Promise.resolve();
const answer = (path, body, headers) => {
  answered = send('POST', path, { 'Content-Type': 'application/json', ...headers }, body);
  // Heard by next().
  answered.catch(() => {});
};

module.exports = {
  async next() {
    await answered;
    return send('GET', 'next');
  },
  done: (id, body) => answer(`${id}/response`, body),
  error: (id, body, xrayCause) =>
    answer(`${id}/error`, body, { 'Lambda-Runtime-Function-XRay-Error-Cause': xrayCause }),
};
