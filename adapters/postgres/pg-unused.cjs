// What a function's bundle has in place of pg-types, pg-connection-string and pg-cloudflare: pg loads all three, and the
// driver uses none. Cells stay text (sql-values.ts reads them), and no address is given as one string.
exports.getTypeParser = () => (text) => text;
exports.setTypeParser = () => {};
exports.builtins = {};
exports.parse = () => {
  throw new Error('This build of pg takes no connection string.');
};
