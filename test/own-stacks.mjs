// An error costs what it costs a user. Types are stripped in place (strip-types.mjs), so stacks name the right lines as they are; but
// jest keeps 100 frames of each, and looks each one up in source maps that nobody makes.
Error.stackTraceLimit = 10;
Error.prepareStackTrace = (error, frames) =>
  [Error.prototype.toString.call(error), ...frames].join('\n    at ');
