// What a function's bundle has in place of pg-types and pg-connection-string: pg loads both, and the driver uses
// neither. Cells stay text (sql-values.ts reads them), and no address is given as one string.
exports.getTypeParser = () => (text) => text;
exports.setTypeParser = () => {};
exports.builtins = {};
exports.parse = () => {
  throw new Error('This build of pg takes no connection string.');
};
